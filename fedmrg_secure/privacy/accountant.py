"""What a list of events costs in all: (epsilon, delta), recomputed from all of them each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.privacy.coupling import discretisation_distance, truncation_distance
from fedmrg_secure.privacy.curves import (
    GaussianSteps,
    pld_epsilon,
    pld_installed,
    prv_epsilon,
    rdp_epsilon,
)
from fedmrg_secure.privacy.events import ContinuousNoise, GridNoise, PoissonSampling, PrivacyEvent

SLACK_SHARE: Final = 1e-3
"""The share of delta set aside for the distance between what is done and what is analysed."""

AGREEMENT: Final = 0.01
"""How far PLD and PRV may lie apart, relative to the larger."""

_MOST_ERROR: Final = 0.01
_LEAST_ERROR: Final = 5e-4
_RELATIVE_ERROR: Final = 0.0025
"""What numerical composition may add to epsilon, relative to it, within the two bounds above."""

_LEAST_NOISE: Final = 0.1
_MOST_NOISE: Final = 1e6
_CALIBRATED: Final = 0.003
"""How far below its target a calibrated epsilon may stay, relative to it."""


class AccountantsDisagree(FedmrgError):
    """Accountants that must agree do not: no epsilon is known."""

    code: ClassVar[str] = "FMRG-4622"


class DeltaTooLarge(InputError):
    """delta is not between 0 and one over the number of units: it would allow to publish one."""

    code: ClassVar[str] = "FMRG-4623"


class BudgetCannotBeMet(InputError):
    """No amount of noise reaches the epsilon asked for."""

    code: ClassVar[str] = "FMRG-4624"


@dataclass(frozen=True, slots=True)
class Account:
    """What events cost, by every accountant that can say.

    Attributes:
        epsilon: what is charged: the smaller of `rdp` and `prv`, both of which are upper bounds.
        delta: the delta it holds with.
        rdp: by Renyi differential privacy; infinite where no order has a bound.
        prv: by numerical composition; infinite where the noise's grid is too coarse for it.
        pld: by dp-accounting, where that is installed and applies.
    """

    epsilon: float
    delta: float
    rdp: float
    prv: float
    pld: float | None


def epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
    """The epsilon of all events together; see `account`."""
    return account(events, delta).epsilon


def account(events: Sequence[PrivacyEvent], delta: float) -> Account:
    """What all events together cost, at a given delta.

    Args:
        events: in any order; none costs nothing.
        delta: 0 < delta < 1.

    Guarantee:
        Releasing the results of all events is (epsilon, delta)-differentially private for adding or
        removing one unit, as derived in docs/privacy.md.

    Assumes:
        What each event says is true. The kinds and numbers of later events were not chosen by
        looking at results of earlier ones.

    Raises:
        DeltaTooLarge: delta is NaN or out of range.
        AccountantsDisagree: PLD and PRV differ by over 1 %, one of them exceeds RDP by more than
            its own error, or a result is NaN.
    """
    _check_open_unit(delta)
    if not events:
        return Account(0.0, delta, 0.0, 0.0, 0.0)
    steps = _as_gaussian_steps(events)
    truncated = truncation_distance(events)
    apart = truncated + discretisation_distance(events)

    rdp = _with_slack(lambda left: rdp_epsilon(steps, left), delta, apart)
    if any(isinstance(event.noise, GridNoise) for event in events):
        # At integer orders the discrete Gaussian needs no comparison with the continuous one.
        exact = _with_slack(
            lambda left: rdp_epsilon(steps, left, integer_orders=True), delta, truncated
        )
        rdp = min(rdp, exact)
    error = _prv_error(rdp)
    prv = _with_slack(lambda left: prv_epsilon(steps, left, error), delta, apart)
    pld = None
    if pld_installed():
        pld = _with_slack(lambda left: pld_epsilon(steps, left), delta, apart)
    check_agreement(rdp, prv, pld, error)
    return Account(min(rdp, prv), delta, rdp, prv, pld)


def check_delta(delta: float, units: int) -> None:
    """Refuse a delta at which publishing one random unit in the clear would be allowed.

    Args:
        delta: of the guarantee.
        units: patients or records of the data set.

    Raises:
        DeltaTooLarge: delta is NaN, 0 or less, or at least 1/units.
    """
    if not 0 < delta * units < 1:
        raise DeltaTooLarge(
            f"delta must be above 0 and below 1/n = {1 / max(units, 1):.1e} for n = {units:,}, "
            f"got {delta:g}",
            hint="a larger delta would allow to publish one of them; 1e-5 or 1/(10 n) are usual",
        )


def calibrate(target_epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The noise with which all steps together cost a target epsilon and no more.

    Args:
        target_epsilon: > 0.
        delta: 0 < delta < 1; of it, `SLACK_SHARE` is left for a fine grid or rare truncation.
        sample_rate: the probability q of each unit to be in a step's sum, 0 < q <= 1; 1 stands
            for no sampling.
        steps: of the whole run: rounds x steps a round.

    Returns:
        The noise multiplier, sigma over sensitivity. It costs at most the target, and at least
        99.7 % of it.

    Raises:
        BudgetCannotBeMet: no multiplier up to 10^6 is enough, or the target is not a number.
        DeltaTooLarge, AccountantsDisagree: as for `account`.
    """
    if not 0 < target_epsilon < math.inf:
        raise BudgetCannotBeMet(f"a target epsilon must be positive, got {target_epsilon:g}")
    _check_open_unit(delta)
    left = delta * (1 - SLACK_SHARE)
    sampling = PoissonSampling(sample_rate)

    def by_rdp(multiplier: float) -> float:
        return rdp_epsilon((GaussianSteps(multiplier, sample_rate, steps),), left)

    def cost(multiplier: float) -> float:
        alone = (GaussianSteps(multiplier, sample_rate, steps),)
        rdp = rdp_epsilon(alone, left)
        return min(rdp, prv_epsilon(alone, left, _prv_error(rdp)))

    if by_rdp(_MOST_NOISE) > target_epsilon:
        raise BudgetCannotBeMet(
            f"no noise brings {steps:,} steps at sampling rate {sample_rate:g} to epsilon "
            f"{target_epsilon:g} with delta {delta:g}",
            hint="take fewer steps, a smaller sampling rate, or a larger target",
        )
    start = _halve(by_rdp, target_epsilon, _LEAST_NOISE, _MOST_NOISE)
    multiplier = _close_in(cost, target_epsilon, start)
    account([PrivacyEvent(ContinuousNoise(multiplier), sampling, steps)], left)
    return multiplier


