"""The coordinator as a site sees it: typed methods over mutual TLS, signed both ways.

Every method may be called again after any failure: the coordinator answers a repeated message as it
answered the first. One client may be used from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from fedmrg_secure.core.types import COORDINATOR, Signer, Verifier
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.certified_calls import CertifiedCalls
from fedmrg_secure.protocol.channel import SERVICE, Channels, PatientCaller, TlsIdentity
from fedmrg_secure.protocol.chunk_streams import ChunkStreams, Progress
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope, open_envelope, seal_envelope
from fedmrg_secure.protocol.errors import (
    InvalidManifest,
    NotAvailable,
    ProtocolError,
    ReplyRefused,
    WrongSession,
)
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.sequence import Sequence
from fedmrg_secure.protocol.snapshot_calls import SnapshotCalls

_CALL_TIMEOUT_S: Final = 30.0

M = TypeVar("M")


class CoordinatorClient:
    """One site's connection to its coordinator.

    Args:
        target: ``host:port``.
        server_name: the DNS name that the coordinator's certificate must bear.
        tls: the site's certificate and key, and the federation's authority.
        signer: signs as the site; its `party` must be the certificate's.
        verifier: the roster: every reply must be signed by ``coordinator``, every key by its maker.
        session_id: the session's identifier if it is pinned already; `get_session` learns it
            otherwise, and must then come first.
        patience_s: how long a call is repeated while the coordinator does not answer (its restart
            takes a few seconds) before `CoordinatorUnreachable`.

    Raises (every method):
        ProtocolError: the coordinator refused, with the code of `SPEC.md`'s registry.
        CoordinatorUnreachable: no answer within `patience_s`.
        ReplyRefused: an answer that is not the coordinator's, or not to this question.
        CallCancelled: `close` was called meanwhile.
    """

    def __init__(
        self,
        *,
        target: str,
        server_name: str,
        tls: TlsIdentity,
        signer: Signer,
        verifier: Verifier,
        session_id: bytes | None = None,
        patience_s: float = 60.0,
    ) -> None:
        self._signer = signer
        self._verifier = verifier
        self._session = session_id or b""
        self._caller = PatientCaller(patience_s)
        self._channels = Channels(target, server_name, tls)
        self._sequence = Sequence()
        self.bytes_sent = 0
        """message bytes sent so far, envelopes and frames, repetitions included"""
        self.bytes_received = 0
        """message bytes received so far"""
        self._streams = ChunkStreams(
            self._channels,
            self._caller,
            lambda message, number: self._seal(message, number, self._session),
            self,
        )

    def close(self) -> None:
        """End pending calls with `CallCancelled` and close the channels. May be called twice."""
        self._caller.close()
        self._channels.close()

    def __enter__(self) -> CoordinatorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_session(self) -> SessionManifest:
        """The session's manifest, checked against the pinned identifier if there is one.

        Raises:
            WrongSession: the coordinator runs another session than the pinned one.
        """
        delivery = self._ask("GetSession", m.GetSession(), m.SessionDelivery, session=b"")
        try:
            manifest = SessionManifest.from_bytes(delivery.manifest)
        except InvalidManifest as error:
            raise ReplyRefused(f"the coordinator's manifest is invalid: {error}") from error
        if self._session and manifest.session_id != self._session:
            raise WrongSession("the coordinator runs another session than the pinned one")
        self._session = manifest.session_id
        return manifest

    def accept_session(self, weight: int) -> None:
        """Take part: sign the session (its whole manifest, by its hash) and declare a weight.

        Args:
            weight: what this site multiplies its update with, 1 up to its cap in the manifest.

        Raises:
            WeightRefused: `weight` is above the cap.
            Conflict: another weight was accepted before.
        """
        self._ask("AcceptSession", m.AcceptSession(weight), m.Receipt)

    def get_status(self) -> m.SessionStatus:
        """How the session stands. Poll it; 0.2 to 2 s between calls are a good pace."""
        return self._ask("GetStatus", m.GetStatus(), m.SessionStatus)

    def heartbeat(self) -> m.Pulse:
        """Say that this site is alive; due at least every third of the site time-out."""
        return self._ask("Heartbeat", m.Heartbeat(), m.Pulse)

    def announce(self, round_number: int, nonce: bytes, state_hash: bytes) -> None:
        """Be ready for a round in phase ANNOUNCING.

        Args:
            round_number: `SessionStatus.round`.
            nonce: 32 fresh random bytes; after a restart of the site, others may be sent as long
                as the plan is not made.
            state_hash: hash of the shared state, 32 bytes.

        Raises:
            StateMismatch: the state is not the one the round starts from: catch up first.
            WrongRound, WrongPhase: the round is over, or its plan is made already.
        """
        self._ask("Announce", m.Announce(nonce, state_hash), m.Receipt, round_number=round_number)

    def publish_key(self, round_number: int, epoch: int, sealed: Mapping[str, bytes]) -> None:
        """As the plan's key maker: deliver the epoch's key, sealed to each site of the cohort.

        Args:
            sealed: HPKE output for each site of the session, this one included.

        Raises:
            NotPermitted: this site is not the plan's key maker, or a name is not of the session.
            Conflict: something else was published for this epoch and recipient: publish the very
                bytes of the first attempt again, or fetch the key that was published.
        """
        for recipient in sorted(sealed):
            message = m.PublishKey(epoch, recipient, sealed[recipient])
            self._ask("PublishKey", message, m.Receipt, round_number=round_number)

    def fetch_key(self, epoch: int, maker: str) -> bytes | None:
        """The epoch's key as `maker` sealed it to this site; None while it is not published.

        The maker's own signature is verified, not only the coordinator's.
        """
        delivery = self._ask("FetchKey", m.FetchKey(epoch), m.KeyDelivery)
        if not delivery.envelope:
            return None
        envelope = _refusing(lambda: Envelope.from_bytes(delivery.envelope))
        published = self._open(envelope, m.PublishKey, self._session, maker, b"")
        if (published.epoch, published.recipient) != (epoch, self._signer.party):
            raise ReplyRefused("the delivered key is of another epoch or for another site")
        return published.sealed

    @property
    def certified(self) -> CertifiedCalls:
        """The calls of rounds with round keys."""
        return CertifiedCalls(self._ask, self._verifier, self._session)

    @property
    def snapshots(self) -> SnapshotCalls:
        """The calls of sites that are behind, and of those that help them."""
        return SnapshotCalls(
            self._streams, self._ask, self._open_reply, self._verifier, self._session
        )

    def upload_status(self, round_number: int) -> m.UploadStatus:
        """What of this site's upload is stored at the coordinator."""
        return self._ask(
            "GetUploadStatus", m.GetUploadStatus(), m.UploadStatus, round_number=round_number
        )

    def upload(
        self,
        round_number: int,
        manifest: m.UploadManifest,
        read_frame: Callable[[int], bytes],
        on_progress: Progress | None = None,
    ) -> None:
        """Upload what the coordinator does not have yet; return when the upload is complete.

        Args:
            round_number: the plan's round.
            manifest: lists every frame's leaf hash; once sent, it can not be exchanged.
            read_frame: frame bytes by chunk index; may be called again for the same index.
            on_progress: called with the length of each frame that was sent.

        Raises:
            Conflict: another manifest of this site is recorded for the round.
            ChunkRefused, TooMuchData, RefusedForCause: manifest or frames are not acceptable;
                a frame's own fault has its 4xxx code in `RefusedForCause.remote_code`.
            WrongRound, WrongPhase: the round goes on without this upload.
        """
        reply, envelope = self._streams.send(
            "Upload",
            round_number,
            manifest,
            len(manifest.chunk_hashes),
            lambda: self.upload_status(round_number).stored,
            read_frame,
            on_progress,
        )
        self._open_reply(reply, envelope, m.Receipt)

    def get_aggregate(self, round_number: int) -> m.AggregateInfo | None:
        """What a round was summed to; None while it is not, or if the round was aborted."""
        try:
            info = self._ask(
                "GetAggregate", m.GetAggregate(), m.AggregateInfo, round_number=round_number
            )
        except NotAvailable:
            return None
        if info.round != round_number:
            raise ReplyRefused(f"the aggregate of round {info.round} came for {round_number}")
        return info

    def download(
        self,
        aggregate: m.AggregateInfo,
        first_chunk: int = 0,
        on_progress: Progress | None = None,
    ) -> Iterator[bytes]:
        """The aggregate's frames in order from `first_chunk` on, each checked against its hash."""
        return self._streams.receive(
            "Download",
            aggregate.round,
            m.Download,
            aggregate.chunk_hashes,
            first_chunk=first_chunk,
            on_progress=on_progress,
        )

    def acknowledge(self, round_number: int, plan_hash: bytes, model_hash: bytes) -> None:
        """Say that this site opened, checked and applied the round's aggregate.

        Args:
            plan_hash: `hashes.plan_hash` of the round's plan.
            model_hash: hash of the shared state after it, 32 bytes; the session fails if included
                sites differ.

        Raises:
            Conflict: another model hash was acknowledged before.
        """
        message = m.Acknowledge(plan_hash, model_hash)
        self._ask("Acknowledge", message, m.Receipt, round_number=round_number)

    def _ask(
        self,
        method: str,
        message: Message,
        expected: type[M],
        *,
        round_number: int = 0,
        session: bytes | None = None,
    ) -> M:
        envelope = self._seal(message, round_number, self._session if session is None else session)
        data = envelope.to_bytes()
        with self._channels.for_message(len(data)) as channel:
            stub = channel.unary_unary(SERVICE + method, None, None)

            def attempt() -> bytes:
                self.bytes_sent += len(data)
                reply: bytes = stub(data, timeout=_CALL_TIMEOUT_S)
                return reply

            return self._open_reply(self._caller.call(attempt), envelope, expected)

    def _seal(self, message: Message, round_number: int, session: bytes) -> Envelope:
        return seal_envelope(
            self._signer,
            message,
            session=session,
            round_number=round_number,
            sequence=self._sequence.next(),
        )

    def _open_reply(self, data: bytes, question: Envelope, expected: type[M]) -> M:
        self.bytes_received += len(data)
        envelope = _refusing(lambda: Envelope.from_bytes(data))
        return self._open(envelope, expected, question.session, COORDINATOR, question.digest)

    def _open(
        self, envelope: Envelope, expected: type[M], session: bytes, sender: str, reply_to: bytes
    ) -> M:
        return _refusing(
            lambda: open_envelope(
                envelope,
                self._verifier,
                expected,
                session=session,
                sender=sender,
                reply_to=reply_to,
            )
        )


def _refusing(open_it: Callable[[], M]) -> M:
    """What the coordinator sent, or `ReplyRefused` where it breaks the protocol."""
    try:
        return open_it()
    except ProtocolError as error:
        raise ReplyRefused(f"the coordinator's answer is refused: {error}") from error
