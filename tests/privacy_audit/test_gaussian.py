"""From error rates to epsilon: closed forms, exact coverage, and the power that is planned for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from fedmrg_secure.privacy.accountant import calibrate
from fedmrg_secure.privacy_audit.gaussian import (
    Outcomes,
    Shown,
    delta_of,
    epsilon_of,
    mu_of,
    shown_mu,
    trials_for,
    trials_to_refute,
)


@pytest.mark.parametrize("mu", [0.05, 0.27, 1.0, 1.67, 4.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-3])
def test_epsilon_and_mu_are_each_others_inverse(mu: float, delta: float) -> None:
    epsilon = epsilon_of(mu, delta)
    assert delta_of(mu, epsilon) == pytest.approx(delta, rel=1e-6)
    assert mu_of(epsilon, delta) == pytest.approx(mu, rel=1e-6)


def test_delta_is_the_largest_gap_of_two_gaussians() -> None:
    """sup over E of P[E] - e^epsilon Q[E], by integration over where it is positive."""
    for mu, epsilon in ((0.5, 0.3), (1.0, 1.0), (2.0, 4.0)):
        x = np.linspace(-12, 14, 400_001)
        gap = norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x)
        expected = np.trapezoid(np.maximum(gap, 0), x)
        assert delta_of(mu, epsilon) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_the_accountant_knows_the_same_gaussian(epsilon: float) -> None:
    """Four full steps with the calibrated noise cost the target, by the closed form as well."""
    mu = math.sqrt(4) / calibrate(epsilon, 1e-5, 1.0, 4)
    assert 0.99 * epsilon < epsilon_of(mu, 1e-5) <= epsilon


def test_where_nothing_leaks_epsilon_is_zero_and_where_all_does_it_has_no_end() -> None:
    assert epsilon_of(-3.0, 1e-5) == epsilon_of(0.0, 1e-5) == 0.0
    assert epsilon_of(1e-6, 1e-5) == 0.0, "less than delta allows"
    assert epsilon_of(math.inf, 1e-5) == math.inf
    assert Shown(0.5, -1.0, math.inf).at(1e-5) == Shown(epsilon_of(0.5, 1e-5), 0.0, math.inf)


@pytest.mark.parametrize("mu", [0.2, 1.5])
def test_an_estimate_is_seldom_above_the_truth(mu: float) -> None:
    """The exact chance, summed over all outcomes of a few trials."""
    trials, error = 30, 0.1
    counts = np.arange(trials + 1)
    missed = binom.pmf(counts, trials, norm.cdf(-mu / 2))
    above = outside = 0.0
    for hits in range(trials + 1):
        for alarms in range(trials + 1):
            shown = shown_mu(Outcomes(hits, trials, alarms, trials), error)
            assert shown.low <= shown.estimate <= shown.high
            chance = missed[trials - hits] * missed[alarms]
            above += chance * (shown.estimate > mu)
            outside += chance * (not shown.low <= mu <= shown.high)
    assert above <= error
    assert outside <= error
    assert above > error / 1000, "a limit that is never above says too little"


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 4.0, 8.0])
def test_the_trials_planned_reach_the_gate(epsilon: float) -> None:
    delta, error, missing = 1e-5, 1e-4, 1e-3
    mu, least = mu_of(epsilon, delta), mu_of(0.85 * epsilon, delta)
    trials = trials_for(mu, least, error, missing)
    random = np.random.default_rng(5)
    rate = norm.cdf(-mu / 2)
    below = 0
    for missed, alarms in random.binomial(trials, rate, size=(600, 2)).tolist():
        shown = shown_mu(Outcomes(trials - missed, trials, alarms, trials), error)
        assert shown.estimate < mu
        below += shown.estimate < least
    assert below <= 6  # 0.6 are expected
    fewer = trials // 2
    shown = shown_mu(Outcomes(round(fewer * (1 - rate)), fewer, round(fewer * rate), fewer), error)
    assert shown.estimate < mu_of(0.9 * epsilon, delta), "half of them would be too few"


@pytest.mark.parametrize("mu", [0.3, 2.5])
def test_an_attack_that_never_errs_refutes_with_the_fewest_trials(mu: float) -> None:
    trials = trials_to_refute(mu, 1e-4)
    assert shown_mu(Outcomes(trials, trials, 0, trials), 1e-4).estimate >= mu
    assert shown_mu(Outcomes(trials - 1, trials - 1, 0, trials - 1), 1e-4).estimate < mu


def test_an_attack_that_is_always_wrong_shows_nothing() -> None:
    shown = shown_mu(Outcomes(0, 50, 50, 50), 1e-3)
    assert shown.estimate == shown.low == -math.inf
    assert shown.at(1e-5).estimate == 0.0
