"""Files that are whole or absent, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write beside the place, flush, rename; durable on return."""
    write_numbered(path, lambda _: content, mode)


def write_numbered(path: Path, content: Callable[[int], bytes], mode: int = 0o644) -> None:
    """As `write_durably`, of what `content` gives for the number (inode) of the file it goes to.

    A copy of the file, such as a restored backup, has another number than the one it speaks of.
    """
    scratch = path.with_name(path.name + ".part")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content(os.fstat(file.fileno()).st_ino))
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    flush(path.parent)


def overwrite_and_remove(path: Path) -> None:
    """Write zeros over a file that holds a secret, bring them to the disk, remove the file.

    Best effort: a file system that copies on write, a journal, a snapshot, or the wear levelling of
    flash memory may keep the old blocks. A file that is not there, or not any more, is no error.
    """
    try:
        with path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        pass  # such as a full disk that copies on write: gone is still better than there
    path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
