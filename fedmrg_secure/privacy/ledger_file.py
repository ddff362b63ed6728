"""The files of a ledger: appended to, flushed, locked, and never believed.

::

    chest-patient-1e-05.jsonl        the entries, one a line
    chest-patient-1e-05.jsonl.head   how far they go; written after each entry

The second file is how a ledger that was cut at a line, or deleted, is told from one that is whole.
Both have mode 0600. Every use of a ledger takes the lock of its folder, reads and checks all of
it, and at most adds a line: runs on one data set may go on side by side.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar, Final

from fedmrg_secure.core.canonical import JsonValue, canonical_json
from fedmrg_secure.core.durable import flush, write_durably
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.privacy.ledger_entries import (
    FORM,
    LedgerBroken,
    LedgerContent,
    LedgerHead,
    encode,
)

HEAD_SUFFIX: Final = ".head"
LOCK_FILE: Final = ".lock"
_OWNER_ONLY: Final = 0o600
_POLL_S: Final = 0.02


class LedgerLocked(FedmrgError):
    """Another process holds a ledger for too long."""

    code: ClassVar[str] = "FMRG-4642"


class LedgerCopied(FedmrgError):
    """A ledger is not the file that it was begun as: a copy, or restored from one."""

    code: ClassVar[str] = "FMRG-4643"


class LedgerNotWritten(FedmrgError):
    """An entry could not be made durable."""

    code: ClassVar[str] = "FMRG-4644"


@contextmanager
def locked(folder: Path, patience_s: float) -> Iterator[None]:
    """Exclude all other processes and threads from a folder of ledgers, made if absent.

    Raises:
        LedgerLocked: the lock did not come free in time.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LedgerLocked(
                        f"another process has held the ledgers for {patience_s:g} s",
                        hint="see which process uses them; a ledger is held for seconds at most",
                        location=str(folder),
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


class LedgerFile:
    """The files of one ledger; holds nothing open between calls.

    Args:
        path: of the entries.
        now: gives the time for people, ISO 8601.
        patience_s: how long to wait for another process.
    """

    def __init__(self, path: Path, now: Callable[[], str], patience_s: float) -> None:
        self.path = path
        self._now = now
        self._patience_s = patience_s

    @property
    def head_path(self) -> Path:
        return self.path.with_name(self.path.name + HEAD_SUFFIX)

    def locked(self) -> AbstractContextManager[None]:
        """Exclude all other processes and threads from the ledgers of this folder.

        Raises:
            LedgerLocked: the lock did not come free in time.
        """
        return locked(self.path.parent, self._patience_s)

    def exists(self) -> bool:
        """Whether the ledger was begun; needs the lock.

        Raises:
            LedgerBroken: it was begun and its entries are gone.
        """
        if self.path.exists():
            return True
        if self.head_path.exists():
            raise LedgerBroken(
                "the privacy ledger is gone, and what is left says that it had entries",
                hint="bring the file back; without it nobody knows what was spent",
                location=str(self.path),
            )
        return False

    def begin(self, fields: Mapping[str, JsonValue]) -> LedgerContent:
        """Write the first entry; needs the lock and that there is none."""
        scratch = self.path.with_name(self.path.name + ".part")
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        content = LedgerContent()
        with self._as_written(), os.fdopen(descriptor, "wb") as file:
            inode = os.fstat(descriptor).st_ino
            line = self._encode(content, "opened", {**fields, "file": inode})
            content.add(line)
            file.write(line + b"\n")
            file.flush()
            os.fsync(descriptor)
            scratch.replace(self.path)
            flush(self.path.parent)
            self._write_head(content.head)
        return content

    def read(self, *, moved: bool = False) -> LedgerContent:
        """Everything in the ledger, checked; needs the lock.

        Args:
            moved: do not mind that this is another file than the ledger was begun as.

        Raises:
            LedgerBroken: see there.
            LedgerCopied: see there.
            UnknownEvent: it holds what this version cannot account for.
        """
        try:
            return self._read(moved)
        except FedmrgError as error:
            error.location = error.location or str(self.path)
            raise

    def append(self, content: LedgerContent, kind: str, fields: Mapping[str, JsonValue]) -> None:
        """Add one entry, to the file and to `content`; needs the lock. Durable on return.

        Raises:
            LedgerNotWritten: the disk refused; whether the entry counts shows at the next reading.
        """
        line = self._encode(content, kind, fields)
        content.add(line)
        with self._as_written():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line + b"\n")
                file.flush()
                os.fsync(descriptor)
            self._write_head(content.head)

    def _read(self, moved: bool) -> LedgerContent:
        *lines, torn = self.path.read_bytes().split(b"\n")
        content = LedgerContent()
        for line in lines:
            content.add(line)
        self._check_head(content)
        inode = self.path.stat().st_ino
        if content.file != inode and not moved:
            raise LedgerCopied(
                "the privacy ledger is not the file that it was begun as: it was copied, restored "
                "or moved to another disk",
                hint="two copies would spend one budget twice; if this is the only one, "
                "`fedmrg budget SITE --adopt` takes it as the ledger",
            )
        if torn:
            # An entry whose writing was cut off: its `reserve` never returned.
            with self._as_written():
                os.truncate(self.path, sum(len(line) + 1 for line in lines))
                flush(self.path)
        self._write_head(content.head)
        return content

    def _check_head(self, content: LedgerContent) -> None:
        count = len(content.chains)
        if count == 0:
            raise LedgerBroken("the privacy ledger has no entries", hint="bring the file back")
        if not self.head_path.exists():
            if count == 1:
                return  # killed between the two files
            raise LedgerBroken(
                f"the privacy ledger's {self.head_path.name} is gone: it cannot be told whether "
                "all entries are there",
                hint="bring the file back",
            )
        head = _read_head(self.head_path)
        if head.entries > count:
            raise LedgerBroken(
                f"the privacy ledger was shortened: it has {count} of {head.entries} entries",
                hint="bring the whole file back; without it nobody knows what was spent",
            )
        known = content.chains[head.entries - 1].hex() if head.entries else ""
        if count - head.entries > 1 or (head.ledger, head.chain) != (content.ledger, known):
            raise LedgerBroken(
                f"the privacy ledger and its {self.head_path.name} do not belong together",
                hint="one of them is older or from elsewhere; bring back the newest of both",
            )

    def _write_head(self, head: LedgerHead) -> None:
        encoded = canonical_json(
            {"form": FORM, "ledger": head.ledger, "entries": head.entries, "chain": head.chain}
        )
        if not self.head_path.exists() or self.head_path.read_bytes() != encoded:
            write_durably(self.head_path, encoded, mode=_OWNER_ONLY)

    def _encode(self, content: LedgerContent, kind: str, fields: Mapping[str, JsonValue]) -> bytes:
        return encode(content, kind, self._now(), secrets.token_hex(16), fields)

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerNotWritten(
                f"the privacy ledger could not be written: {error.strerror}",
                hint="free disk space or check the folder's permissions; nothing was trained",
                location=str(self.path),
            ) from error


def _read_head(path: Path) -> LedgerHead:
    try:
        fields = json.loads(path.read_bytes())
        if fields.pop("form") != FORM:
            raise ValueError("form")
        head = LedgerHead(**fields)
        if head.entries < 1:
            raise ValueError("entries")
        return head
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LedgerBroken(
            f"the privacy ledger's {path.name} is malformed", hint="bring the file back"
        ) from None
