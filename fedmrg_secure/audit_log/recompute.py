"""Checking one party's log offline: every line, every root, every signature."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fedmrg_secure.audit_log.checkpoint import Checkpoint, CheckpointInvalid, read_checkpoint
from fedmrg_secure.audit_log.files import (
    CHECKPOINTS_FILE,
    ENTRIES_FILE,
    LOCK_FILE,
    NEWEST_FILE,
    read_lines,
)
from fedmrg_secure.audit_log.record import EventRefused, decode_entry
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json
from fedmrg_secure.core.merkle import MerkleRange, leaf_hash


class LogInvalid(FedmrgError):
    """A log is not what its party wrote and signed.

    Args:
        party: whose log.
        entry: the number, from 0, of the first bad entry; None if the log as a whole is missing.
        reason: what is wrong with it.
    """

    code: ClassVar[str] = "FMRG-7031"

    def __init__(self, party: str, entry: int | None, reason: str) -> None:
        where = "" if entry is None else f", entry {entry}"
        super().__init__(f"log of {party}{where}: {reason}")
        self.party = party
        self.entry = entry
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A log that is whole.

    Args:
        party: whose log.
        events: in order, with ``seq`` and ``time``.
        roots: the root (32 bytes) of the first k entries at index k; one more than events.
        live: its party is writing it now; then its newest entries may still lack a checkpoint.
        unsigned: how many entries lack one; 0 unless live or killed.
    """

    party: str
    events: Sequence[Mapping[str, Any]] = field(repr=False)
    roots: Sequence[bytes] = field(repr=False)
    live: bool = False
    unsigned: int = 0

    @property
    def size(self) -> int:
        """Entries."""
        return len(self.events)

    @property
    def root_hex(self) -> str:
        """The root over all entries."""
        return self.roots[-1].hex()

    @property
    def checkpoints(self) -> int:
        """Signed checkpoints, one for each entry."""
        return self.size - self.unsigned


def verify_log(
    folder: Path, party: str, origin: str, public_key: bytes, *, killed: bool = False
) -> VerifiedLog:
    """Recompute a log and compare it with its signed checkpoints.

    Args:
        folder: holds the files of `audit_log.files`.
        party: whose log, for the message.
        origin: from `checkpoint.log_origin`.
        public_key: the party's Ed25519 key, 32 bytes, from the roster.
        killed: its process is known to have been killed and not started again; then a last line
            that is cut off, and one last entry without a checkpoint, are what a kill leaves.

    Raises:
        LogInvalid: naming the first entry that is malformed, changed, missing, in the wrong
            place, unsigned, or signed otherwise.

    Guarantee:
        Any change to the bytes of the entries or checkpoints files that alters an entry, its
        place or the number of entries raises; a log cut back together with its checkpoints is
        whole in itself and only `verify.verify_run` can tell.
    """
    # Checkpoints first: an entry written meanwhile may then lack one, but none is missing.
    live = _is_written_now(folder)
    notes, torn_note = read_lines(folder / CHECKPOINTS_FILE)
    lines, torn_line = read_lines(folder / ENTRIES_FILE)
    if not lines and not notes and not torn_line and not torn_note:
        raise LogInvalid(party, None, "there is no log")
    tree = MerkleRange()
    events, roots = [], [tree.root()]
    signed = len(lines) if live else min(len(lines), len(notes) + killed)
    for seq in range(max(len(lines), len(notes))):
        if seq >= len(lines):
            cut = "cut off" if torn_line else "missing"
            raise LogInvalid(party, seq, f"it is {cut}: {len(notes)} entries were signed")
        try:
            events.append(decode_entry(lines[seq], seq))
        except EventRefused as error:
            raise LogInvalid(party, seq, error.message) from None
        tree.append(leaf_hash(lines[seq]))
        roots.append(tree.root())
        if seq < len(notes):
            _check_note(notes[seq], Checkpoint(origin, seq + 1, roots[-1]), party, public_key)
        elif seq >= signed:
            raise LogInvalid(party, seq, "no signed checkpoint covers it")
    if (torn_line or torn_note) and not (live or killed):
        raise LogInvalid(party, len(lines), "a line is cut off")
    _check_newest(folder, party, origin, public_key, roots)
    return VerifiedLog(party, events, roots, live, max(0, len(lines) - len(notes)))


def _check_note(line: bytes, expected: Checkpoint, party: str, public_key: bytes) -> None:
    entry = expected.size - 1
    try:
        note = read_json(line)
        # The line must be the one encoding of the note, or a changed byte might go unseen.
        if not isinstance(note, str) or json.dumps(note).encode() != line:
            raise CheckpointInvalid("the checkpoint is not a signed note")
        found = read_checkpoint(note, expected.origin, public_key)
    except CheckpointInvalid as error:
        raise LogInvalid(party, entry, f"of its checkpoint: {error.message}") from None
    except JsonRefused as error:
        raise LogInvalid(party, entry, f"its checkpoint {error}") from None
    if found.size != expected.size:
        raise LogInvalid(
            party,
            entry,
            f"its checkpoint is that of {found.size} entries: one was removed or added",
        )
    if found.root != expected.root:
        raise LogInvalid(party, entry, "it is not the entry that was signed")


def _check_newest(
    folder: Path, party: str, origin: str, public_key: bytes, roots: Sequence[bytes]
) -> None:
    path = folder / NEWEST_FILE
    if not path.exists():
        return
    try:
        newest = read_checkpoint(path.read_text(encoding="utf-8"), origin, public_key)
    except (CheckpointInvalid, UnicodeDecodeError) as error:
        raise LogInvalid(party, None, f"of the file {NEWEST_FILE}: {error}") from None
    if newest.size >= len(roots):
        raise LogInvalid(party, len(roots) - 1, f"it is missing: {newest.size} entries were signed")
    if newest.root != roots[newest.size]:
        raise LogInvalid(party, newest.size - 1, "it differs between two checkpoints: a fork")


def _is_written_now(folder: Path) -> bool:
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
