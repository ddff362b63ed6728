"""The discrete Gaussian sampler against the exact probabilities."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from fedmrg_secure.privacy import exponential, mechanism
from fedmrg_secure.privacy.mechanism import MAX_SIGMA, SigmaOutOfRange, discrete_gaussian
from fedmrg_secure.privacy.randomness import NoiseStream

KEY = hashlib.sha256(b"test of the sampler").digest()
SAMPLES = 200_000


def stream(label: str = "") -> NoiseStream:
    return NoiseStream.insecure_from_key(hashlib.sha256(KEY + label.encode()).digest())


def exact_pmf(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    reach = math.ceil(12 * sigma) + 12
    points = np.arange(-reach, reach + 1)
    weights = np.exp(-(points**2) / (2.0 * sigma**2))
    return points, weights / weights.sum()


def chi_square_p(samples: np.ndarray, sigma: float) -> float:
    points, pmf = exact_pmf(sigma)
    expected = pmf * samples.size
    inside = np.flatnonzero(expected >= 20)
    low, high = inside[0], inside[-1]
    cells = np.clip(np.searchsorted(points, samples), low, high) - low
    observed = np.bincount(cells, minlength=high - low + 1)
    grouped = expected[low : high + 1].copy()
    grouped[0] += expected[:low].sum()
    grouped[-1] += expected[high + 1 :].sum()
    return float(stats.chisquare(observed, grouped * (samples.size / grouped.sum())).pvalue)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 1.9999, 2.0, 3.7, 17.25, 100.0])
def test_small_sigmas_have_the_exact_probabilities(sigma: float) -> None:
    samples = discrete_gaussian(SAMPLES, sigma, stream())
    assert samples.dtype == np.int64
    assert chi_square_p(samples, sigma) > 1e-4


@pytest.mark.parametrize("sigma", [1e4, 2.0**20, 2.0**32, float(MAX_SIGMA)])
def test_large_sigmas_are_normal_to_the_eye_of_a_kolmogorov_test(sigma: float) -> None:
    # The distribution functions differ by less than 1e-4 / sqrt(samples) there.
    samples = discrete_gaussian(SAMPLES, sigma, stream())
    assert stats.kstest(samples / sigma, "norm").pvalue > 1e-4
    assert abs(samples.std() / sigma - 1) < 5 / math.sqrt(2 * SAMPLES)
    # The low bits are uniform: nothing of the sum below shows through.
    low = np.bincount(samples & 15, minlength=16)
    assert stats.chisquare(low).pvalue > 1e-4


def test_the_tests_notice_a_sigma_that_is_two_percent_off() -> None:
    samples = discrete_gaussian(SAMPLES, 3.7 * 1.02, stream())
    assert chi_square_p(samples, 3.7) < 1e-4


def test_every_decision_in_exact_integers_gives_the_same_distribution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So large an error bound leaves every decision to the slow path.
    monkeypatch.setattr(exponential, "ERROR", 2.0)
    samples = discrete_gaussian(4000, Fraction(5, 2), stream())
    assert chi_square_p(samples, 2.5) > 1e-4


def test_fast_and_slow_decisions_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = discrete_gaussian(2000, 1000.5, stream())
    monkeypatch.setattr(exponential, "ERROR", 2.0)
    slow = discrete_gaussian(2000, 1000.5, stream())
    # 53 known bits decide all of these without drawing further ones.
    assert np.array_equal(fast, slow)


def test_rare_words_of_the_geometric_part_are_decided_exactly() -> None:
    thresholds = exponential.geometric_thresholds()
    words = np.concatenate([thresholds[:3] - 1, thresholds[:3] + 1, [np.uint64(2**64 - 1)]])
    assert mechanism._geometric(words, stream()).tolist() == [1, 2, 3, 0, 1, 2, 0]
    counts = [
        int(mechanism._geometric(thresholds[:1], stream(str(each)))[0]) for each in range(300)
    ]
    low, _ = exponential.exp_minus_bounds(Fraction(1), 100)
    share = float(low * 2**64 - int(thresholds[0]))  # of the words that begin so and are below
    assert set(counts) == {0, 1}
    assert abs(sum(counts) / 300 - share) < 4.5 * math.sqrt(share * (1 - share) / 300)
    # A word of zeros is below exp(-44), and once in e^0.64 below exp(-45) too.
    assert mechanism._geometric(np.zeros(50, dtype=np.uint64), stream()).min() >= 44


@pytest.mark.parametrize(
    ("sigma", "pinned"),
    [
        (2.0**32, "7e4619bd0954a3c38a5767ffe6d5d67727fe01a3dbf35730a98fff88c04c6266"),
        (0.5, "9697d7b4144c5799689c6f908aedbcbc27b30f00727d78ffba8c6c014cd7c2e7"),
    ],
)
def test_the_values_are_pinned_for_all_machines(sigma: float, pinned: str) -> None:
    samples = discrete_gaussian(1000, sigma, stream())
    assert hashlib.sha256(samples.astype("<i8").tobytes()).hexdigest() == pinned


@pytest.mark.parametrize("size", [0, 1, 2, 17])
def test_any_number_of_samples(size: int) -> None:
    assert discrete_gaussian(size, 4.0, stream()).shape == (size,)


@pytest.mark.parametrize(
    "sigma", [0, -1.0, math.nan, math.inf, 2.0**40 + 1, Fraction(1, 2048), -math.inf]
)
def test_a_sigma_that_cannot_be_sampled_is_refused(sigma: Fraction | float) -> None:
    with pytest.raises(SigmaOutOfRange):
        discrete_gaussian(1, sigma, stream())


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        discrete_gaussian(-1, 1.0, stream())
