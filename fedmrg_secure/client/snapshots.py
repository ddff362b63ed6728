"""A site that is behind takes the newest state from another site instead of many sums.

Another site seals the public state to this one; the coordinator carries it. What came is believed
for one reason alone: a quorum of the closed round's sites has signed that they reached a model of
this hash, under a plan that continues this site's own history. Who sealed it is of no account.
A snapshot that does not hold is refused, with its sender's name in the log, and another site's is
taken, or the sums.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import numpy as np

from fedmrg_secure.client.history import PastRound, follow_history
from fedmrg_secure.client.policy import AggregateRefused
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, SharedState, hash_state
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.frame import AGGREGATE, vector_bytes
from fedmrg_secure.crypto.seal_key import SealedKeyInvalid
from fedmrg_secure.crypto.sealed_state import SealedStateInvalid, StateContext, open_state
from fedmrg_secure.protocol.errors import (
    CoordinatorFault,
    NotAvailable,
    ReplyRefused,
    SessionEnded,
    WrongRound,
)
from fedmrg_secure.protocol.messages import Acknowledge, RoundPlan, SessionStatus
from fedmrg_secure.protocol.snapshot_calls import Signed
from fedmrg_secure.protocol.snapshots import OfferSnapshot, SnapshotSize
from fedmrg_secure.update.layout import Layout

Offer = Signed[OfferSnapshot]
_PACE_S: Final = 0.2
_VALUE_BYTES: Final = 4


class SnapshotRefused(FedmrgError):
    """A snapshot is not of the state that the federation has reached."""

    code: ClassVar[str] = "FMRG-6261"


_REFUSALS: Final = (
    SnapshotRefused,
    SealedKeyInvalid,
    SealedStateInvalid,
    AggregateRefused,
    ReplyRefused,
)

_NOT_TO_BE_HAD: Final = (NotAvailable, SessionEnded, WrongRound, ReplyRefused, CoordinatorFault)


def is_cheaper(site: Site, status: SessionStatus, applied: Applied) -> bool:
    """Whether a snapshot has fewer bytes than the sums that this site has missed."""
    missed = len(status.closed_rounds) - applied.training_round
    sum_bytes = vector_bytes(
        site.parameters,
        site.factorization.vector_size,
        sender=AGGREGATE,
        contributors=site.manifest.min_sites,
    )
    return SnapshotSize.of(site.manifest.state_value_count).total_bytes < missed * sum_bytes


def take_snapshot(site: Site, status: SessionStatus, applied: Applied) -> Applied | None:
    """Ask for the newest state and apply it; durable on return.

    Returns:
        None if no site has offered one that holds, in time.
    """
    calls, newest = site.coordinator.snapshots, status.closed_rounds[-1]
    site.progress.enter("awaiting a snapshot", newest)
    try:
        calls.request(newest)
        site.log({"type": "snapshot.requested", "round": newest})
        while (offer := _await_offer(site)) is not None:
            try:
                after = apply_offer(site, offer, applied, asked=newest)
            except _REFUSALS as error:
                _refuse(site, offer, error)
                continue
            calls.settle(offer)
            return after
    except _NOT_TO_BE_HAD as error:
        site.progress.emit("no_snapshot", reason=str(error))
    return None


def _await_offer(site: Site) -> Offer | None:
    """The offer for this site; None if none moves for too long."""
    patience_s = _patience_s(site)
    stored, moved = -1, time.monotonic()
    while True:
        delivery = site.coordinator.snapshots.snapshot()
        if delivery.offer:
            return site.coordinator.snapshots.signed(delivery.offer, OfferSnapshot)
        if delivery.stored != stored:
            stored, moved = delivery.stored, time.monotonic()
        elif time.monotonic() - moved > patience_s:
            return None
        time.sleep(_PACE_S)
        site.status()  # raises when the session has failed meanwhile


def _patience_s(site: Site) -> float:
    """How long an offer may stand still: so long that two helpers may fail."""
    size = SnapshotSize.of(site.manifest.state_value_count)
    return 3 * size.helper_patience_s(site.manifest.site_timeout_ms)


def _refuse(site: Site, offer: Offer, error: FedmrgError) -> None:
    site.log(
        {
            "type": "snapshot.refused",
            "round": offer.round,
            "sender": offer.sender,
            "snapshot_root": offer.message.merkle_root.hex(),
            "code": error.code,
        }
    )
    site.progress.emit("snapshot_refused", sender=offer.sender, reason=error.message)
    site.coordinator.snapshots.settle(offer, error.code)


def apply_offer(site: Site, offer: Offer, applied: Applied, *, asked: int) -> Applied:
    """Check everything about an offer that can be checked, and put its state in force.

    Args:
        offer: its sender's signature is verified.
        applied: the last round that this site has applied.
        asked: the closed round that this site has asked for, or a later one.

    Raises:
        SnapshotRefused, SealedKeyInvalid, SealedStateInvalid: it does not hold.
        AggregateRefused, ReplyRefused: what the coordinator says of the closed rounds does not.
        PlanRefused: these rounds do not continue this site's history, so no other snapshot of
            them, nor their sums, can be taken either.
    """
    number, closed = offer.message.pass_number, site.status().closed_rounds
    _check_terms(site, offer, closed, applied, asked)
    history = _checked_history(site, offer, closed[applied.training_round : number], applied)
    _check_acknowledged(site, offer, history[-1].plan)
    base = site.store.load_state(applied.training_round)
    site.progress.enter("opening a snapshot", offer.round)
    state = _opened(site, offer, base)
    after = Applied(
        session=applied.session,
        round=offer.round,
        training_round=number,
        plan_hash=offer.message.plan_hash.hex(),
        model_hash=offer.message.model_hash.hex(),
        transcript=offer.message.transcript.hex(),
    )
    site.log(
        {
            "type": "snapshot.applied",
            "round": offer.round,
            "sender": offer.sender,
            "snapshot_root": offer.message.merkle_root.hex(),
            "model_hash": after.model_hash,
            "transcript_hash": after.transcript,
        }
    )
    _settle_memory(site, history, base, state, applied, number)
    site.store.save_applied(after, state)
    site.private.keep_only(number)
    site.store.clear_outgoing()
    site.store.forget_round_key()
    return after


def _check_terms(
    site: Site, offer: Offer, closed: Sequence[int], applied: Applied, asked: int
) -> None:
    message = offer.message
    size = SnapshotSize.of(site.manifest.state_value_count)
    place = message.pass_number
    _refuse_if(
        offer,
        (message.recipient != site.name, f"it is for {message.recipient}"),
        (
            offer.sender == site.name or offer.sender not in site.manifest.sites,
            "its sender is no other site of the session",
        ),
        (
            place > len(closed) or closed[place - 1] != offer.round,
            f"round {offer.round} is not the closed round number {place}",
        ),
        (
            place <= applied.training_round or offer.round < asked,
            "it is older than what this site has or has asked for",
        ),
        (
            (len(message.chunk_hashes), message.total_bytes) != (size.chunks, size.total_bytes),
            f"it has {len(message.chunk_hashes)} chunks and {message.total_bytes} bytes, a state "
            f"of this session {size.chunks} and {size.total_bytes}",
        ),
    )


def _checked_history(
    site: Site, offer: Offer, rounds: Sequence[int], applied: Applied
) -> tuple[PastRound, ...]:
    """Follow the plans and sums from this site's own state to the offered one.

    Args:
        rounds: the closed rounds between, in order, the offered one last.

    The last plan, which the sites' acknowledgements name, holds the whole history. No sum is
    opened for that.
    """
    message = offer.message
    history = follow_history(site, rounds, applied, message.model_hash)
    _refuse_if(
        offer,
        (history[-1].plan_hash != message.plan_hash, "its plan is not that of its round"),
        (
            history[-1].transcript != message.transcript,
            "its transcript is not that of its round's history",
        ),
    )
    return history


def _check_acknowledged(site: Site, offer: Offer, plan: RoundPlan) -> None:
    """Return if enough of the round's sites have signed that they reached the offered model."""
    calls, message = site.coordinator.snapshots, offer.message
    agreeing = set()
    for data in calls.closure(offer.round, acknowledgements=True).acknowledgements:
        signed = calls.signed(data, Acknowledge)
        said = (signed.round, signed.message.plan_hash, signed.message.model_hash)
        if said == (offer.round, message.plan_hash, message.model_hash):
            agreeing.add(signed.sender)
    agreeing &= set(plan.sites)
    needed = max(site.manifest.min_sites, site.manifest.quorum.threshold(len(plan.cohort)))
    _refuse_if(
        offer,
        (
            len(agreeing) < needed,
            f"{len(agreeing)} of the {len(plan.cohort)} sites of round {offer.round} have "
            f"acknowledged its model, {needed} are needed",
        ),
    )


