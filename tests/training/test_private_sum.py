"""What one unit can add to a step's sum, in exact integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedmrg_secure.privacy.noise_ahead import NoiseAhead
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.private_sum import PrivateSum, coordinates, noise_of

SHAPES = {"a": (3, 2), "b": (4,), "c": (1,)}


def _part(*names: str) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.zeros(SHAPES[name])) for name in names}


def _gradients(rows: int, seed: int, scale: float = 1.0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {n: scale * torch.randn(rows, *shape, generator=random) for n, shape in SHAPES.items()}


def _flat(gradients: dict[str, torch.Tensor], rows: list[int], names: str) -> np.ndarray:
    """One unit's summed gradient, in float64, by the plainest loop."""
    parts = [
        sum((gradients[name][row].double() for row in rows), torch.zeros(SHAPES[name]).double())
        for name in names
    ]
    return torch.cat([part.flatten() for part in parts]).numpy()


def _squared(vector: np.ndarray) -> int:
    return sum(int(value) ** 2 for value in vector)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    exponent=st.floats(-30, 30),
    records=st.integers(1, 9),
    clip_norm=st.floats(1e-4, 1e4),
)
def test_no_unit_adds_more_than_the_sensitivity(
    seed: int, exponent: float, records: int, clip_norm: float
) -> None:
    gradients = _gradients(records, seed, 10.0**exponent)
    for parts in ((_part("a", "b", "c"),), (_part("a", "c"), _part("b"))):
        total = PrivateSum(parts, clip_norm)
        total.add(gradients, range(records))
        assert _squared(total.total) <= PrivateSum.sensitivity**2


@pytest.mark.parametrize("split", [False, True])
def test_the_sum_is_that_of_units_clipped_one_at_a_time(split: bool) -> None:
    units = [[0], [1, 2, 3], [4, 5], [6]]
    gradients = _gradients(7, 5)
    gradients["a"][6] *= 1e-3
    gradients["b"][6] *= 1e-3
    gradients["c"][6] *= 1e-3  # a unit below the bound
    clip_norm = 0.7
    groups = ["ac", "b"] if split else ["abc"]
    total = PrivateSum([_part(*group) for group in groups], clip_norm)
    for unit in units:
        total.add(gradients, unit)
    bound = clip_norm / math.sqrt(len(groups))
    expected = np.zeros(11)
    clipped = 0
    for unit in units:
        vectors = []
        for group in groups:
            vector = _flat(gradients, unit, group)
            norm = np.linalg.norm(vector)
            clipped += norm > bound
            vectors.append(vector * min(1.0, bound / norm))
        expected += np.concatenate(vectors)
    assert 0 < clipped < len(units) * len(groups)
    step = clip_norm / PrivateSum.sensitivity
    np.testing.assert_allclose(total.total * step, expected, atol=1e-8)


def test_more_records_do_not_make_a_unit_heavier() -> None:
    one = {name: torch.full((50, *shape), 0.4) for name, shape in SHAPES.items()}
    few, many = (PrivateSum([_part("a", "b", "c")], 0.5) for _ in range(2))
    few.add(one, range(1))
    many.add(one, range(50))
    np.testing.assert_allclose(few.total, many.total, atol=4)
    apart = PrivateSum([_part("a", "b", "c")], 0.5)
    for row in range(50):
        apart.add(one, [row])
    assert _squared(apart.total) > 2000 * _squared(many.total)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_unit_that_is_not_finite_counts_as_zero(bad: float) -> None:
    gradients = _gradients(3, 1)
    total = PrivateSum([_part("a", "c"), _part("b")], 1.0)
    total.add(gradients, [0])
    before = total.total
    gradients["b"][2, 1] = bad
    total.add(gradients, [1, 2])
    assert np.array_equal(total.total, before)


def test_what_is_released_is_sum_and_noise_over_a_public_constant() -> None:
    parts = [_part("a", "c"), _part("b")]
    total = PrivateSum(parts, 2.0)
    total.add(_gradients(2, 3), [0, 1])
    key = bytes(range(32))
    released = total.release(1.5, 8.0, NoiseStream.insecure_from_key(key))
    silent = PrivateSum(parts, 2.0).release(1.5, 8.0, NoiseStream.insecure_from_key(key))
    assert {name: value.shape for name, value in released.items()} == SHAPES
    step = 2.0 / PrivateSum.sensitivity
    flat = np.concatenate([(released[n] - silent[n]).ravel() for n in ("a", "c", "b")])
    np.testing.assert_allclose(flat, total.total * step / 8.0, atol=1e-6)
    assert coordinates(parts) == 11


def test_noise_drawn_ahead_is_that_of_the_streams_branch() -> None:
    def stream() -> NoiseStream:
        return NoiseStream.insecure_from_key(bytes(range(32)))

    total = PrivateSum([_part("a", "b", "c")], 2.0)
    total.add(_gradients(2, 3), [0, 1])
    ahead = total.release(1.5, 8.0, NoiseAhead(noise_of(1.5, 11), stream()))
    alone = total.release(1.5, 8.0, stream().branch())
    assert all(np.array_equal(ahead[name], alone[name]) for name in SHAPES)
    with pytest.raises(ValueError, match="drawn ahead"):
        total.release(1.6, 8.0, NoiseAhead(noise_of(1.5, 11), stream()))


def test_an_empty_batch_releases_noise_of_the_stated_size() -> None:
    part = {"wide": nn.Parameter(torch.zeros(40_000))}
    released = PrivateSum([part], 0.5).release(1.2, 4.0, NoiseStream.fresh())["wide"]
    sigma = 1.2 * 0.5 / 4.0
    assert abs(released.mean()) < 5 * sigma / 200
    assert abs(released.std() / sigma - 1) < 5 / np.sqrt(2 * 40_000)
    again = PrivateSum([part], 0.5).release(1.2, 4.0, NoiseStream.fresh())["wide"]
    assert abs(np.corrcoef(released, again)[0, 1]) < 5 / 200


def test_the_accountant_is_told_of_the_noise_that_is_drawn() -> None:
    noise = noise_of(0.9, 7)
    assert noise.coordinates == 7
    assert noise.sensitivity == PrivateSum.sensitivity
    assert 0.9 <= noise.noise_multiplier < 0.9 + 1e-9
