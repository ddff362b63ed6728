"""Writing a tamper-evident log: append an event, and it is durable and signed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, ClassVar

from fedmrg_secure.audit_log.checkpoint import (
    Checkpoint,
    CheckpointInvalid,
    LogSigner,
    read_checkpoint,
    sign_checkpoint,
)
from fedmrg_secure.audit_log.files import (
    CHECKPOINTS_FILE,
    ENTRIES_FILE,
    LOCK_FILE,
    NEWEST_FILE,
    LineFile,
    read_lines,
)
from fedmrg_secure.audit_log.record import EventRefused, decode_entry, encode_entry
from fedmrg_secure.core.canonical import JsonValue
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json
from fedmrg_secure.core.merkle import MerkleRange, leaf_hash


class LogLocked(FedmrgError):
    """Another process writes this log."""

    code: ClassVar[str] = "FMRG-7002"


class LogDamaged(FedmrgError):
    """A log does not fit its own last checkpoint: it cannot be continued."""

    code: ClassVar[str] = "FMRG-7003"


class LogNotWritten(FedmrgError):
    """An event could not be made durable."""

    code: ClassVar[str] = "FMRG-7004"


class AuditLog:
    """One party's append-only log; one writer at a time, safe to use from several threads.

    Guarantee:
        When `append` returns, the event and a signed checkpoint that covers it are on disk. After
        a kill at any byte, `open` finds all events whose `append` returned and at most the batch
        that was being written. Later change, removal, reordering or truncation of entries is
        found by `recompute.verify_log`, unless the signing key is in the wrong hands.

    Use:
        ``with AuditLog.open(folder, origin, signer) as log: log.append({"type": ...})``
    """

    def __init__(
        self,
        folder: Path,
        origin: str,
        signer: LogSigner,
        clock: Callable[[], datetime],
        lock_file: BinaryIO,
    ) -> None:
        self._folder = folder
        self._origin = origin
        self._signer = signer
        self._clock = clock
        self._lock_file = lock_file
        self._lock = Lock()
        self._tree = MerkleRange()
        self._entries = LineFile(folder / ENTRIES_FILE)
        self._checkpoints = LineFile(folder / CHECKPOINTS_FILE)
        self._resume(self._entries.lines, self._checkpoints.lines)
        self._entries.lines = self._checkpoints.lines = []  # a log may be long; keep the tree only

    @classmethod
    def open(
        cls,
        folder: Path,
        origin: str,
        signer: LogSigner,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> AuditLog:
        """Open or begin the log in `folder`, for writing.

        Args:
            folder: made if absent.
            origin: from `checkpoint.log_origin`.
            signer: the party's key.
            clock: gives aware UTC times.

        Raises:
            LogLocked: another process has it open.
            LogDamaged: an entry is malformed, or the entries contradict the last checkpoint.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_file = (folder / LOCK_FILE).open("ab")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.close()
            raise LogLocked(
                f"the log {origin} is being written by another process",
                hint="stop the other process of this party first",
                location=str(folder),
            ) from None
        try:
            return cls(folder, origin, signer, clock, lock_file)
        except BaseException:
            lock_file.close()
            raise

    @property
    def size(self) -> int:
        """Entries."""
        return self._tree.size

    @property
    def head(self) -> Checkpoint:
        """The log's size and root now."""
        return Checkpoint(self._origin, self._tree.size, self._tree.root())

    def events(self) -> Iterator[Mapping[str, Any]]:
        """What is logged so far, in order, with ``seq`` and ``time``; read from the disk again."""
        with self._lock:
            lines = read_lines(self._folder / ENTRIES_FILE)[0][: self._tree.size]
        for seq, line in enumerate(lines):
            yield decode_entry(line, seq)

    def append(self, event: Mapping[str, JsonValue]) -> int:
        """Log one event and return its number; see `append_all`."""
        return self.append_all([event])[0]

    def append_all(self, events: Sequence[Mapping[str, JsonValue]]) -> list[int]:
        """Log events, all of them or none, with one wait for the disk.

        Args:
            events: of the form of `record.check_event`; ``seq`` and ``time`` are added here.

        Returns:
            Their numbers, from 0.

        Raises:
            EventRefused: an event is not of the vocabulary; nothing was logged.
            LogNotWritten: the disk refused; the log is as it was before.
        """
        with self._lock:
            first, now = self._tree.size, self._clock()
            lines = [encode_entry(event, first + at, now) for at, event in enumerate(events)]
            before = self._entries.length
            try:
                self._entries.append(lines)
                self._sign(lines)
            except OSError as error:
                self._entries.cut(before)
                raise LogNotWritten(
                    f"the log could not be written: {error.strerror}",
                    hint="free disk space, or check the folder's permissions, and start again",
                    location=str(self._folder),
                ) from error
            return list(range(first, first + len(lines)))

    def checkpoint(self) -> str:
        """The signed note of the newest entry; also written to the file ``checkpoint``."""
        with self._lock:
            note = sign_checkpoint(self.head, self._signer)
            partial = self._folder / f".{NEWEST_FILE}"
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(note)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self._folder / NEWEST_FILE)
            return note

    def close(self) -> None:
        """Write the newest checkpoint and let other processes open the log."""
        if self._lock_file.closed:
            return
        self.checkpoint()
        self._entries.close()
        self._checkpoints.close()
        self._lock_file.close()

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sign(self, lines: Sequence[bytes]) -> None:
        """Add entries to the tree, with a checkpoint for each, so that a bad one can be named."""
        tree, notes = self._tree.copy(), []
        for line in lines:
            tree.append(leaf_hash(line))
            checkpoint = Checkpoint(self._origin, tree.size, tree.root())
            notes.append(json.dumps(sign_checkpoint(checkpoint, self._signer)).encode())
        self._checkpoints.append(notes)
        self._tree = tree

    def _resume(self, entries: Sequence[bytes], notes: Sequence[bytes]) -> None:
        signed = self._read_last(notes)
        if signed.size > len(entries):
            raise LogDamaged(
                f"the log has {len(entries)} entries, but {signed.size} were signed",
                location=str(self._folder),
            )
        for seq, line in enumerate(entries[: signed.size]):
            self._check_entry(line, seq)
            self._tree.append(leaf_hash(line))
        if self.head != signed:
            raise LogDamaged(
                f"the first {signed.size} entries are not those that were signed",
                hint="`fedmrg log verify` names the first bad entry",
                location=str(self._folder),
            )
        unsigned = entries[signed.size :]
        for seq, line in enumerate(unsigned, start=signed.size):
            self._check_entry(line, seq)
        if unsigned:
            self._sign(unsigned)

    def _read_last(self, notes: Sequence[bytes]) -> Checkpoint:
        if not notes:
            return self.head
        try:
            note = read_json(notes[-1])
            return read_checkpoint(str(note), self._origin, self._signer.public_key)
        except (JsonRefused, CheckpointInvalid) as error:
            raise LogDamaged(
                f"the log's last checkpoint is not valid: {error}", location=str(self._folder)
            ) from None

    def _check_entry(self, line: bytes, seq: int) -> None:
        try:
            decode_entry(line, seq)
        except EventRefused as error:
            raise LogDamaged(
                f"entry {seq} is damaged: {error.message}", location=str(self._folder)
            ) from None
