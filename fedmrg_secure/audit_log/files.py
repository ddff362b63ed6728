"""The files of one log: lines that are only ever appended.

entries.jsonl       one event a line
checkpoints.jsonl   one signed note a line, as a JSON string: the k-th covers k entries
checkpoint          the newest note as it is, for other tools
lock                held by the process that writes
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

ENTRIES_FILE: Final = "entries.jsonl"
CHECKPOINTS_FILE: Final = "checkpoints.jsonl"
NEWEST_FILE: Final = "checkpoint"
LOCK_FILE: Final = "lock"


def read_lines(path: Path) -> tuple[list[bytes], bytes]:
    """The complete lines of a file, without newlines, and what follows the last newline.

    An absent file has no lines.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], b""
    *lines, tail = content.split(b"\n")
    return lines, tail


class LineFile:
    """A file that grows by whole lines; each append is on disk when it returns.

    A line cut off by a kill or a full disk is removed when the file is opened, or at once when
    the write fails while the process lives.
    """

    def __init__(self, path: Path) -> None:
        created = not path.exists()
        self._stream: BinaryIO = path.open("ab", buffering=0)
        os.fchmod(self._stream.fileno(), 0o600)
        self.lines, torn = read_lines(path)
        self.length = path.stat().st_size - len(torn)
        if torn:
            self.cut(self.length)
        if created:
            sync_folder(path.parent)

    def append(self, lines: list[bytes]) -> None:
        """Add lines, none of which holds a newline.

        Raises:
            OSError: nothing was added.
        """
        content = b"".join(line + b"\n" for line in lines)
        try:
            written = 0
            while written < len(content):
                written += self._stream.write(content[written:]) or 0
            os.fsync(self._stream.fileno())
        except OSError:
            self.cut(self.length)
            raise
        self.length += len(content)

    def cut(self, length: int) -> None:
        """Go back to an earlier `length` in bytes: what was added since is gone."""
        os.ftruncate(self._stream.fileno(), length)
        os.fsync(self._stream.fileno())
        self.length = length

    def close(self) -> None:
        self._stream.close()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
