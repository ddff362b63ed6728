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
_LEAST_ERROR: Final = 1e-4
_RELATIVE_ERROR: Final = 0.0025
"""What numerical composition may add to epsilon, relative to it, within the two bounds above."""

_LEAST_NOISE: Final = 0.1
_MOST_NOISE: Final = 1e6


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
    if not 0 < delta < 1:
        raise DeltaTooLarge(f"delta must be above 0 and below 1, got {delta:g}")
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
    error = min(_MOST_ERROR, max(_LEAST_ERROR, _RELATIVE_ERROR * rdp))
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
    """The least noise with which all steps together cost at most a target.

    Args:
        target_epsilon: > 0.
        delta: 0 < delta < 1; of it, `SLACK_SHARE` is left for a fine grid or rare truncation.
        sample_rate: the probability q of each unit to be in a step's sum, 0 < q <= 1; 1 stands
            for no sampling.
        steps: of the whole run: rounds x steps a round.

    Returns:
        The noise multiplier, sigma over sensitivity, rounded up to four digits.

    Raises:
        BudgetCannotBeMet: no multiplier from 0.1 to 10^6 is enough.
        DeltaTooLarge: as for `account`.
    """
    if not 0 < target_epsilon < math.inf:
        raise BudgetCannotBeMet(f"a target epsilon must be positive, got {target_epsilon:g}")
    left = delta * (1 - SLACK_SHARE)

    def cost(multiplier: float) -> float:
        noise = ContinuousNoise(multiplier)
        return epsilon([PrivacyEvent(noise, PoissonSampling(sample_rate), steps)], left)

    def quick(multiplier: float) -> float:
        return rdp_epsilon([GaussianSteps(multiplier, sample_rate, steps)], left)

    if quick(_MOST_NOISE) > target_epsilon:
        raise BudgetCannotBeMet(
            f"no noise brings {steps:,} steps at sampling rate {sample_rate:g} to epsilon "
            f"{target_epsilon:g} with delta {delta:g}",
            hint="take fewer steps, a smaller sampling rate, or a larger target",
        )
    enough = _bisect(quick, target_epsilon, _LEAST_NOISE, _MOST_NOISE, ratio=1.01)
    little = enough
    while little > _LEAST_NOISE and cost(little) <= target_epsilon:
        enough, little = little, little * 0.85
    multiplier = _round_up(_bisect(cost, target_epsilon, little, enough, ratio=1.0005))
    while cost(multiplier) > target_epsilon:
        multiplier = _round_up(multiplier * 1.0005)
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
    if not abs(pld - prv) <= AGREEMENT * max(pld, prv) + 2 * prv_error:
        raise _disagree(f"PLD gives {pld:.4f} and PRV {prv:.4f}")


def _as_gaussian_steps(events: Sequence[PrivacyEvent]) -> list[GaussianSteps]:
    """The continuous steps that events are compared with, equal ones together."""
    counts: dict[tuple[float, float], int] = {}
    for event in events:
        key = (event.noise.noise_multiplier, event.sampling.rate)
        counts[key] = counts.get(key, 0) + event.steps
    return [GaussianSteps(*key, steps) for key, steps in sorted(counts.items())]


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


def _bisect(
    cost: Callable[[float], float], target: float, low: float, high: float, ratio: float
) -> float:
    """The least of [low, high] whose falling cost is at most the target, up to a factor `ratio`."""
    while high > low * ratio:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle) <= target else (middle, high)
    return high


def _round_up(value: float) -> float:
    scale = 10.0 ** (3 - math.floor(math.log10(value)))
    return math.ceil(value * scale) / scale


def _disagree(how: str) -> AccountantsDisagree:
    return AccountantsDisagree(
        f"accountants disagree: {how}",
        hint="no epsilon is known for this; use parameters nearer to common ones, and report it",
    )
