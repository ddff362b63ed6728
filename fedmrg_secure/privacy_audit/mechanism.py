"""The audit of the mechanism: canaries through the path that trains, and the verdict.

Everything is fixed before the first release: the attacks, their thresholds, how many trials they
take, and the chance of a false alarm, which all checks of all claims share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.privacy_audit.claim import Claim, make_claim
from fedmrg_secure.privacy_audit.gaussian import (
    Outcomes,
    mu_of,
    shown_mu,
    trials_for,
    trials_to_refute,
)
from fedmrg_secure.privacy_audit.mutants import MUTANTS
from fedmrg_secure.privacy_audit.poisson import poisson_p_values
from fedmrg_secure.privacy_audit.verdict import GATE, Check, Judgement, MechanismAudit
from fedmrg_secure.privacy_audit.worlds import (
    WIDTH,
    MakePath,
    bystander_energies,
    canary_runs,
    inclusions,
)
from fedmrg_secure.training.private_step import PrivateSteps

LEAST_TRIALS: Final = 10_000
FALSE_ALARM: Final = 1e-3
"""The chance, at most, that a sound mechanism is not called NOT_FALSIFIED for every claim, where
the audit chooses the number of trials."""

SAMPLING_RATE: Final = 0.05
"""Of the sampler's own test; in trials with canaries every patient is in every step."""

_RUNS: Final = 2
_PRESENT: Final = WIDTH // 2
_THRESHOLD: Final = 0.5
_SAMPLED: Final = 1000
_DRAWS: Final = 400
_NEIGHBOURS: Final = ((0, 1), (3, 4))
"""Numbers of patients told apart by the bystanders: an empty batch or not, and a divisor."""

_LEAST_BYSTANDERS: Final = 64
_MARGIN: Final = 1.5
"""How far above the claim an attack that never errs must be able to show a leak, in mu."""

_REACHED: Final = 0.99
"""What calibration and the accountant's own error leave of a target at least."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How much is looked at, and what each check may err."""

    repeats: int
    error: float


