"""The snapshots on their way, at most one a site: what is on disk, and its only way to change.

The coordinator relays: the recipient's signed request, the sender's signed offer, encrypted chunks.
It can open none of them. Chunks have a folder of their own beside the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from fedmrg_secure.coordinator import snapshot_rows as rows
from fedmrg_secure.coordinator.blobs import BlobFolder
from fedmrg_secure.coordinator.ledger import Event, Ledger
from fedmrg_secure.coordinator.snapshot_rows import Offer, Request
from fedmrg_secure.coordinator.store import Store
from fedmrg_secure.protocol.envelope import Envelope


class SnapshotDesk:
    """Open requests and their offers. Hold the ledger's lock from reading to changing.

    Args:
        ledger, store: of the session.
        blobs: holds the chunks; what no request refers to is removed.
    """

    def __init__(self, ledger: Ledger, store: Store, blobs: BlobFolder) -> None:
        self._ledger, self._store, self._blobs = ledger, store, blobs
        self._requests = store.read(rows.load_requests)
        blobs.keep_only(store.read(rows.load_blobs))

    @property
    def requests(self) -> Mapping[str, Request]:
        """By who asks, in the order in which they came."""
        return self._requests

    def chunks(self, recipient: str) -> dict[int, str]:
        """Blob names of the stored chunks for a site by index, ascending."""
        return self._store.read(lambda tx: rows.load_chunks(tx, recipient))

    def is_current(self, recipient: str, offer: Envelope) -> bool:
        """Whether this is the offer that a site gets."""
        request = self._requests.get(recipient)
        return bool(request and request.offer and request.offer.envelope == offer)

    def ask(self, request: Request, event: Event) -> None:
        """Take a request in the place of the recipient's earlier one."""
        self._change(request, rows.put(request), event)

    def add(self, recipient: str, offer: Envelope, index: int, chunk: bytes) -> bool:
        """Keep a chunk durably; False, and nothing is kept, if the offer has gone meanwhile."""
        blob = self._blobs.put(chunk)
        with self._ledger.lock:
            if self.is_current(recipient, offer):
                self._store.change(rows.add_chunk(recipient, index, blob))
                return True
        self._blobs.remove({blob})
        return False

    def complete(self, request: Request, event: Event) -> None:
        """Every chunk of the request's offer is there."""
        assert request.offer is not None
        done = replace(request, offer=replace(request.offer, complete=True))
        self._change(done, rows.put(done), event)

    def read(self, blob: str) -> bytes:
        """A stored chunk; raises `StorageDamaged` if it is not there."""
        return self._blobs.read(blob)

    def refuse(self, request: Request, evidence: Envelope, event: Event) -> None:
        """The recipient has refused the offer: it is removed, and its sender offers no other."""
        assert request.offer is not None
        sender = request.offer.envelope.sender
        without = replace(request, refused=request.refused | {sender})
        self.replace_offer(without, None, event, keep=evidence)

    def drop(self, recipient: str, *events: Event, keep: Envelope | None = None) -> None:
        """Forget a site's request and what is stored for it."""
        if recipient in self._requests:
            blobs = set(self.chunks(recipient).values())
            self._commit(rows.drop(recipient), *events, keep=keep)
            del self._requests[recipient]
            self._blobs.remove(blobs)

    def tidy(self, waiting: Collection[str], newest: int) -> None:
        """Forget what nobody waits for any more, and unfinished offers of superseded rounds.

        Args:
            waiting: sites that may still fetch what they have asked for.
            newest: the last closed round.
        """
        for recipient, request in list(self._requests.items()):
            offer = request.offer
            if recipient not in waiting:
                self.drop(recipient)
            elif offer is not None and not offer.complete and offer.envelope.round < newest:
                self.replace_offer(request, None)

    def replace_offer(
        self, request: Request, offer: Offer | None, *events: Event, keep: Envelope | None = None
    ) -> None:
        """Take an offer, or none, in the place of an earlier one, whose chunks are removed."""
        blobs = set(self.chunks(request.recipient).values())
        changed = replace(request, offer=offer)
        self._change(changed, rows.put_without_chunks(changed), *events, keep=keep)
        self._blobs.remove(blobs)

    def _change(
        self,
        request: Request,
        write: Callable[[Connection], None],
        *events: Event,
        keep: Envelope | None = None,
    ) -> None:
        self._commit(write, *events, keep=keep)
        self._requests[request.recipient] = request

    def _commit(
        self, write: Callable[[Connection], None], *events: Event, keep: Envelope | None
    ) -> None:
        self._ledger.commit(self._ledger.state, *events, keep=keep, also=write)
