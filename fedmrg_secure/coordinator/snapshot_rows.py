"""Requests and offers of snapshots as rows of the database, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from fedmrg_secure.coordinator import tables as t
from fedmrg_secure.protocol.codec import decode_message
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.snapshots import OfferSnapshot

Write = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Offer:
    """A snapshot for one site, whole or on its way.

    Attributes:
        envelope: as its sender has signed it.
        message: what it holds.
        complete: every chunk is there.
    """

    envelope: Envelope
    message: OfferSnapshot
    complete: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A site that waits for a snapshot.

    Attributes:
        envelope: its `RequestSnapshot`.
        refused: whose offers it has refused.
        offer: the one that it gets.
    """

    envelope: Envelope
    refused: frozenset[str] = field(default_factory=frozenset)
    offer: Offer | None = None

    @property
    def recipient(self) -> str:
        """Who asks."""
        return self.envelope.sender

    @property
    def fulfilled(self) -> bool:
        """The snapshot is there to be fetched."""
        return self.offer is not None and self.offer.complete


def load_requests(tx: Connection) -> dict[str, Request]:
    """Every open request, by who asks, in order of name."""
    rows = tx.execute(select(t.SNAPSHOT).order_by(t.SNAPSHOT.c.recipient)).all()
    return {
        row.recipient: Request(
            Envelope.from_bytes(row.request),
            frozenset(row.refused.split()),
            _offer(row.offer, row.complete) if row.offer else None,
        )
        for row in rows
    }


def load_chunks(tx: Connection, recipient: str) -> dict[int, str]:
    """Blob names of the stored chunks for a site by index, ascending."""
    rows = tx.execute(
        select(t.SNAPSHOT_CHUNK.c.index, t.SNAPSHOT_CHUNK.c.blob)
        .where(t.SNAPSHOT_CHUNK.c.recipient == recipient)
        .order_by(t.SNAPSHOT_CHUNK.c.index)
    )
    return {int(row[0]): str(row[1]) for row in rows}


def load_blobs(tx: Connection) -> set[str]:
    """Names of all blobs that a snapshot's chunk refers to."""
    return set(tx.execute(select(t.SNAPSHOT_CHUNK.c.blob)).scalars())


def put(request: Request) -> Write:
    """The write that puts a request in the place of its recipient's earlier one."""

    def write(tx: Connection) -> None:
        tx.execute(delete(t.SNAPSHOT).where(t.SNAPSHOT.c.recipient == request.recipient))
        tx.execute(
            insert(t.SNAPSHOT).values(
                recipient=request.recipient,
                request=request.envelope.to_bytes(),
                refused=" ".join(sorted(request.refused)),
                offer=request.offer.envelope.to_bytes() if request.offer else b"",
                complete=request.fulfilled,
            )
        )

    return write


def put_without_chunks(request: Request) -> Write:
    """As `put`; the chunks of the offer before are forgotten."""

    def write(tx: Connection) -> None:
        _drop_chunks(tx, request.recipient)
        put(request)(tx)

    return write


def drop(recipient: str) -> Write:
    """The write that forgets a request, its offer and the chunks."""

    def write(tx: Connection) -> None:
        _drop_chunks(tx, recipient)
        tx.execute(delete(t.SNAPSHOT).where(t.SNAPSHOT.c.recipient == recipient))

    return write


def add_chunk(recipient: str, index: int, blob: str) -> Write:
    """The write that records a stored chunk of the offer in a recipient's row."""

    def write(tx: Connection) -> None:
        place = {"recipient": recipient, "index": index}
        known = select(t.SNAPSHOT_CHUNK.c.blob).filter_by(**place)
        if tx.execute(known).first() is None:
            tx.execute(insert(t.SNAPSHOT_CHUNK).values(**place, blob=blob))

    return write


def _drop_chunks(tx: Connection, recipient: str) -> None:
    tx.execute(delete(t.SNAPSHOT_CHUNK).where(t.SNAPSHOT_CHUNK.c.recipient == recipient))


def _offer(data: bytes, complete: bool) -> Offer:
    envelope = Envelope.from_bytes(data)
    message = decode_message(envelope.type, envelope.payload)
    assert isinstance(message, OfferSnapshot), "checked before it was stored"
    return Offer(envelope, message, complete)
