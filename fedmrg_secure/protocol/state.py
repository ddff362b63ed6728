"""The state machine of a round, as pure functions over frozen values.

::

    ANNOUNCING -> UPLOADING -> AGGREGATING -> AGGREGATED -> CLOSED
         \\____________\\____________\\_______________-> ABORTED

Where sites make keys of their own every round (`Quorum` is given), they first commit and certify
who may be in the sum, later who is, and then publish share sums while the sum is made::

    ANNOUNCING -> COMMITTING -> CERTIFYING -> UPLOADING -> INCLUDING -> AGGREGATING -> ...

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

_BEFORE_ADDING = (
    RoundPhase.ANNOUNCING,
    RoundPhase.COMMITTING,
    RoundPhase.CERTIFYING,
    RoundPhase.UPLOADING,
    RoundPhase.INCLUDING,
)
_ADDING = (RoundPhase.AGGREGATING, RoundPhase.AGGREGATED)


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a site's signed `Commit` binds it to."""

    upload_root: bytes
    digest: bytes
    """of the signed envelope"""


@dataclass(frozen=True, slots=True)
class RoundState:
    """Everything that decides what may happen to a round.

    Args:
        number: the round, from 1.
        phase: where it stands.
        base_state: hash of the shared state that it starts from, 32 bytes.
        announced: nonce of each site that is ready.
        plan: once it is made.
        plan_hash: the plan's hash; empty before.
        committed: what each site is bound to; empty unless sites make round keys.
        certified: sites of the cohort's certificate, sorted; fixed once, on leaving COMMITTING.
        cohort_signers: who has co-signed it.
        uploaded: Merkle root of each site's complete upload.
        included: sites whose uploads are added, sorted; fixed once, on leaving UPLOADING.
        inclusion_signers: who has co-signed the included set.
        share_sums: who has published the sum of its shares.
        acknowledged: model hash of each site that applied the sum.
        model_hash: what the round led to; empty unless CLOSED.
        reason: why it was aborted; else empty.
        earlier: aborted rounds from the same base state, whose updates this round carries again.
    """

    number: int
    phase: RoundPhase
    base_state: bytes
    announced: Mapping[str, bytes] = field(default_factory=dict)
    plan: RoundPlan | None = None
    plan_hash: bytes = b""
    committed: Mapping[str, Commitment] = field(default_factory=dict)
    certified: tuple[str, ...] = ()
    cohort_signers: frozenset[str] = frozenset()
    uploaded: Mapping[str, bytes] = field(default_factory=dict)
    included: tuple[str, ...] = ()
    inclusion_signers: frozenset[str] = frozenset()
    share_sums: frozenset[str] = frozenset()
    acknowledged: Mapping[str, bytes] = field(default_factory=dict)
    model_hash: bytes = b""
    reason: str = ""
    earlier: tuple[RoundState, ...] = ()

    @property
    def over(self) -> bool:
        """Nothing changes any more."""
        return self.phase in (RoundPhase.CLOSED, RoundPhase.ABORTED)

    @property
    def cohort(self) -> tuple[str, ...]:
        """The plan's sites; empty before there is one."""
        return self.plan.sites if self.plan else ()


def next_round(last: RoundState | None, base_state: bytes) -> RoundState:
    """The round after `last`, None before the first, from the state `base_state`."""
    if last is None:
        return RoundState(1, RoundPhase.ANNOUNCING, base_state)
    earlier: tuple[RoundState, ...] = ()
    if last.phase is RoundPhase.ABORTED:
        earlier = (*last.earlier, replace(last, earlier=()))
    return RoundState(last.number + 1, RoundPhase.ANNOUNCING, base_state, earlier=earlier)


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


def begin(
    round_state: RoundState, plan: RoundPlan, plan_hash: bytes, *, round_keys: bool = False
) -> RoundState:
    """The plan is made: ANNOUNCING becomes UPLOADING, or COMMITTING where sites make round keys."""
    _require(round_state, RoundPhase.ANNOUNCING)
    phase = RoundPhase.COMMITTING if round_keys else RoundPhase.UPLOADING
    return replace(round_state, phase=phase, plan=plan, plan_hash=plan_hash)


def commit(
    round_state: RoundState, site: str, plan_hash: bytes, commitment: Commitment
) -> RoundState:
    """A site binds itself to one update and one key.

    Raises:
        NotPermitted: the site is not in the cohort.
        Conflict: it refers to another plan, or the site is bound to something else.
        WrongPhase: commitments are not taken any more, or not yet.
    """
    _check_member(round_state, site, plan_hash)
    known = round_state.committed.get(site)
    if known is not None:
        if known != commitment:
            raise Conflict(f"{site} has committed to another update in this round")
        return round_state
    _require(round_state, RoundPhase.COMMITTING)
    return replace(round_state, committed={**round_state.committed, site: commitment})


def check_shares(round_state: RoundState, site: str, plan_hash: bytes) -> None:
    """Return if a site's sealed shares may still come: until it commits, and repeated after.

    Raises:
        NotPermitted: the site is not in the cohort.
        Conflict: it refers to another plan.
        WrongPhase: shares are not taken any more, or not yet.
    """
    _check_member(round_state, site, plan_hash)
    if round_state.over or site not in round_state.committed:
        _require(round_state, RoundPhase.COMMITTING)