def check_agreement(rdp: float, prv: float, pld: float | None, prv_error: float) -> None:
    """Refuse results of accountants that cannot all be right.

    Args:
        rdp: infinite where no order has a bound.
        prv: an upper bound; infinite where it does not apply.
        pld: None where it is not installed; infinite where it does not apply.
        prv_error: what `prv` lies above its own estimate.

    Raises:
        AccountantsDisagree: see `account`.
    """
    values = {"RDP": rdp, "PRV": prv} | ({} if pld is None else {"PLD": pld})
    for name, value in values.items():
        if math.isnan(value) or value < 0:
            raise _disagree(f"{name} gives {value}")
        if value != math.inf and value - 2 * prv_error > rdp:
            raise _disagree(f"{name} gives {value:.4f}, above RDP's {rdp:.4f}")
    if pld is None or (math.isinf(prv) and math.isinf(pld)):
        return
    if math.inf in (pld, prv) or abs(pld - prv) > AGREEMENT * max(pld, prv) + 2 * prv_error:
        raise _disagree(f"PLD gives {pld:.4f} and PRV {prv:.4f}")


def _as_gaussian_steps(events: Sequence[PrivacyEvent]) -> tuple[GaussianSteps, ...]:
    """The continuous steps that events are compared with, equal ones together."""
    counts: dict[tuple[float, float], int] = {}
    for event in events:
        key = (event.noise.noise_multiplier, event.sampling.rate)
        counts[key] = counts.get(key, 0) + event.steps
    return tuple(GaussianSteps(*key, steps) for key, steps in sorted(counts.items()))


def _with_slack(bound: Callable[[float], float], delta: float, distance: float) -> float:
    """An epsilon at `delta` for what is within a total variation `distance` of what `bound` knows.

    If P and Q are within the distance of P' and Q', and P'(E) <= e^eps Q'(E) + d, then
    P(E) <= e^eps Q(E) + d + (1 + e^eps) distance. So the last term is set aside first.
    """
    if distance == 0:
        return bound(delta)
    share = SLACK_SHARE * delta
    while share < delta:
        result = bound(delta - share)
        # e^result may overflow; then there is no bound either.
        needed = distance * (1 + math.exp(min(result, 700.0)))
        if result <= 700 and needed <= share:
            return result
        share = 1.1 * max(needed, share)
    return math.inf


def _halve(cost: Callable[[float], float], target: float, low: float, high: float) -> float:
    """A multiplier in [low, high] whose cost is at most the target, within 1 % of the least."""
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle) <= target else (middle, high)
    return high


def _close_in(cost: Callable[[float], float], target: float, enough: float) -> float:
    """From a multiplier that is enough to one whose cost is within `_CALIBRATED` of the target."""
    reached = cost(enough)
    low, low_cost = enough, reached
    while low_cost <= target and low > _LEAST_NOISE / 2:
        if low_cost >= target * (1 - _CALIBRATED):
            return low
        enough, reached = low, low_cost
        low *= max(0.7, 0.98 * low_cost / target)
        low_cost = cost(low)
    while reached < target * (1 - _CALIBRATED) and enough > low * (1 + 1e-6):
        # Costs fall nearly like a power of the noise: aim a little below the target on that line.
        slope = math.log(low_cost / reached) / math.log(enough / low)
        aim = enough / (target * (1 - _CALIBRATED / 2) / reached) ** (1 / slope)
        if not low < aim < enough:
            aim = math.sqrt(low * enough)
        value = cost(aim)
        if value <= target:
            enough, reached = aim, value
        else:
            low, low_cost = aim, value
    return enough


def _prv_error(rdp: float) -> float:
    return min(_MOST_ERROR, max(_LEAST_ERROR, _RELATIVE_ERROR * rdp))


def _check_open_unit(delta: float) -> None:
    if not 0 < delta < 1:
        raise DeltaTooLarge(f"delta must be above 0 and below 1, got {delta:g}")


def _disagree(how: str) -> AccountantsDisagree:
    return AccountantsDisagree(
        f"accountants disagree: {how}",
        hint="no epsilon is known for this; use parameters nearer to common ones, and report it",
    )