def audit_mechanism(
    epsilons: Sequence[float],
    delta: float,
    *,
    trials: int | None = None,
    make: MakePath = PrivateSteps,
    mutants: Mapping[str, MakePath] = MUTANTS,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> MechanismAudit:
    """Audit the path that trains at each claimed epsilon, and the audit itself by mutants.

    Args:
        epsilons: claimed, at least one.
        delta: of all claims, below 1/256.
        trials: with a canary and as many without, for each claim; as many as the gate takes, and
            10,000 at least, if None.
        make: what is audited.
        mutants: what must be flagged.
        on_progress: audits done, in all, and the name of the next.

    Assumes:
        What is added up over the steps of a run is a Gaussian mechanism's: `shown_mu` needs it to
        go from error rates to epsilon at a small delta. See docs/privacy.md for what follows.

    Raises:
        BudgetCannotBeMet, AccountantsDisagree: no noise is known for an epsilon.
    """
    total = len(epsilons) + len(mutants)
    claims = []
    for done, epsilon in enumerate(epsilons):
        on_progress(done, total, f"the mechanism at epsilon {epsilon:g}")
        claim = make_claim(epsilon, delta, _PRESENT, WIDTH)
        claims.append(_judge(make, claim, _plan(claim, trials, len(epsilons))))
    hardest = max((each.claim for each in claims), key=lambda claim: claim.epsilon)
    plan = _plan(hardest, trials, len(epsilons))
    judged = {}
    for done, (name, mutant) in enumerate(mutants.items(), start=len(epsilons)):
        on_progress(done, total, f"a mutant: {name}")
        judged[name] = _judge(mutant, hardest, plan)
    on_progress(total, total, "")
    return MechanismAudit(tuple(claims), judged)


def _plan(claim: Claim, trials: int | None, claims: int) -> _Plan:
    """Nine tenths of the false alarms are for saying FAIL, in four equal parts a claim."""
    error = 0.9 * FALSE_ALARM / (4 * claims)
    if trials is None:
        mu = mu_of(_REACHED * claim.epsilon, claim.delta)
        least = mu_of(GATE * claim.epsilon, claim.delta)
        trials = max(LEAST_TRIALS, trials_for(mu, least, error, 0.1 * FALSE_ALARM / claims))
    return _Plan(math.ceil(trials / (_RUNS * _PRESENT)), error)


def _judge(make: MakePath, claim: Claim, plan: _Plan) -> Judgement:
    outcomes = _canaries(make, claim, plan.repeats)
    shown = shown_mu(outcomes, plan.error).at(claim.delta)
    checks = (
        _attack("canaries", {"estimate": shown.estimate}, claim),
        _attack("other run", {"estimate": _other_run(make, claim, plan.error)}, claim),
        _attack("bystanders", _bystanders(make, claim, plan.error), claim),
        _sampler(make, claim, plan.error),
    )
    return Judgement(claim, shown, outcomes.present, _RUNS * _PRESENT, 1 - plan.error, checks)


def _attack(name: str, shown: Mapping[str, float], claim: Claim) -> Check:
    return Check(name, max(shown.values()) > claim.epsilon, shown, claim.epsilon)


def _canaries(make: MakePath, claim: Claim, repeats: int) -> Outcomes:
    """Is a canary in the data, by whether its coordinate is nearer to 1 than to 0?"""
    hits = alarms = 0
    for _ in range(_RUNS):
        present = _half_of_them()
        said = canary_runs(make, claim, present, repeats) > _THRESHOLD
        hits += int(said[:, present].sum())
        alarms += int(said[:, ~present].sum())
    trials = _RUNS * _PRESENT * repeats
    return Outcomes(hits, trials, alarms, trials)


def _other_run(make: MakePath, claim: Claim, error: float) -> float:
    """The same, after what a run without any patient released has been subtracted.

    Independent noise makes that harder; noise that repeats from run to run cancels.
    """
    present = _half_of_them()
    nobody = np.zeros_like(present)
    released = canary_runs(make, claim, present, 1) - canary_runs(make, claim, nobody, 1)
    said = released[0] > _THRESHOLD
    outcomes = Outcomes(
        int(said[present].sum()), _PRESENT, int(said[~present].sum()), WIDTH - _PRESENT
    )
    return shown_mu(outcomes, error).at(claim.delta).estimate


def _bystanders(make: MakePath, claim: Claim, error: float) -> dict[str, float]:
    """Do coordinates that no patient touches tell of one patient more?"""
    error /= len(_NEIGHBOURS)
    held_out = max(_LEAST_BYSTANDERS, trials_to_refute(_MARGIN * claim.mu, error))
    shown = {}
    for few, more in _NEIGHBOURS:
        worlds = [bystander_energies(make, claim, n, 2 * held_out) for n in (few, more)]
        outcomes = _told_apart(worlds[0], worlds[1])
        name = f"{few} or {more} patients"
        shown[name] = shown_mu(outcomes, error).at(claim.delta).estimate
    return shown


def _told_apart(without: FloatVector, present: FloatVector) -> Outcomes:
    """A rule that is learned from the first half of the trials, tried on the second."""
    half = without.size // 2
    low, high = float(np.median(without[:half])), float(np.median(present[:half]))
    threshold, sign = (low + high) / 2, 1 if high > low else -1
    hits = int(np.sum(sign * (present[half:] - threshold) > 0))
    alarms = int(np.sum(sign * (without[half:] - threshold) > 0))
    return Outcomes(hits, present.size - half, alarms, without.size - half)


def _sampler(make: MakePath, claim: Claim, error: float) -> Check:
    drawn = inclusions(
        make,
        claim,
        patients=_SAMPLED,
        expected_batch=SAMPLING_RATE * _SAMPLED,
        steps=_DRAWS,
    )
    chances = poisson_p_values(drawn, SAMPLING_RATE)
    limit = error / len(chances)
    return Check("sampler", min(chances.values()) < limit, chances, limit)


def _half_of_them() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which coordinates have their canary in the data: half, in an order that nobody chose."""
    present = np.zeros(WIDTH, dtype=np.bool_)
    present[np.random.default_rng().permutation(WIDTH)[:_PRESENT]] = True
    return present
