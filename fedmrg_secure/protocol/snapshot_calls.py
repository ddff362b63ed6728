"""The calls around snapshots, as a site makes them: `CoordinatorClient.snapshots`.

Every method may be called again after any failure. What another site has signed is verified here
under that site's own key: the coordinator only carries it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fedmrg_secure.core.types import Verifier
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.certified_calls import Ask
from fedmrg_secure.protocol.chunk_streams import ChunkStreams
from fedmrg_secure.protocol.envelope import Envelope, open_envelope
from fedmrg_secure.protocol.errors import ProtocolError, ReplyRefused

M = TypeVar("M")


class OpenReply(Protocol):
    """Verifies a reply (`CoordinatorClient`'s way of doing it)."""

    def __call__(self, data: bytes, question: Envelope, expected: type[M]) -> M: ...


@dataclass(frozen=True, slots=True)
class Signed(Generic[M]):
    """What a site has signed.

    Attributes:
        digest: of the envelope.
    """

    sender: str
    round: int
    digest: bytes
    message: M


class SnapshotCalls:
    """See the module. Raises what `CoordinatorClient` raises.

    Args:
        streams: moves chunks.
        ask: sends a message.
        open_reply: verifies a stream's reply.
        verifier: the roster.
        session: the session's identifier.
    """

    def __init__(
        self,
        streams: ChunkStreams,
        ask: Ask,
        open_reply: OpenReply,
        verifier: Verifier,
        session: bytes,
    ) -> None:
        self._streams = streams
        self._ask = ask
        self._open_reply = open_reply
        self._verifier = verifier
        self._session = session

    def request(self, round_number: int) -> None:
        """Ask for the state after a closed round, or after a later one.

        Raises:
            WrongRound: the round is not closed.
            SessionEnded: nobody is there any more who could seal it.
        """
        self._ask("RequestSnapshot", sn.RequestSnapshot(), m.Receipt, round_number=round_number)

    def snapshot(self) -> sn.SnapshotDelivery:
        """The snapshot for this site, or how far it is.

        Raises:
            NotAvailable: this site has not asked for one, or its request has lapsed.
        """
        return self._ask("GetSnapshot", sn.GetSnapshot(), sn.SnapshotDelivery, round_number=0)

    def chunks(
        self, offer: Signed[sn.OfferSnapshot], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[bytes]:
        """The offer's encrypted chunks in order, each checked against its signed hash.

        Raises:
            NotAvailable: the offer is gone.
        """
        return self._streams.receive(
            "DownloadSnapshot",
            offer.round,
            lambda index: sn.DownloadSnapshot(offer.digest, index),
            offer.message.chunk_hashes,
            on_progress=on_progress,
        )

    def settle(self, offer: Signed[sn.OfferSnapshot], refusal: str = "") -> None:
        """Say that the snapshot is applied, or why not; the coordinator then deletes it."""
        message = sn.SettleSnapshot(offer.digest, refusal)
        self._ask("SettleSnapshot", message, m.Receipt, round_number=offer.round)

    def offer(
        self, round_number: int, offer: sn.OfferSnapshot, read_chunk: Callable[[int], bytes]
    ) -> None:
        """Bring a snapshot to the coordinator; after a break only what is missing.

        Raises:
            NotAvailable: the recipient does not wait for one any more.
            Conflict: another one is there.
            NotPermitted: the recipient has refused one of this site's.
            WrongRound: the round is not closed, or not one that the recipient asks for.
        """

        def stored() -> tuple[int, ...]:
            question = sn.GetOfferStatus(offer.recipient)
            return self._ask(
                "GetOfferStatus", question, m.UploadStatus, round_number=round_number
            ).stored

        reply, envelope = self._streams.send(
            "UploadSnapshot",
            round_number,
            offer,
            len(offer.chunk_hashes),
            stored,
            read_chunk,
        )
        self._open_reply(reply, envelope, m.Receipt)

    def closure(self, round_number: int, *, acknowledgements: bool) -> sn.Closure:
        """The plan of a closed round and, if wanted, who has acknowledged which model.

        Raises:
            NotAvailable: the round is not closed.
        """
        closure = self._ask(
            "GetClosure", sn.GetClosure(acknowledgements), sn.Closure, round_number=round_number
        )
        if closure.plan.round != round_number:
            raise ReplyRefused(f"the plan of round {closure.plan.round} came for {round_number}")
        return closure

    def signed(self, data: bytes, expected: type[M]) -> Signed[M]:
        """What another site has signed in this session.

        Raises:
            ReplyRefused: not a valid signature of a roster's site over such a message of this
                session: the coordinator has made it up or changed it.
        """
        try:
            envelope = Envelope.from_bytes(data)
            message = open_envelope(
                envelope, self._verifier, expected, session=self._session, sender=envelope.sender
            )
        except ProtocolError as error:
            raise ReplyRefused(f"a site's signed message is refused: {error}") from error
        return Signed(envelope.sender, envelope.round, envelope.digest, message)