def _opened(site: Site, offer: Offer, base: SharedState) -> SharedState:
    """The sealed state, every chunk and the whole of it checked."""
    layout = Layout.of({name: values.shape for name, values in base.items()})
    message, done = offer.message, 0

    def tell(chunk_bytes: int) -> None:
        nonlocal done
        done += chunk_bytes
        site.progress.transfer(done, message.total_bytes)

    chunks: Iterable[bytes] = open_state(
        site.identity.seal_key,
        message.sealed_key,
        site.coordinator.snapshots.chunks(offer, tell),
        StateContext(site.session, offer.round, offer.sender, site.name, message.model_hash),
        merkle_root=message.merkle_root,
        count=len(message.chunk_hashes),
    )
    content = bytearray()
    for chunk in chunks:
        content += chunk
    whole = len(content) == _VALUE_BYTES * layout.size
    values = np.frombuffer(content, dtype="<f4") if whole else np.full(1, np.nan, dtype="<f4")
    _refuse_if(
        offer,
        (not whole, f"it holds {len(content)} bytes, not {_VALUE_BYTES * layout.size}"),
        (whole and not bool(np.isfinite(values).all()), "it holds values that are not finite"),
    )
    state = layout.unflatten(values.astype(np.float64))
    _refuse_if(
        offer,
        (
            hash_state(state) != message.model_hash.hex(),
            "what is in it is not the model that it says: its sender does not follow the protocol",
        ),
    )
    return state


def _settle_memory(
    site: Site,
    history: Sequence[PastRound],
    base: SharedState,
    after: SharedState,
    applied: Applied,
    number: int,
) -> None:
    """Keep the memory after the skipped passes; repeated after a kill it comes to the same."""
    first = applied.training_round + 1
    kept = site.private.update(first, applied.model_hash)
    site.trainer.load_memory(
        site.private.load(applied.training_round) if kept is None else kept.memory
    )
    own, *later = (site.name in past.aggregate.sites for past in history)
    site.trainer.skip(
        range(first, number + 1),
        base,
        after,
        included=own,
        forget=any(later) or (own and kept is None),
    )
    site.private.save(number, site.trainer.memory)


def _refuse_if(offer: Offer, *findings: tuple[bool, str]) -> None:
    if problems := [text for broken, text in findings if broken]:
        raise SnapshotRefused(
            f"the snapshot of round {offer.round} that {offer.sender} has sealed is refused: "
            + "; ".join(problems),
            hint="another site's snapshot or the sums of the missed rounds are taken instead",
        )
