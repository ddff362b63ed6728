"""The state machine of a round, as pure functions over frozen values.

::

    ANNOUNCING -> UPLOADING -> AGGREGATING -> AGGREGATED -> CLOSED
         \\____________\\____________\\_______________-> ABORTED

What a site sends changes a `RoundState` or raises; what the coordinator does next is decided by
`next_step` alone. Nothing here knows a clock, a database or a network, so every sequence of
messages, losses and restarts can be tried in a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fedmrg_secure.protocol.errors import (
    Conflict,
    NotPermitted,
    StateMismatch,
    WrongPhase,
    WrongRound,
)
from fedmrg_secure.protocol.messages import RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase


@dataclass(frozen=True, slots=True)
class RoundState:
    """Everything that decides what may happen to a round.

    Args:
        number: the round, from 1.
        phase: where it stands.
        base_state: hash of the shared state that it starts from, 32 bytes.
        announced: nonce of each site that is ready.
        plan: from UPLOADING on.
        plan_hash: the plan's hash; empty before UPLOADING.
        uploaded: Merkle root of each site's complete upload.
        included: sites whose uploads are added, sorted; fixed once, on leaving UPLOADING.
        acknowledged: model hash of each site that applied the sum.
        model_hash: what the round led to; empty unless CLOSED.
        reason: why it was aborted; else empty.
    """

    number: int
    phase: RoundPhase
    base_state: bytes
    announced: Mapping[str, bytes] = field(default_factory=dict)
    plan: RoundPlan | None = None
    plan_hash: bytes = b""
    uploaded: Mapping[str, bytes] = field(default_factory=dict)
    included: tuple[str, ...] = ()
    acknowledged: Mapping[str, bytes] = field(default_factory=dict)
    model_hash: bytes = b""
    reason: str = ""

    @property
    def over(self) -> bool:
        """Nothing changes any more."""
        return self.phase in (RoundPhase.CLOSED, RoundPhase.ABORTED)

    @property
    def cohort(self) -> tuple[str, ...]:
        """The plan's sites; empty before UPLOADING."""
        return self.plan.sites if self.plan else ()


def check_round(round_state: RoundState, number: int) -> None:
    """Raise `WrongRound` unless a message for `number` is for this round."""
    if number != round_state.number:
        raise WrongRound(f"the message is for round {number}, the round is {round_state.number}")


def announce(round_state: RoundState, site: str, nonce: bytes, state_hash: bytes) -> RoundState:
    """A site is ready. Until the plan is made it may replace its nonce (after a restart).

    Raises:
        StateMismatch: the site's state is not the round's base state.
        WrongPhase: the plan is made, and not with this nonce.
    """
    if state_hash != round_state.base_state:
        raise StateMismatch(
            f"the state of {site} is not the one round {round_state.number} starts from",
        )
    if round_state.phase is not RoundPhase.ANNOUNCING:
        if round_state.announced.get(site) == nonce:
            return round_state
        raise WrongPhase(f"the plan of round {round_state.number} is already made")
    return replace(round_state, announced={**round_state.announced, site: nonce})


def begin(round_state: RoundState, plan: RoundPlan, plan_hash: bytes) -> RoundState:
    """The plan is made: ANNOUNCING becomes UPLOADING."""
    _require(round_state, RoundPhase.ANNOUNCING)
    return replace(round_state, phase=RoundPhase.UPLOADING, plan=plan, plan_hash=plan_hash)


def check_upload(round_state: RoundState, site: str, plan_hash: bytes, root: bytes) -> bool:
    """Whether this upload is still to be received: False when it is complete already.

    Raises:
        NotPermitted: the site is not in the cohort.
        Conflict: it refers to another plan, or another upload of this site is complete.
        WrongPhase: the round takes no uploads, or goes on without this one.
    """
    if round_state.plan is None:
        raise WrongPhase(f"round {round_state.number} has no plan yet")
    if site not in round_state.cohort:
        raise NotPermitted(f"{site} is not in the cohort of round {round_state.number}")
    if plan_hash != round_state.plan_hash:
        raise Conflict(f"the upload is for another plan than that of round {round_state.number}")
    complete = round_state.uploaded.get(site)
    if complete is not None:
        if complete != root:
            raise Conflict(f"{site} has already uploaded another update in this round")
        return False
    if round_state.phase is not RoundPhase.UPLOADING:
        raise WrongPhase(f"round {round_state.number} takes no more uploads")
    return True


def complete_upload(round_state: RoundState, site: str, root: bytes) -> RoundState:
    """Every chunk of a site's upload is stored; see `check_upload` for what it raises."""
    if not check_upload(round_state, site, round_state.plan_hash, root):
        return round_state
    return replace(round_state, uploaded={**round_state.uploaded, site: root})


def fix_included(round_state: RoundState, included: tuple[str, ...]) -> RoundState:
    """Who is in the sum, once and for all: UPLOADING becomes AGGREGATING."""
    _require(round_state, RoundPhase.UPLOADING)
    if not included or set(included) - set(round_state.uploaded):
        raise WrongPhase("only complete uploads can be included")
    return replace(round_state, phase=RoundPhase.AGGREGATING, included=tuple(sorted(set(included))))


def publish(round_state: RoundState) -> RoundState:
    """The sum is stored: AGGREGATING becomes AGGREGATED."""
    _require(round_state, RoundPhase.AGGREGATING)
    return replace(round_state, phase=RoundPhase.AGGREGATED)


def acknowledge(
    round_state: RoundState, site: str, plan_hash: bytes, model_hash: bytes
) -> RoundState:
    """A site has applied the sum. After CLOSED the same hash is taken, and changes nothing.

    Raises:
        Conflict: another plan, or the site acknowledged another model before.
        StateMismatch: the round is closed with another model.
        WrongPhase: there is no sum to acknowledge.
    """
    if round_state.plan is None or plan_hash != round_state.plan_hash:
        raise Conflict(f"the acknowledgement is not for the plan of round {round_state.number}")
    before = round_state.acknowledged.get(site)
    if before is not None and before != model_hash:
        raise Conflict(f"{site} has acknowledged another model in this round")
    if round_state.phase is RoundPhase.CLOSED:
        if model_hash != round_state.model_hash:
            raise StateMismatch(f"round {round_state.number} closed with another model")
        return round_state
    _require(round_state, RoundPhase.AGGREGATED)
    if site not in round_state.included:
        return round_state  # it caught up; the included sites decide
    return replace(round_state, acknowledged={**round_state.acknowledged, site: model_hash})


def close(round_state: RoundState, model_hash: bytes) -> RoundState:
    """The round has led to one model: AGGREGATED becomes CLOSED."""
    _require(round_state, RoundPhase.AGGREGATED)
    return replace(round_state, phase=RoundPhase.CLOSED, model_hash=model_hash)


def abort(round_state: RoundState, reason: str) -> RoundState:
    """Give the round up before anybody could open its sum."""
    if round_state.phase not in (RoundPhase.ANNOUNCING, RoundPhase.UPLOADING):
        raise WrongPhase(f"a round in {round_state.phase.name} cannot be aborted")
    return replace(round_state, phase=RoundPhase.ABORTED, reason=reason)


def _require(round_state: RoundState, phase: RoundPhase) -> None:
    if round_state.phase is not phase:
        raise WrongPhase(
            f"round {round_state.number} is in {round_state.phase.name}, not in {phase.name}"
        )
