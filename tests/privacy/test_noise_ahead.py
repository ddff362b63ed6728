"""Noise that is drawn ahead is the noise of a stream of its own, and is given out once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fedmrg_secure.privacy.events import GridNoise
from fedmrg_secure.privacy.grid import add_noise
from fedmrg_secure.privacy.mechanism import discrete_gaussian
from fedmrg_secure.privacy.noise_ahead import NoiseAhead
from fedmrg_secure.privacy.randomness import NoiseStream

NOISE = GridNoise(Fraction(3 << 20), Fraction(1 << 20), 5000)


def stream() -> NoiseStream:
    return NoiseStream.insecure_from_key(bytes(range(32)))


def test_it_is_what_the_branch_of_the_stream_gives() -> None:
    drawn = NoiseAhead(NOISE, stream()).take(NOISE)
    assert np.array_equal(drawn, discrete_gaussian(5000, NOISE.sigma, stream().branch()))
    total = np.arange(5000) * 10**6
    noised = add_noise(total, NOISE, NoiseAhead(NOISE, stream()))
    assert np.array_equal(noised - total, drawn)
    assert np.array_equal(total, np.arange(5000) * 10**6)


def test_the_stream_goes_on_whatever_the_thread_does() -> None:
    source = stream()
    first = NoiseAhead(NOISE, source)
    between = source.read(16)
    second = NoiseAhead(NOISE, source)
    after = source.read(16)
    plain = stream().read(96)
    assert (between, after) == (plain[32:48], plain[80:96])
    drawn = [ahead.take(NOISE) for ahead in (second, first)]
    assert abs(np.corrcoef(*drawn)[0, 1]) < 5 / np.sqrt(5000)


def test_no_two_sums_get_the_same_noise() -> None:
    ahead = NoiseAhead(NOISE, stream())
    total = np.zeros(5000, dtype=np.int64)
    add_noise(total, NOISE, ahead)
    with pytest.raises(ValueError, match="taken before"):
        add_noise(total, NOISE, ahead)


@pytest.mark.parametrize(
    "other",
    [
        GridNoise(Fraction((3 << 20) + 1), Fraction(1 << 20), 5000),
        GridNoise(Fraction(3 << 20), Fraction(1 << 20), 4999),
    ],
)
def test_noise_that_is_not_the_accounted_one_is_refused(other: GridNoise) -> None:
    with pytest.raises(ValueError, match="drawn ahead"):
        NoiseAhead(NOISE, stream()).take(other)
