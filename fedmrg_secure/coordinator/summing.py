"""Adding the uploads of a round: a few chunks at a time, on a few threads, each kept durably."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fedmrg_secure.coordinator.aggregate import add_chunk, sum_header
from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.core.merkle import leaf_hash
from fedmrg_secure.crypto.frame import AGGREGATE
from fedmrg_secure.protocol.state import RoundState

_WORKERS = min(4, os.cpu_count() or 1)
_BATCH = 8
"""Chunks between two commits: as many are added again after a kill."""


@dataclass(frozen=True, slots=True)
class Summed:
    """One stored chunk of the sum."""

    index: int
    blob: str
    leaf: bytes
    frame_bytes: int


def sum_uploads(
    session: Session, current: RoundState, stop: threading.Event
) -> list[Summed] | None:
    """Every chunk of the round's sum, in order; chunks added before a kill are taken as they are.

    NumPy, SHA-256 and the disk all run outside the interpreter's lock, so threads help. In memory
    are at most `_WORKERS` chunks being added, whatever the number of sites and of chunks.

    Returns:
        None if `stop` was set meanwhile.

    Raises:
        StorageDamaged: a stored frame is missing or has changed.
        CoordinatorFull: there is no room; what was stored before stays.
    """
    number, sites = current.number, current.included
    uploads = {site: session.store.chunks(number, site) for site in sites}
    done = session.store.chunks(number, AGGREGATE)

    def add_one(index: int) -> Summed:
        if index in done:
            frame, blob = session.blobs.read(done[index]), done[index]
            return Summed(index, blob, leaf_hash(frame), len(frame))
        frame = add_chunk(
            (session.blobs.read(uploads[site][index]) for site in sites),
            [session.header(number, site, index) for site in sites],
            sum_header(
                session.parameters,
                session.session_id,
                number,
                index,
                session.manifest.value_count,
                len(sites),
            ),
        )
        return Summed(index, session.blobs.put(frame), leaf_hash(frame), len(frame))

    summed: list[Summed] = []
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="fedmrg-sum") as pool:
        for start in range(0, session.chunk_count, _BATCH):
            if stop.is_set():
                return None
            batch = range(start, min(start + _BATCH, session.chunk_count))
            added = list(pool.map(add_one, batch))
            session.store.add_chunks(number, AGGREGATE, {one.index: one.blob for one in added})
            summed += added
    return summed