def certify(round_state: RoundState, sites: tuple[str, ...]) -> RoundState:
    """Who may be in the sum, once and for all: COMMITTING becomes CERTIFYING."""
    _require(round_state, RoundPhase.COMMITTING)
    if not sites or set(sites) - set(round_state.committed):
        raise WrongPhase("only sites that have committed can be certified")
    return replace(round_state, phase=RoundPhase.CERTIFYING, certified=tuple(sorted(set(sites))))


def sign_cohort(round_state: RoundState, site: str, signed: bytes, due: bytes) -> RoundState:
    """A site co-signs the cohort; also later than it takes.

    Args:
        signed: the hash that the site has signed.
        due: the hash of this round's cohort.

    Raises:
        NotPermitted: the site is not in the plan.
        Conflict: it has signed something else.
        WrongPhase: there is no cohort.
    """
    if not round_state.certified or round_state.over:
        raise WrongPhase(f"round {round_state.number} has no cohort to sign")
    _check_signed(round_state, site, signed, due)
    return replace(round_state, cohort_signers=round_state.cohort_signers | {site})


def open_uploads(round_state: RoundState) -> RoundState:
    """The cohort is certified: CERTIFYING becomes UPLOADING."""
    _require(round_state, RoundPhase.CERTIFYING)
    return replace(round_state, phase=RoundPhase.UPLOADING)


def check_upload(round_state: RoundState, site: str, plan_hash: bytes, root: bytes) -> bool:
    """Whether this upload is still to be received: False when it is complete already.

    Raises:
        NotPermitted: the site is not in the cohort.
        Conflict: it refers to another plan, or another upload of this site is complete.
        WrongPhase: the round takes no uploads, or goes on without this one.
    """
    _check_member(round_state, site, plan_hash)
    if round_state.certified:
        if site not in round_state.certified:
            raise WrongPhase(f"round {round_state.number} goes on without {site}")
        if root != round_state.committed[site].upload_root:
            raise Conflict(f"{site} has committed to another update in this round")
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
    """Who is in the sum, once and for all: UPLOADING becomes AGGREGATING.

    It becomes INCLUDING where the included set is to be certified first.
    """
    _require(round_state, RoundPhase.UPLOADING)
    if not included or set(included) - set(round_state.uploaded):
        raise WrongPhase("only complete uploads can be included")
    phase = RoundPhase.INCLUDING if round_state.certified else RoundPhase.AGGREGATING
    return replace(round_state, phase=phase, included=tuple(sorted(set(included))))


def sign_inclusion(round_state: RoundState, site: str, signed: bytes, due: bytes) -> RoundState:
    """A site co-signs the included set; see `sign_cohort`."""
    if not round_state.certified or not round_state.included or round_state.over:
        raise WrongPhase(f"round {round_state.number} has no included set to sign")
    _check_signed(round_state, site, signed, due)
    return replace(round_state, inclusion_signers=round_state.inclusion_signers | {site})


def start_adding(round_state: RoundState) -> RoundState:
    """The included set is certified: INCLUDING becomes AGGREGATING."""
    _require(round_state, RoundPhase.INCLUDING)
    return replace(round_state, phase=RoundPhase.AGGREGATING)


def check_holder(round_state: RoundState, site: str) -> None:
    """Return if a site may have the included sites' shares that are sealed to it.

    Raises:
        NotPermitted: the site is not in the plan, so that it holds no share.
        WrongPhase: the included set is not certified, or the round is over.
    """
    if not round_state.certified or round_state.phase not in _ADDING:
        raise WrongPhase(f"round {round_state.number} hands out no shares and takes no share sums")
    if site not in round_state.cohort:
        raise NotPermitted(f"{site} is not in the cohort of round {round_state.number}")


def check_share_sums(round_state: RoundState, site: str, signed: bytes, due: bytes) -> None:
    """Return if a site's share sums of the included set may come; see `sign_cohort`."""
    check_holder(round_state, site)
    _check_signed(round_state, site, signed, due)


def publish_share_sum(round_state: RoundState, site: str, signed: bytes, due: bytes) -> RoundState:
    """A site has published its share sum of the included set; see `sign_cohort`."""
    check_share_sums(round_state, site, signed, due)
    return replace(round_state, share_sums=round_state.share_sums | {site})


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
    """Give the round up before anybody could open its sum.

    Where sites make round keys that is as long as too few share sums are published, which
    `decisions.next_step` knows.
    """
    before = (*_BEFORE_ADDING, *_ADDING) if round_state.certified else _BEFORE_ADDING
    if round_state.phase not in before:
        raise WrongPhase(f"a round in {round_state.phase.name} cannot be aborted")
    return replace(round_state, phase=RoundPhase.ABORTED, reason=reason)


def _check_member(round_state: RoundState, site: str, plan_hash: bytes) -> None:
    if round_state.plan is None:
        raise WrongPhase(f"round {round_state.number} has no plan yet")
    if site not in round_state.cohort:
        raise NotPermitted(f"{site} is not in the cohort of round {round_state.number}")
    if plan_hash != round_state.plan_hash:
        raise Conflict(f"the message is for another plan than that of round {round_state.number}")


def _check_signed(round_state: RoundState, site: str, signed: bytes, due: bytes) -> None:
    if site not in round_state.cohort:
        raise NotPermitted(f"{site} is not in the cohort of round {round_state.number}")
    if signed != due:
        raise Conflict(
            f"{site} has signed something else than stands in round {round_state.number}"
        )


def _require(round_state: RoundState, phase: RoundPhase) -> None:
    if round_state.phase is not phase:
        raise WrongPhase(
            f"round {round_state.number} is in {round_state.phase.name}, not in {phase.name}"
        )
