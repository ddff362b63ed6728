"""What the coordinator answers around snapshots for sites that are behind.

It carries requests, offers and encrypted chunks, and names one site at a time that is to help. What
a snapshot holds it can neither see nor vouch for: the recipient checks it against what the closed
round's sites have acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from fedmrg_secure.coordinator.errors import StorageDamaged
from fedmrg_secure.coordinator.ledger import ClosedRound, Event
from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.coordinator.snapshot_rows import Offer, Request
from fedmrg_secure.core.merkle import leaf_hash
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.codec import MessageType as T
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import (
    ChunkRefused,
    Conflict,
    NotAvailable,
    NotPermitted,
    StateMismatch,
    TooMuchData,
    WrongRound,
)
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.service import Call

_REPETITIONS: Final = 4
"""How often a site may send its whole snapshot in one stream, resumptions and repeats included."""


class Snapshots:
    """Handlers of requests, offers and downloads; safe to be called from many threads.

    Args:
        session: the session.
        clock: monotonic seconds.

    Attributes:
        handlers: by message class; each may raise registered errors.
    """

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._desk, self._clock = session, session.snapshots, clock
        self._helpers: dict[str, tuple[str, float]] = {}
        """by recipient: the site that is to help, and when it was last at it"""
        self._given_up: dict[str, set[str]] = {}
        """by recipient: helpers of which nothing came"""
        for request in self._desk.requests.values():
            if request.offer is not None:
                self._moved(request.recipient, request.offer.envelope.sender)
        self.handlers: dict[type, Callable[[Call, Any], Message]] = {
            sn.RequestSnapshot: self._request,
            sn.GetOfferStatus: self._offer_status,
            sn.GetSnapshot: self._get,
            sn.SettleSnapshot: self._settle,
            sn.GetClosure: self._closure,
        }

    def wanted_of(self, site: str) -> bytes:
        """The request that a site is to answer now, as its envelope; empty if there is none."""
        session = self._session
        with session.ledger.lock:
            if not self._desk.requests or site not in _up_to_date(session):
                return b""
            for request in self._desk.requests.values():
                if self._is_to_help(site, request):
                    return request.envelope.to_bytes()
        return b""

    def has_caught_up(self, site: str) -> None:
        """A site has shown that it has the newest state: it needs no snapshot."""
        with self._session.ledger.lock:
            self._desk.drop(site)

    def begin_offer(self, call: Call, offer: sn.OfferSnapshot) -> OfferUpload:
        """See `OfferUpload`."""
        with self._session.ledger.lock:
            upload = OfferUpload(self._session, call, offer, self._moved, self._helpers)
            self._moved(offer.recipient, call.site)
        return upload

    def chunks(self, call: Call, wanted: sn.DownloadSnapshot) -> Iterator[tuple[int, bytes]]:
        """The encrypted chunks of the caller's snapshot, from `wanted.first_chunk` on.

        Raises:
            NotAvailable: there is no such snapshot for the caller (any more), or no such chunk.
        """
        blobs = self._chunks_for(call, wanted)
        if wanted.first_chunk >= len(blobs):
            raise NotAvailable(f"the snapshot has only {len(blobs)} chunks")
        for index in range(wanted.first_chunk, len(blobs)):
            self._session.heard(call.site)
            try:
                yield index, self._desk.read(blobs[index])
            except StorageDamaged:
                self._chunks_for(call, wanted)  # it may have been removed meanwhile
                raise

    def _chunks_for(self, call: Call, wanted: sn.DownloadSnapshot) -> dict[int, str]:
        with self._session.ledger.lock:
            request = self._desk.requests.get(call.site)
            if request is None or request.offer is None or not request.fulfilled:
                raise NotAvailable(f"there is no snapshot for {call.site}")
            if request.offer.envelope.digest != wanted.offer:
                raise NotAvailable(f"there is another snapshot for {call.site}")
            return self._desk.chunks(call.site)

    def _is_to_help(self, site: str, request: Request) -> bool:
        """Whether `site` helps; whoever asks first does, until it has been silent for too long."""
        recipient, live = request.recipient, self._session.live()
        if request.fulfilled or recipient not in live or site in request.refused | {recipient}:
            return False
        if _helper(self._session, self._helpers, request, self._clock()) is not None:
            return self._helpers[recipient][0] == site
        given_up = self._given_up.setdefault(recipient, set())
        if recipient in self._helpers:
            given_up.add(self._helpers.pop(recipient)[0])
        if (_up_to_date(self._session) & live) - request.refused - {recipient} <= given_up:
            given_up.clear()  # nobody else is left: all get another chance
        if site in given_up:
            return False
        self._moved(recipient, site)
        return True

    def _moved(self, recipient: str, helper: str) -> None:
        self._helpers[recipient] = (helper, self._clock())

    def _request(self, call: Call, message: sn.RequestSnapshot) -> Message:
        session, number = self._session, call.envelope.round
        with session.ledger.lock:
            session.require_member(call.site)
            _closed(session, number)
            known = self._desk.requests.get(call.site)
            if known is not None and known.envelope.round >= number:
                return m.Receipt()
            if known is not None and known.offer and known.offer.envelope.round < number:
                self._desk.drop(call.site)  # the caller wants a newer one
                known = replace(known, offer=None)
            event: Event = {"type": "snapshot.requested", "round": number, "site": call.site}
            request = Request(call.envelope) if known is None else known
            self._desk.ask(replace(request, envelope=call.envelope), event)
        return m.Receipt()

    def _offer_status(self, call: Call, message: sn.GetOfferStatus) -> Message:
        with self._session.ledger.lock:
            request = self._desk.requests.get(message.recipient)
            if request is None or not request.offer or request.offer.envelope.sender != call.site:
                return m.UploadStatus(begun=False, complete=False, stored=())
            stored = tuple(self._desk.chunks(message.recipient))
            return m.UploadStatus(begun=True, complete=request.fulfilled, stored=stored)

    def _get(self, call: Call, message: sn.GetSnapshot) -> Message:
        with self._session.ledger.lock:
            request = self._desk.requests.get(call.site)
            if request is None:
                raise NotAvailable(f"{call.site} has asked for no snapshot")
            stored = len(self._desk.chunks(call.site))
            whole = request.offer if request.fulfilled else None
            offer = whole.envelope.to_bytes() if whole is not None else b""
            return sn.SnapshotDelivery(offer, stored)

    def _settle(self, call: Call, message: sn.SettleSnapshot) -> Message:
        with self._session.ledger.lock:
            request = self._desk.requests.get(call.site)
            if request is None or request.offer is None:
                return m.Receipt()  # settled before
            offer = request.offer.envelope
            if offer.digest != message.offer:
                return m.Receipt()
            event: Event = {"round": offer.round, "sender": offer.sender, "recipient": call.site}
            if message.refusal:
                event = {**event, "type": "snapshot.refused", "code": message.refusal}
                self._desk.refuse(request, call.envelope, event)
                self._helpers.pop(call.site, None)
            else:
                event = {**event, "type": "snapshot.accepted"}
                self._desk.drop(call.site, event, keep=call.envelope)
        return m.Receipt()

    def _closure(self, call: Call, message: sn.GetClosure) -> Message:
        session, number = self._session, call.envelope.round
        session.require_accepted(call.site)
        found = session.store.round(number)
        if found is None or found.phase is not RoundPhase.CLOSED or found.plan is None:
            raise NotAvailable(f"round {number} is not closed")
        kept = session.store.envelopes(number, T.ACKNOWLEDGE) if message.acknowledgements else {}
        return sn.Closure(found.plan, tuple(kept[site] for site in sorted(kept)))


class OfferUpload:
    """One stream of a snapshot; implements `protocol.service.UploadSink`.

    Raises (the constructor):
        NotAvailable: the recipient does not wait for a snapshot.
        NotPermitted: the recipient is the caller, or has refused an offer of the caller's.
        WrongRound, StateMismatch: not a closed round that the recipient asks for, or not its state.
        ChunkRefused: not the number of chunks and bytes that the session's state has.
        Conflict: another snapshot is there, or another site is at it.
    """

    def __init__(
        self,
        session: Session,
        call: Call,
        offer: sn.OfferSnapshot,
        moved: Callable[[str, str], None],
        helpers: dict[str, tuple[str, float]],
    ) -> None:
        self._session, self._desk, self._call = session, session.snapshots, call
        self._offer, self._moved, self._helpers = offer, moved, helpers
        self._size = sn.SnapshotSize.of(session.manifest.state_value_count)
        self._envelope = self._begin()
        self._stored = set(self._desk.chunks(offer.recipient))
        self._allowance = _REPETITIONS * offer.total_bytes

    def store(self, index: int, frame: bytes) -> None:
        """Check one chunk against the signed offer, and keep it durably.

        Raises:
            ChunkRefused: it is not the chunk that the offer lists.
            TooMuchData: the stream repeats itself beyond measure.
            NotAvailable: nobody waits for the offer any more.
            CoordinatorFull: there is no room; what was stored before stays.
        """
        site, recipient = self._call.site, self._offer.recipient
        self._session.heard(site)
        self._allowance -= len(frame)
        if self._allowance < 0:
            raise TooMuchData(f"{site} has sent its snapshot over and over")
        if index >= self._size.chunks or len(frame) != self._size.chunk_bytes(index):
            raise ChunkRefused(f"chunk {index} is beyond the offer, or not of its length")
        if leaf_hash(frame) != self._offer.chunk_hashes[index]:
            raise ChunkRefused(f"chunk {index} is not the one that the offer lists")
        if index in self._stored:
            return
        if not self._desk.add(recipient, self._envelope, index, frame):
            raise NotAvailable(f"nobody waits for this snapshot for {recipient} any more")
        self._stored.add(index)
        self._moved(recipient, site)

    def finish(self) -> None:
        """Make the snapshot one that can be fetched.

        Raises:
            ChunkRefused: chunks are missing.
            NotAvailable: nobody waits for the offer any more.
        """
        recipient, offer = self._offer.recipient, self._offer
        with self._session.ledger.lock:
            if not self._desk.is_current(recipient, self._envelope):
                raise NotAvailable(f"nobody waits for this snapshot for {recipient} any more")
            missing = self._size.chunks - len(self._desk.chunks(recipient))
            if missing:
                raise ChunkRefused(f"{missing} chunks of the snapshot are missing")
            request = self._desk.requests[recipient]
            if request.fulfilled:
                return
            self._desk.complete(
                request,
                {
                    "type": "snapshot.offered",
                    "round": self._envelope.round,
                    "sender": self._call.site,
                    "recipient": recipient,
                    "model_hash": offer.model_hash.hex(),
                    "snapshot_root": offer.merkle_root.hex(),
                    "bytes": offer.total_bytes,
                },
            )
        self._session.report(
            {"event": "snapshot", "sender": self._call.site, "recipient": recipient}
        )

    def _begin(self) -> Envelope:
        """The offer's envelope as it stands, this one or the same one of before."""
        site, offer = self._call.site, self._offer
        self._session.require_member(site)
        request = self._desk.requests.get(offer.recipient)
        if request is None:
            raise NotAvailable(f"{offer.recipient} does not wait for a snapshot")
        if site in request.refused | {offer.recipient}:
            raise NotPermitted(f"{site} is not to send a snapshot to {offer.recipient}")
        known = request.offer
        if known is not None and (known.envelope.sender, known.message) == (site, offer):
            return known.envelope
        self._check(request)
        if known is not None and known.complete:
            raise Conflict(f"there is another snapshot for {offer.recipient}")
        helper = self._helpers.get(offer.recipient, (site, 0.0))[0]
        if helper != site:
            raise Conflict(f"{helper} is to help {offer.recipient}")
        self._desk.replace_offer(request, Offer(self._call.envelope, offer, complete=False))
        return self._call.envelope

    def _check(self, request: Request) -> None:
        session, offer, number = self._session, self._offer, self._call.envelope.round
        closed = _closed(session, number)
        if number < request.envelope.round:
            raise WrongRound(f"{offer.recipient} asks for round {request.envelope.round} or later")
        found = session.store.round(number)
        place = session.ledger.state.closed.index(closed) + 1
        due = (place, found.plan_hash if found else b"", closed.model_hash, closed.transcript)
        if due != (offer.pass_number, offer.plan_hash, offer.model_hash, offer.transcript):
            raise StateMismatch(f"the snapshot is not of the state that round {number} led to")
        if (len(offer.chunk_hashes), offer.total_bytes) != (
            self._size.chunks,
            self._size.total_bytes,
        ):
            raise ChunkRefused(
                f"a snapshot has {self._size.chunks} chunks and {self._size.total_bytes} bytes"
            )


