"""What an audit says: figures, checks and a verdict for each claim, and what it means in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.privacy_audit.claim import Claim
from fedmrg_secure.privacy_audit.gaussian import Shown

GATE: Final = 0.85
"""The least share of a claimed epsilon that an estimate must reach to say anything."""


class ClaimRefuted(FedmrgError):
    """An audit shows that more can be learned of a patient than is claimed."""

    code: ClassVar[str] = "FMRG-4651"


class AuditUnderpowered(FedmrgError):
    """An audit came too far below the claim to speak for it."""

    code: ClassVar[str] = "FMRG-4652"


class AuditBlind(FedmrgError):
    """An audit did not flag a mechanism that is broken on purpose."""

    code: ClassVar[str] = "FMRG-4653"


class Verdict(StrEnum):
    """What an audit may say, the worst first; it cannot say that a mechanism is private."""

    FAIL = "FAIL"
    UNDERPOWERED = "UNDERPOWERED"
    NOT_FALSIFIED = "NOT_FALSIFIED"


@dataclass(frozen=True, slots=True)
class Check:
    """One way to look at the releases.

    Attributes:
        name: ``canaries``, ``other run``, ``bystanders`` or ``sampler``.
        failed: it shows more than what is claimed, or a sampler that is not Poisson's.
        figures: epsilons that were shown, or p-values, by what they are of.
        limit: what no epsilon may exceed, or no p-value go below.
    """

    name: str
    failed: bool
    figures: Mapping[str, float]
    limit: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim and what the trials show.

    Attributes:
        claim: what was audited.
        shown: epsilons at the claim's delta, by the canaries.
        trials: with a canary, and as many without.
        canaries: distinct ones; the trials repeat their releases.
        confidence: of `shown`.
        checks: all of them, `canaries` first.
    """

    claim: Claim
    shown: Shown
    trials: int
    canaries: int
    confidence: float
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """FAIL if any check failed; UNDERPOWERED where the estimate is below the gate."""
        if self.caught_by:
            return Verdict.FAIL
        if self.shown.estimate < GATE * self.claim.epsilon:
            return Verdict.UNDERPOWERED
        return Verdict.NOT_FALSIFIED

    @property
    def caught_by(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(check.name for check in self.checks if check.failed)


@dataclass(frozen=True, slots=True)
class MechanismAudit:
    """The whole audit.

    Attributes:
        claims: the path that trains, for each claimed epsilon; at least one.
        mutants: broken paths by name, for the largest claimed epsilon.
    """

    claims: tuple[Judgement, ...]
    mutants: Mapping[str, Judgement]

    @property
    def decisive(self) -> Judgement:
        """The claim with the worst verdict; of equals the first."""
        order = list(Verdict)
        return min(self.claims, key=lambda each: order.index(each.verdict))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Mutants that were not flagged: the audit cannot see what is wrong with them."""
        return tuple(n for n, each in self.mutants.items() if each.verdict is not Verdict.FAIL)

    @property
    def problem(self) -> FedmrgError | None:
        """Why the audit did not pass; None if no claim is falsified and every mutant is flagged."""
        decisive = self.decisive
        claimed = f"epsilon {decisive.claim.epsilon:g}"
        if decisive.verdict is Verdict.FAIL:
            return ClaimRefuted(
                f"{claimed} does not hold: caught by {', '.join(decisive.caught_by)}",
                hint="train nothing privately with this installation, and report it as "
                "SECURITY.md says",
            )
        if self.unseen:
            return AuditBlind(
                f"the audit did not flag: {', '.join(self.unseen)}",
                hint="its verdicts on the mechanism mean nothing until it does; give more --trials "
                "or a smaller --epsilon",
            )
        if decisive.verdict is Verdict.UNDERPOWERED:
            return AuditUnderpowered(
                f"the trials show epsilon {decisive.shown.estimate:.3f} of the claimed "
                f"{decisive.claim.epsilon:g}, less than {100 * GATE:g} % of it",
                hint="leave --trials out, which takes as many as are needed; if that does not help,"
                " more noise is drawn than is accounted for, or the canaries do not arrive",
            )
        return None
