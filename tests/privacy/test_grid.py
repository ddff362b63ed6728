"""What one unit adds to a sum, bounded in exact integers; and the noise on the sum."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedmrg_secure.privacy.events import GridNoise
from fedmrg_secure.privacy.grid import (
    _PIECE,
    MAX_SENSITIVITY,
    Grid,
    SensitivityExceeded,
    UnitNotFinite,
    add_noise,
    check_sensitivity,
)
from fedmrg_secure.privacy.randomness import NoiseStream


def exact_square(vector: np.ndarray) -> int:
    return sum(int(value) ** 2 for value in vector.tolist())


@settings(deadline=None, max_examples=200)
@given(
    unit=arrays(
        np.float64, st.integers(1, 40), elements=st.floats(-1e150, 1e150, allow_subnormal=True)
    ),
    clip_norm=st.floats(1e-6, 1e6),
    sensitivity=st.sampled_from([2, 1000, 1 << 20, 1 << 32, MAX_SENSITIVITY]),
)
def test_no_unit_is_longer_than_the_sensitivity(
    unit: np.ndarray, clip_norm: float, sensitivity: int
) -> None:
    encoded = Grid(clip_norm, sensitivity).encode(unit)
    assert encoded.dtype == np.int64
    assert exact_square(encoded) <= sensitivity**2
    assert np.all((encoded == 0) | (np.sign(encoded) == np.sign(unit)))


def test_rounding_and_clipping_change_little() -> None:
    rng = np.random.default_rng(2)
    unit = rng.normal(size=5000)
    grid = Grid(0.5)
    norm = float(np.linalg.norm(unit))
    decoded = grid.decode(grid.encode(unit))
    assert np.abs(decoded - unit * 0.5 / norm).max() < 2 * grid.step
    short = unit * (0.4 / norm)
    assert np.abs(grid.decode(grid.encode(short)) - short).max() < 2 * grid.step
    assert grid.encode(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [1, _PIECE - 1, _PIECE, _PIECE + 1, 3 * _PIECE + 5])
def test_every_piece_is_what_the_plainest_formula_gives(size: int) -> None:
    rng = np.random.default_rng(size)
    for clip_norm, scale in ((0.5, 1.0), (1e6, 1.0), (0.5, 1e200), (0.5, 1e-200)):
        unit = rng.normal(size=size) * scale
        grid = Grid(clip_norm)
        largest = float(np.abs(unit).max())
        norm = largest * math.sqrt(math.fsum((unit / largest) ** 2))
        expected = np.trunc(unit * min(1.0, clip_norm / norm) * (1 - 2.0**-40) / grid.step)
        assert np.abs(grid.encode(unit) - expected).max() <= 1


@pytest.mark.parametrize("value", [1.0, 0.1, -1 / 3, 1e-30, 7e120])
def test_rounding_errors_that_add_up_neither_exceed_the_bound_nor_waste_it(value: float) -> None:
    # Equal values: each partial sum of squares is rounded the same way.
    size = 3 * _PIECE
    square = exact_square(Grid(1e-40).encode(np.full(size, value)))
    assert square <= 1 << 64
    # One step of each coordinate is lost at most, and 2^-40 of the whole.
    assert math.isqrt(square) >= (1 << 32) * (1 - 2.0**-39) - math.isqrt(size) - 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(UnitNotFinite):
        Grid(1.0).encode(np.array([0.0, bad]))


def test_the_check_is_exact_to_one_step() -> None:
    # 3-4-5 at full size: float64 cannot tell these squares apart, integers can.
    k = MAX_SENSITIVITY // 5
    check_sensitivity(np.array([3 * k, 4 * k]), 5 * k)
    with pytest.raises(SensitivityExceeded):
        check_sensitivity(np.array([3 * k, 4 * k, 1]), 5 * k)
    with pytest.raises(SensitivityExceeded):
        check_sensitivity(np.array([-5 * k - 1]), 5 * k)
    long = np.full(3_000_000, 1 << 29)
    check_sensitivity(long, math.isqrt(exact_square(long)) + 1)
    with pytest.raises(SensitivityExceeded):
        check_sensitivity(long, math.isqrt(exact_square(long)) - 1)
    check_sensitivity(np.zeros(0, dtype=np.int64), 2)
    most = MAX_SENSITIVITY // 256
    mixed = np.random.default_rng(3).integers(-most, most, _PIECE + 7, endpoint=True)
    exact = math.isqrt(exact_square(mixed))
    check_sensitivity(mixed, exact + 1)
    with pytest.raises(SensitivityExceeded):
        check_sensitivity(mixed, exact)
    with pytest.raises(SensitivityExceeded):
        check_sensitivity(np.array([np.iinfo(np.int64).min]), MAX_SENSITIVITY)


def test_the_noise_is_never_less_than_the_multiplier_says() -> None:
    for multiplier in (0.1, 0.7347338064767004, 1.0, 19.5):
        noise = Grid(3.0).noise_of(multiplier, 7)
        assert noise.coordinates == 7
        assert noise.sigma == math.ceil(Fraction(multiplier) * (1 << 32))
        assert multiplier <= noise.noise_multiplier < multiplier + 2.0**-31


def test_noise_comes_to_every_coordinate_and_to_an_empty_sum() -> None:
    noise = GridNoise(Fraction(1 << 20), Fraction(1 << 20), 4000)
    stream = NoiseStream.insecure_from_key(bytes(32))
    total = np.arange(4000) * 1000
    first = add_noise(total, noise, stream) - total
    second = add_noise(np.zeros(4000, dtype=np.int64), noise, stream)
    assert not np.array_equal(first, second)
    for drawn in (first, second):
        assert abs(drawn.std() / (1 << 20) - 1) < 0.06
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.08
    with pytest.raises(ValueError, match="4000 coordinates"):
        add_noise(np.zeros(10, dtype=np.int64), noise, stream)


@pytest.mark.parametrize(("clip", "sensitivity"), [(0.0, 9), (math.nan, 9), (1.0, 1), (1.0, 2**41)])
def test_a_grid_that_is_none_is_refused(clip: float, sensitivity: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Grid(clip, sensitivity)