def _helper(
    session: Session, helpers: dict[str, tuple[str, float]], request: Request, now: float
) -> str | None:
    """Who is at it and has not been silent for too long; None: whoever comes next."""
    site, since = helpers.get(request.recipient, ("", 0.0))
    size = sn.SnapshotSize.of(session.manifest.state_value_count)
    silent = now - since > size.helper_patience_s(session.manifest.site_timeout_ms)
    gone = site not in session.live() or site in request.refused
    return None if silent or gone else site


def _closed(session: Session, number: int) -> ClosedRound:
    for closed in session.ledger.state.closed:
        if closed.number == number:
            return closed
    raise WrongRound(f"round {number} is not closed")


def _up_to_date(session: Session) -> frozenset[str]:
    """Sites that have shown that they have the newest state."""
    current = session.ledger.state.round
    if current is None:
        return frozenset()
    shown = current.acknowledged if current.phase is RoundPhase.CLOSED else current.announced
    return frozenset(shown)


def forget_snapshots(session: Session) -> None:
    """Remove what lost sites asked for, and all that is unfinished when it is superseded."""
    state = session.ledger.state
    with session.ledger.lock:
        live = session.live()
        waiting = [
            site
            for site, request in session.snapshots.requests.items()
            if (request.fulfilled if state.ended else site in live)
        ]
        newest = state.closed[-1].number if state.closed else 0
        session.snapshots.tidy(waiting, newest)
