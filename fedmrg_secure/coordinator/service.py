"""What the coordinator answers, message by message; implements `protocol.service.Service`.

Every answer that promises something is given after the promise is in the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from fedmrg_secure.coordinator.certified_rounds import CertifiedRounds, can_be_opened
from fedmrg_secure.coordinator.errors import StorageDamaged
from fedmrg_secure.coordinator.ledger import Event, SiteRecord
from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.coordinator.snapshots import Snapshots
from fedmrg_secure.coordinator.store import add_sealed_key
from fedmrg_secure.coordinator.uploads import Upload
from fedmrg_secure.crypto.frame import AGGREGATE
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import (
    Conflict,
    NotAvailable,
    NotPermitted,
    StateMismatch,
    WeightRefused,
    WrongPhase,
)
from fedmrg_secure.protocol.phases import Presence, RoundPhase, SessionPhase
from fedmrg_secure.protocol.service import Call, UploadSink
from fedmrg_secure.protocol.state import acknowledge, announce


class CoordinatorService:
    """Answers the sites of one session; safe to be called from many threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._snapshots = Snapshots(session)
        self.fetched_at = 0.0
        """when a site has last fetched a piece of a sum, monotonic seconds"""
        self._told: set[str] = set()
        """sites that have fetched the status of the ended session"""
        self._arrived: set[str] = set()
        """sites that have acknowledged the last closed round after the end"""
        self._handlers: dict[type, Callable[[Call, Any], Message]] = {
            m.GetSession: self._get_session,
            m.AcceptSession: self._accept_session,
            m.GetStatus: self._get_status,
            m.Heartbeat: self._heartbeat,
            m.Announce: self._announce,
            m.PublishKey: self._publish_key,
            m.FetchKey: self._fetch_key,
            m.GetUploadStatus: self._get_upload_status,
            m.GetAggregate: self._get_aggregate,
            m.Acknowledge: self._acknowledge,
            **CertifiedRounds(session).handlers,
            **self._snapshots.handlers,
        }

    @property
    def session_id(self) -> bytes:
        """The session's identifier, 32 bytes."""
        return self._session.session_id

    @property
    def informed(self) -> frozenset[str]:
        """Sites that need nothing more of the ended session.

        They have heard of its end and, where it has finished, have the state that it has led to.
        """
        state = self._session.ledger.state
        if state.phase is not SessionPhase.FINISHED or state.round is None:
            return frozenset(self._told)
        return frozenset(self._told & self._arrived.union(state.round.acknowledged))

    def authenticate(self, certificate_pem: bytes) -> str:
        """See `protocol.service.Service.authenticate`."""
        return self._session.access.identify(certificate_pem)

    def answer(self, call: Call, message: Message) -> Message:
        """The reply to a unary message; raises registered errors."""
        self._session.heard(call.site)
        return self._handlers[type(message)](call, message)

    def begin_upload(self, call: Call, manifest: m.UploadManifest) -> UploadSink:
        """Accept an upload's manifest, new or resumed."""
        self._session.heard(call.site)
        return Upload(self._session, call, manifest)

    def frames(self, call: Call, request: m.Download) -> Iterator[tuple[int, bytes]]:
        """The frames of a published sum, from `request.first_chunk` on.

        Raises:
            NotAvailable: the round has no sum, or not that many chunks.
        """
        self._session.heard(call.site)
        self._aggregate(call.envelope.round)
        blobs = self._session.store.chunks(call.envelope.round, AGGREGATE)
        if request.first_chunk >= len(blobs):
            raise NotAvailable(f"the sum has only {len(blobs)} chunks")
        for index in range(request.first_chunk, len(blobs)):
            self._session.heard(call.site)
            self.fetched_at = time.monotonic()
            yield index, self._read_sum(call.envelope.round, blobs[index])

    def begin_offer(self, call: Call, offer: sn.OfferSnapshot) -> UploadSink:
        """Accept a snapshot's offer, new or resumed; see `snapshots.OfferUpload`."""
        self._session.heard(call.site)
        return self._snapshots.begin_offer(call, offer)

    def snapshot_chunks(
        self, call: Call, request: sn.DownloadSnapshot
    ) -> Iterator[tuple[int, bytes]]:
        """The encrypted chunks of the snapshot for the caller."""
        self._session.heard(call.site)
        return self._snapshots.chunks(call, request)

    def _read_sum(self, round_number: int, blob: str) -> bytes:
        try:
            return self._session.blobs.read(blob)
        except StorageDamaged:
            self._aggregate(round_number)  # the round may have been aborted meanwhile
            raise

    def _get_session(self, call: Call, message: m.GetSession) -> Message:
        return m.SessionDelivery(self._session.manifest.to_bytes())

    def _accept_session(self, call: Call, message: m.AcceptSession) -> Message:
        cap = self._session.manifest.weights[call.site]
        if message.weight > cap:
            raise WeightRefused(f"the weight of {call.site} is at most {cap}")
        ledger = self._session.ledger
        with ledger.lock:
            state = ledger.state
            known = state.sites.get(call.site)
            if known is not None:
                if known.weight != message.weight:
                    raise Conflict(f"{call.site} has accepted with weight {known.weight}")
                return m.Receipt()
            self._session.require_running()
            ledger.commit(
                replace(state, sites={**state.sites, call.site: SiteRecord(message.weight)}),
                {
                    "type": "session.accepted",
                    "site": call.site,
                    "session_hash": self.session_id.hex(),
                    "weight": message.weight,
                },
                keep=call.envelope,
            )
        self._session.report({"event": "site_joined", "site": call.site})
        return m.Receipt()

    def _get_status(self, call: Call, message: m.GetStatus) -> Message:
        session = self._session
        state = session.ledger.state
        current = state.round
        if state.ended:
            self._told.add(call.site)
        return m.SessionStatus(
            session_phase=state.phase,
            reason=state.reason or (current.reason if current else ""),
            round=current.number if current else 0,
            round_phase=current.phase if current else RoundPhase.NONE,
            state_hash=(
                state.closed[-1].model_hash
                if state.closed
                else bytes.fromhex(session.manifest.initial_state_hash)
            ),
            closed_rounds=tuple(closed.number for closed in state.closed),
            plan=current.plan if current else None,
            key_available=bool(state.keys and call.site in state.keys.published),
            announced=bool(current and call.site in current.announced),
            uploaded=bool(current and call.site in current.uploaded),
            acknowledged=bool(current and call.site in current.acknowledged),
            sites=tuple(
                m.SiteStatus(site, self._presence(site)) for site in session.manifest.sites
            ),
            committed=bool(current and call.site in current.committed),
            opening_available=bool(current and can_be_opened(session, current)),
        )

    def _presence(self, site: str) -> Presence:
        record = self._session.ledger.state.sites.get(site)
        if record is None:
            return Presence.EXPECTED
        return Presence.LOST if record.lost else Presence.LIVE

    def _heartbeat(self, call: Call, message: m.Heartbeat) -> Message:
        state = self._session.ledger.state
        if state.round is None:
            return m.Pulse(state.phase, 0, RoundPhase.NONE, b"")
        wanted = self._snapshots.wanted_of(call.site)
        return m.Pulse(state.phase, state.round.number, state.round.phase, wanted)

    def _announce(self, call: Call, message: m.Announce) -> Message:
        ledger = self._session.ledger
        with ledger.lock:
            current = self._session.current_round(call.site, call.envelope.round)
            changed = announce(current, call.site, message.nonce, message.state_hash)
            if changed != current:
                ledger.commit(
                    replace(ledger.state, round=changed),
                    {
                        "type": "round.announced",
                        "round": current.number,
                        "site": call.site,
                        "state_hash": message.state_hash.hex(),
                    },
                    keep=call.envelope,
                )
        self._snapshots.has_caught_up(call.site)
        return m.Receipt()

    def _publish_key(self, call: Call, message: m.PublishKey) -> Message:
        ledger = self._session.ledger
        with ledger.lock:
            current = self._session.current_round(call.site, call.envelope.round)
            keys = ledger.state.keys
            if current.plan is None or keys is None or message.epoch != current.plan.key_epoch:
                raise WrongPhase("no key of this epoch is due")
            if call.site != keys.maker:
                raise NotPermitted(f"{keys.maker} makes the key of epoch {keys.number}")
            if message.recipient not in keys.recipients:
                raise NotPermitted(f"{message.recipient} gets no key in this session")
            if message.recipient in keys.published:
                self._check_same_key(call, message)
                return m.Receipt()
            published = keys.published | {message.recipient}
            complete: Event = {
                "type": "key.published",
                "round": current.number,
                "epoch": keys.number,
                "key_maker": keys.maker,
            }
            ledger.commit(
                replace(ledger.state, keys=replace(keys, published=published)),
                *([complete] if published == set(keys.recipients) else []),
                also=add_sealed_key(keys.number, message.recipient, call.envelope.to_bytes()),
            )
        return m.Receipt()

    def _check_same_key(self, call: Call, message: m.PublishKey) -> None:
        stored = self._session.store.sealed_key(message.epoch, message.recipient)
        if stored is None or Envelope.from_bytes(stored).payload != call.envelope.payload:
            raise Conflict(
                f"another key of epoch {message.epoch} is published for {message.recipient}"
            )

    def _fetch_key(self, call: Call, message: m.FetchKey) -> Message:
        self._session.require_accepted(call.site)
        return m.KeyDelivery(self._session.store.sealed_key(message.epoch, call.site) or b"")

    def _get_upload_status(self, call: Call, message: m.GetUploadStatus) -> Message:
        session, number = self._session, call.envelope.round
        session.require_accepted(call.site)
        current = session.ledger.state.round
        complete = bool(current and current.number == number and call.site in current.uploaded)
        return m.UploadStatus(
            begun=session.store.upload_manifest(number, call.site) is not None,
            complete=complete,
            stored=(
                tuple(range(session.chunk_count))
                if complete
                else tuple(session.store.chunks(number, call.site))
            ),
        )

    def _get_aggregate(self, call: Call, message: m.GetAggregate) -> Message:
        return self._aggregate(call.envelope.round)

    def _aggregate(self, round_number: int) -> m.AggregateInfo:
        info = self._session.store.aggregate(round_number)
        if info is None:
            raise NotAvailable(f"round {round_number} has no sum")
        return info

    def _acknowledge(self, call: Call, message: m.Acknowledge) -> Message:
        session = self._session
        state = session.ledger.state
        closed = {one.number: one for one in state.closed}.get(call.envelope.round)
        if closed is not None:  # it caught up, perhaps after the session's end
            if closed.model_hash != message.model_hash:
                raise StateMismatch(f"round {closed.number} closed with another model")
            if state.ended and closed == state.closed[-1]:
                self._arrived.add(call.site)
            return m.Receipt()
        with session.ledger.lock:
            current = session.current_round(call.site, call.envelope.round)
            changed = acknowledge(current, call.site, message.plan_hash, message.model_hash)
            if changed != current:
                session.ledger.commit(
                    replace(session.ledger.state, round=changed),
                    {
                        "type": "round.acknowledged",
                        "round": current.number,
                        "site": call.site,
                        "model_hash": message.model_hash.hex(),
                    },
                    keep=call.envelope,
                )
        return m.Receipt()
