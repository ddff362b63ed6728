"""The closed rounds of a session, held against what this site knows of them itself.

Plans and sums of past rounds come from the coordinator. Each plan names the model state and the
transcript that it starts from: together they are a chain from this site's own state to the newest
one. Whoever follows it knows which model every sum must lead to before it opens the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedmrg_secure.client.policy import (
    AggregateRefused,
    PlanRefused,
    check_aggregate,
    cohort_terms,
)
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.protocol.hashes import aggregate_hash, plan_hash, transcript_hash
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan, SessionStatus
from fedmrg_secure.protocol.phases import SessionPhase


class HistoryDiverged(FedmrgError):
    """This site's state and the coordinator's closed rounds are not of one history."""

    code: ClassVar[str] = "FMRG-6214"


@dataclass(frozen=True, slots=True)
class PastRound:
    """A closed round that continues what this site knows.

    Attributes:
        plan: of the round.
        plan_hash: 32 bytes.
        aggregate: what its sum is of; nothing of the sum itself is known yet.
        model_hash: what adding the sum must lead to, 32 bytes.
        transcript: of the history up to it, 32 bytes.
    """

    plan: RoundPlan
    plan_hash: bytes
    aggregate: AggregateInfo
    model_hash: bytes
    transcript: bytes


def follow_history(
    site: Site, rounds: Sequence[int], applied: Applied, reached: bytes
) -> tuple[PastRound, ...]:
    """Fetch and check the plans and sums' descriptions of the rounds after this site's last one.

    Args:
        rounds: closed rounds in order, the first of them the next after the site's own.
        applied: the last round that this site has applied.
        reached: hash of the model that the last of `rounds` is said to have led to, 32 bytes.

    Raises:
        PlanRefused: a round is not later than the one before, starts from another state or
            history, or its plan breaks the session's terms.
        AggregateRefused: a sum is missing, or not of its round's plan.
        ReplyRefused: an answer is not of the round that was asked for.
    """
    plans = [
        site.coordinator.snapshots.closure(number, acknowledgements=False).plan for number in rounds
    ]
    models = [plan.base_state_hash for plan in plans[1:]] + [reached]
    state, transcript = bytes.fromhex(applied.model_hash), bytes.fromhex(applied.transcript)
    for earlier, later in itertools.pairwise((applied.round, *rounds)):
        if later <= earlier:
            raise _refused(later, f"it is not later than round {earlier}, which is applied before")
    past = []
    for number, plan, model in zip(rounds, plans, models, strict=True):
        _check_past_plan(site, number, plan, state, transcript)
        digest = plan_hash(site.session, plan)
        aggregate = site.coordinator.get_aggregate(number)
        if aggregate is None or aggregate.round != number:
            raise AggregateRefused(f"the sum of closed round {number} is not to be had")
        check_aggregate(aggregate, plan, digest, site.manifest)
        state = model
        transcript = transcript_hash(
            transcript, digest, aggregate_hash(site.session, aggregate), model
        )
        past.append(PastRound(plan, digest, aggregate, model, transcript))
    return tuple(past)


def check_standing(site: Site, status: SessionStatus, applied: Applied) -> None:
    """Return if what this site has applied is the beginning, or all, of what has been closed.

    A round that is summed and not yet closed may be ahead of that. Compared again whenever the
    site asks how the session stands: what a kill has left half compared is noticed after it.

    Raises:
        HistoryDiverged: another round, another model, or fewer rounds than there must be.
    """
    closed, passes = status.closed_rounds, applied.training_round
    finished = status.session_phase is SessionPhase.FINISHED
    is_ahead = passes == len(closed) + 1 and status.round == applied.round and not finished
    if finished and len(closed) != site.manifest.rounds:
        raise _diverged(
            f"the session is said to be finished after {len(closed)} closed rounds, "
            f"it has {site.manifest.rounds}"
        )
    if passes > len(closed) and not is_ahead:
        raise _diverged(
            f"this site has applied {passes} rounds, the coordinator knows of {len(closed)} closed"
        )
    if 0 < passes <= len(closed) and closed[passes - 1] != applied.round:
        raise _diverged(
            f"what this site has applied as number {passes} is round {applied.round}, "
            f"what was closed as number {passes} is round {closed[passes - 1]}"
        )
    if passes == len(closed) and applied.model_hash != status.state_hash.hex():
        raise _diverged(
            f"this site's model after {passes} rounds is not the one that the federation has"
        )


def _check_past_plan(
    site: Site, number: int, plan: RoundPlan, state: bytes, transcript: bytes
) -> None:
    """As `policy.check_plan`, for a round in which this site may have had no part."""
    for broken, text in (
        (plan.round != number, f"it is of round {plan.round}"),
        (
            (plan.base_state_hash, plan.previous_transcript) != (state, transcript),
            f"round {number} does not continue the history that this site knows",
        ),
        *cohort_terms(plan, site.manifest),
    ):
        if broken:
            raise _refused(number, text)


def _refused(number: int, because: str) -> PlanRefused:
    return PlanRefused(
        f"the plan of closed round {number} is refused: {because}",
        hint="do not go on with this coordinator before it has been looked into",
    )


def _diverged(message: str) -> HistoryDiverged:
    return HistoryDiverged(
        message,
        hint="compare the logs of the sites (fedmrg log verify); if this site alone differs, move "
        "its state folder away to join anew from the session's start",
    )
