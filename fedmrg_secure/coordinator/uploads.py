"""Receiving one site's update: every frame is checked before it is stored."""

from __future__ import annotations

from dataclasses import replace

from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.coordinator.store import add_upload
from fedmrg_secure.core.merkle import leaf_hash
from fedmrg_secure.crypto.frame import decode_frame
from fedmrg_secure.protocol.errors import ChunkRefused, Conflict, TooMuchData
from fedmrg_secure.protocol.messages import UploadManifest
from fedmrg_secure.protocol.service import Call
from fedmrg_secure.protocol.state import check_upload, complete_upload

_REPETITIONS = 4
"""How often a site may send its whole update in one stream, resumptions and repeats included."""


class Upload:
    """One upload stream; implements `protocol.service.UploadSink`.

    Raises (the constructor):
        WrongRound, WrongPhase, NotPermitted, Conflict, SessionEnded: see `state.check_upload`.
        ChunkRefused: the manifest does not have the session's number of chunks and bytes.
    """

    def __init__(self, session: Session, call: Call, manifest: UploadManifest) -> None:
        self._session = session
        self._site = call.site
        self._round = call.envelope.round
        self._manifest = manifest
        self._begin(call)
        self._stored = set(session.store.chunks(self._round, self._site))
        self._allowance = _REPETITIONS * manifest.total_bytes

    def store(self, index: int, frame: bytes) -> None:
        """Check one chunk against the signed manifest and the session, and keep it durably.

        Raises:
            ChunkRefused: it is not the frame that the manifest lists.
            TooMuchData: the stream repeats itself beyond measure.
            FedmrgError: 4201 to 4204, what is wrong with the frame itself.
            CoordinatorFull: there is no room; what was stored before stays.
        """
        self._session.heard(self._site)
        self._allowance -= len(frame)
        if self._allowance < 0:
            raise TooMuchData(f"{self._site} has sent its update over and over")
        if index >= len(self._manifest.chunk_hashes):
            raise ChunkRefused(f"chunk {index} is beyond the manifest")
        if leaf_hash(frame) != self._manifest.chunk_hashes[index]:
            raise ChunkRefused(f"chunk {index} is not the one that the manifest lists")
        if index in self._stored:
            return
        decode_frame(frame, self._session.header(self._round, self._site, index))
        blob = self._session.blobs.put(frame)
        with self._session.ledger.lock:
            if self._is_open():
                self._session.store.add_chunk(self._round, self._site, index, blob)
        self._stored.add(index)

    def finish(self) -> None:
        """Record the upload as complete.

        Raises:
            ChunkRefused: chunks are missing.
        """
        session, root = self._session, self._manifest.merkle_root
        with session.ledger.lock:
            if not self._is_open():
                return
            missing = session.chunk_count - len(session.store.chunks(self._round, self._site))
            if missing:
                raise ChunkRefused(f"{missing} chunks of the upload are missing")
            state = session.ledger.state
            assert state.round is not None
            session.ledger.commit(
                replace(state, round=complete_upload(state.round, self._site, root)),
                {
                    "type": "upload.received",
                    "round": self._round,
                    "site": self._site,
                    "upload_root": root.hex(),
                    "chunks": session.chunk_count,
                    "bytes": self._manifest.total_bytes,
                },
            )
        session.report({"event": "upload", "round": self._round, "site": self._site})

    def _begin(self, call: Call) -> None:
        """Record the manifest, unless the same one is recorded already."""
        session = self._session
        with session.ledger.lock:
            if not self._is_open():
                return
            known = session.store.upload_manifest(self._round, self._site)
            if known == self._manifest:
                return
            if known is not None:
                raise Conflict(f"{self._site} has begun another upload in this round")
            self._check_size()
            session.ledger.commit(
                session.ledger.state,
                keep=call.envelope,
                also=add_upload(self._round, self._site, self._manifest),
            )

    def _is_open(self) -> bool:
        """Whether the round still takes this upload; False when it is complete already."""
        current = self._session.current_round(self._site, self._round)
        return check_upload(
            current, self._site, self._manifest.plan_hash, self._manifest.merkle_root
        )

    def _check_size(self) -> None:
        chunks, total = len(self._manifest.chunk_hashes), self._manifest.total_bytes
        if chunks != self._session.chunk_count:
            raise ChunkRefused(f"an update has {self._session.chunk_count} chunks, not {chunks}")
        expected = self._session.upload_bytes(self._round, self._site)
        if total != expected:
            raise ChunkRefused(f"this update has {expected} bytes, not {total}")
