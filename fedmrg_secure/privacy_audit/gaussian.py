"""Gaussian differential privacy: from an attacker's error rates to an epsilon, and back.

A mechanism is mu-GDP if telling two neighbouring data sets apart is at least as hard as telling
N(0, 1) from N(mu, 1) by one draw. Noisy sums that hold every unit are, step after step, so one
point on the trade-off of two error rates fixes mu, and mu fixes epsilon at every delta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import beta

_MOST_EPSILON = 1e4
_MOST_MU = 100.0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How often an attack says that the canary is there.

    Attributes:
        hits: trials with the canary in which it says so.
        present: trials with the canary, >= 1.
        alarms: trials without the canary in which it says so.
        absent: trials without the canary, >= 1.
    """

    hits: int
    present: int
    alarms: int
    absent: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What outcomes say of a mechanism, each figure at the stated confidence.

    Attributes:
        estimate: the largest mu, or epsilon, that they show: the lower end of a one-sided interval.
        low, high: the ends of the two-sided interval; `high` may be infinite.
    """

    estimate: float
    low: float
    high: float

    def at(self, delta: float) -> Shown:
        """The epsilons at a delta, where the figures are values of mu."""
        ends = (epsilon_of(value, delta) for value in (self.estimate, self.low, self.high))
        return Shown(*ends)


def shown_mu(outcomes: Outcomes, error: float) -> Shown:
    """Confidence limits on mu, whatever the distribution of what the attack looked at.

    Args:
        outcomes: of independent trials by a rule that was fixed before them.
        error: the chance that the estimate is above the mechanism's mu, and the chance that
            `low` to `high` does not hold it; 0 < error < 1.

    Returns:
        Values of mu; negative where the attack is worse than a coin.

    Guarantee:
        If the mechanism is mu-GDP, P[estimate > mu] <= error, for every number of trials: both
        error rates have exact binomial limits, which share `error` between them.

    Source:
        Nasr et al. 2023, section 4; Dong, Roth, Su 2022 for the trade-off; Clopper and Pearson
        1934 for the limits.
    """
    missed = outcomes.present - outcomes.hits

    def least(share: float) -> float:
        return -_quantile(_upper(outcomes.alarms, outcomes.absent, share)) - _quantile(
            _upper(missed, outcomes.present, share)
        )

    def most(share: float) -> float:
        return -_quantile(_lower(outcomes.alarms, outcomes.absent, share)) - _quantile(
            _lower(missed, outcomes.present, share)
        )

    return Shown(least(error / 2), least(error / 4), most(error / 4))


def epsilon_of(mu: float, delta: float) -> float:
    """The least epsilon with which mu-GDP is (epsilon, delta)-DP.

    Args:
        mu: any; 0 and less leak nothing.
        delta: 0 < delta < 1.

    Source:
        Balle and Wang 2018, theorem 8; Dong, Roth, Su 2022, corollary 2.13.
    """
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    if delta_of(mu, _MOST_EPSILON) > delta:
        return math.inf
    return float(brentq(lambda e: delta_of(mu, e) - delta, 0.0, _MOST_EPSILON, xtol=1e-10))


def delta_of(mu: float, epsilon: float) -> float:
    """The least delta with which mu-GDP is (epsilon, delta)-DP, epsilon >= 0."""
    if mu <= 0:
        return 0.0
    if math.isinf(mu):
        return 1.0
    ratio = epsilon / mu
    return float(ndtr(mu / 2 - ratio) - math.exp(epsilon + log_ndtr(-mu / 2 - ratio)))


def mu_of(epsilon: float, delta: float) -> float:
    """The mu whose epsilon at `delta` is this: the inverse of `epsilon_of`, epsilon > 0."""
    return float(brentq(lambda mu: delta_of(mu, epsilon) - delta, 0.0, _MOST_MU, xtol=1e-12))


def trials_for(mu: float, least_mu: float, error: float, missing: float) -> int:
    """Trials with the canary, and as many without, that an estimate takes.

    Args:
        mu: of the mechanism.
        least_mu: what the estimate should reach, below `mu`.
        error: as for `shown_mu`.
        missing: the chance that it stays below, if the mechanism is just mu-GDP.

    Returns:
        By the normal approximation to the binomial, for the rule that cuts at mu / 2.
    """
    rate = float(ndtr(-mu / 2))
    slope = math.exp(-(mu**2) / 8) / math.sqrt(2 * math.pi)
    spread = math.sqrt(rate * (1 - rate)) / slope
    standard = 2 * -float(ndtri(error / 2)) + math.sqrt(2) * -float(ndtri(missing))
    return math.ceil((standard * spread / (mu - least_mu)) ** 2)


def trials_to_refute(mu: float, error: float) -> int:
    """Trials with and without, of which an attack that never errs shows at least this mu > 0."""
    return math.ceil(math.log(error / 2) / math.log1p(-float(ndtr(-mu / 2))))


def _quantile(rate: float) -> float:
    return float(ndtri(rate))


def _upper(count: int, trials: int, error: float) -> float:
    return 1.0 if count == trials else float(beta.ppf(1 - error, count + 1, trials - count))


def _lower(count: int, trials: int, error: float) -> float:
    return 0.0 if count == 0 else float(beta.ppf(error, count, trials - count + 1))
