"""A site that is up to date seals the public state to one that is behind.

It happens beside the site's rounds, in a thread of its own. Only the public state goes out, only to
a site of the session in good standing that has signed that it wants it. Encrypted chunks are on
disk before the offer that lists them leaves, so that a restart goes on with the same; their key is
not::

    state/offers/NAME/offer.json     the round and the signed list, once all chunks are there
    state/offers/NAME/000000.chunk
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import ANEW, Applied, SiteStateBroken, hash_state
from fedmrg_secure.core.durable import write_durably
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.sealed_state import StateContext, StateSealer
from fedmrg_secure.protocol.codec import decode_as, encode_message
from fedmrg_secure.protocol.errors import CallCancelled, CoordinatorUnreachable, ProtocolError
from fedmrg_secure.protocol.messages import Pulse
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.snapshots import (
    CHUNK_BYTES,
    OfferSnapshot,
    RequestSnapshot,
    SnapshotSize,
)
from fedmrg_secure.update.layout import Layout

_FOLDER: Final = "offers"
_OFFER: Final = "offer.json"


@dataclass(frozen=True, slots=True)
class KeptOffer:
    """A sealed state on disk, complete.

    Attributes:
        round: whose state it is.
        message: lists the chunks.
        folder: where they lie.
    """

    round: int
    message: OfferSnapshot
    folder: Path

    def chunk(self, index: int) -> bytes:
        """The bytes of one encrypted chunk, read from disk."""
        return _chunk_path(self.folder, index).read_bytes()


class Helper:
    """Answers requests one at a time; `consider` never waits."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Pulse | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()

    def consider(self, pulse: Pulse) -> None:
        """Take up what a pulse asks for, unless something is in hand."""
        if pulse.snapshot_request and self._idle.is_set():
            self._idle.clear()
            self._orders.put(pulse)

    @contextmanager
    def at_work(self, site: Site) -> Iterator[None]:
        """Answer in the background; close the site's connection before the end of the block."""

        def work() -> None:
            while (pulse := self._orders.get()) is not None:
                try:
                    answer_request(site, pulse)
                except (FedmrgError, OSError) as error:
                    site.progress.emit("not_sealed", reason=str(error))
                self._idle.set()

        thread = threading.Thread(target=work, name="snapshots", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._orders.put(None)
            thread.join()


def answer_request(site: Site, pulse: Pulse) -> None:
    """Seal the newest closed state to the site that asks, and bring it to the coordinator.

    Raises:
        ReplyRefused: the coordinator passed on what no site has signed.
        PartyRevoked: who asks is not in good standing any more.
        SiteStateBroken: this site's own state is not what it should be.
    """
    calls = site.coordinator.snapshots
    request = calls.signed(pulse.snapshot_request, RequestSnapshot)
    recipient, applied = request.sender, _newest_closed(site, pulse)
    if applied is None or applied.round < request.round:
        return
    if recipient == site.name or recipient not in site.manifest.sites:
        return
    kept = _kept(site, recipient)
    if kept is None or kept.round != applied.round:
        kept = _seal(site, recipient, applied)
    try:
        calls.offer(kept.round, kept.message, kept.chunk)
    except (CoordinatorUnreachable, CallCancelled):
        raise  # it goes on with the same after a restart
    except ProtocolError as error:
        site.progress.emit("not_offered", recipient=recipient, reason=str(error))
    shutil.rmtree(kept.folder, ignore_errors=True)


def forget_offers(site: Site) -> None:
    """Remove what is left of offers: the session is over."""
    shutil.rmtree(site.store.folder / _FOLDER, ignore_errors=True)


def _newest_closed(site: Site, pulse: Pulse) -> Applied | None:
    """This site's newest state of a round that is closed for certain."""
    applied = site.store.applied()
    if applied is None:
        return None
    closed = applied.round < pulse.round or pulse.round_phase is RoundPhase.CLOSED
    number = applied.training_round if closed else applied.training_round - 1
    return site.store.applied_at(number) if number > 0 else None


def _seal(site: Site, recipient: str, applied: Applied) -> KeptOffer:
    """Encrypt the state after a round, chunk by chunk onto this site's own disk."""
    public_key = site.roster.entry(recipient).seal_key
    state = site.store.load_state(applied.training_round)
    if hash_state(state) != applied.model_hash:
        raise SiteStateBroken("the model state on disk is not the one that was applied", hint=ANEW)
    layout = Layout.of({name: values.shape for name, values in state.items()})
    content = memoryview(layout.flatten(state).astype("<f4").tobytes())
    size = SnapshotSize.of(layout.size)
    folder = site.store.folder / _FOLDER / recipient
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    model_hash = bytes.fromhex(applied.model_hash)
    sealer = StateSealer(
        StateContext(site.session, applied.round, site.name, recipient, model_hash), size.chunks
    )
    hashes = []
    pieces = (
        bytes(content[start : start + CHUNK_BYTES]) for start in range(0, len(content), CHUNK_BYTES)
    )
    for index, chunk in enumerate(sealer.encrypt(pieces)):
        _chunk_path(folder, index).write_bytes(chunk)
        hashes.append(leaf_hash(chunk))
    root = merkle_root(hashes)
    message = OfferSnapshot(
        recipient=recipient,
        pass_number=applied.training_round,
        plan_hash=bytes.fromhex(applied.plan_hash),
        model_hash=model_hash,
        transcript=bytes.fromhex(applied.transcript),
        sealed_key=sealer.seal_key(public_key, root),
        chunk_hashes=tuple(hashes),
        merkle_root=root,
        total_bytes=size.total_bytes,
    )
    site.log(
        {
            "type": "snapshot.sealed",
            "round": applied.round,
            "recipient": recipient,
            "model_hash": applied.model_hash,
            "snapshot_root": root.hex(),
            "bytes": size.total_bytes,
        }
    )
    listed = {"round": applied.round, "offer": encode_message(message).hex()}
    write_durably(folder / _OFFER, json.dumps(listed).encode())
    return KeptOffer(applied.round, message, folder)


def _kept(site: Site, recipient: str) -> KeptOffer | None:
    """What was sealed to a site before a restart, if it is complete."""
    folder = site.store.folder / _FOLDER / recipient
    try:
        listed = json.loads((folder / _OFFER).read_text(encoding="utf-8"))
        message = decode_as(OfferSnapshot, bytes.fromhex(listed["offer"]))
        return KeptOffer(int(listed["round"]), message, folder)
    except (OSError, ValueError, KeyError, TypeError, ProtocolError):
        return None


def _chunk_path(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.chunk"
