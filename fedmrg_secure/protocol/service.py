"""What a coordinator implements behind the gRPC server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, as certificate, roster and signature agree, and the verified envelope."""

    site: str
    envelope: Envelope


class UploadSink(Protocol):
    """Receives one upload stream."""

    def store(self, index: int, frame: bytes) -> None:
        """Check and keep one chunk durably; raise to refuse the stream."""
        ...

    def finish(self) -> None:
        """The stream has ended: record the upload as complete, or raise if chunks are missing."""
        ...


class Service(Protocol):
    """Raises registered errors; whatever it returns is durable. Called from many threads."""

    @property
    def session_id(self) -> bytes:
        """The session that every envelope must belong to, 32 bytes."""
        ...

    def authenticate(self, certificate_pem: bytes) -> str:
        """The site that a verified TLS leaf certificate names; called for every message.

        Raises:
            NotAuthenticated: expired, revoked, unfit or of another federation.
            NotPermitted: it is no site of this session.
        """
        ...

    def answer(self, call: Call, message: Message) -> Message:
        """The reply to a unary message."""
        ...

    def begin_upload(self, call: Call, manifest: m.UploadManifest) -> UploadSink:
        """Accept an upload's manifest, new or resumed."""
        ...

    def frames(self, call: Call, request: m.Download) -> Iterator[tuple[int, bytes]]:
        """The aggregate's frames of the call's round, with their indexes."""
        ...

    def begin_offer(self, call: Call, offer: sn.OfferSnapshot) -> UploadSink:
        """Accept a snapshot's offer, new or resumed."""
        ...

    def snapshot_chunks(
        self, call: Call, request: sn.DownloadSnapshot
    ) -> Iterator[tuple[int, bytes]]:
        """The encrypted chunks of the snapshot for the caller, with their indexes."""
        ...
