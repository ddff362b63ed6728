"""A content-addressed folder of frames: a blob's name is the SHA-256 of its bytes.

A blob is written beside its place, flushed, renamed and its folder flushed, so that it is whole or
absent whatever happens; writing it a second time costs nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from fedmrg_secure.coordinator.errors import StorageDamaged, no_room_is_full

_PART = ".part"


class BlobFolder:
    """Blobs under ``folder/ab/abcd...``.

    Args:
        folder: made if absent; what an interrupted write left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in folder.glob(f"??/*{_PART}"):
            leftover.unlink()

    def put(self, data: bytes) -> str:
        """Store `data` durably and return its name, 64 hex digits.

        Raises:
            CoordinatorFull: there is no room; nothing of it is left behind.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        if path.exists():
            return name
        scratch = path.with_name(f"{name}.{os.urandom(4).hex()}{_PART}")
        with no_room_is_full():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            try:
                with scratch.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                scratch.replace(path)
            except OSError:
                with contextlib.suppress(OSError):
                    scratch.unlink()
                raise
            _flush_folder(path.parent)
        return name

    def read(self, name: str) -> bytes:
        """The bytes of a blob.

        Raises:
            StorageDamaged: it is not there, or its bytes have changed.
        """
        try:
            data = self._path(name).read_bytes()
        except OSError as error:
            raise _unreadable(self._path(name), error.strerror) from error
        if hashlib.sha256(data).hexdigest() != name:
            raise StorageDamaged(
                "a stored frame has changed on disk",
                hint="check the disk; the session cannot go on with this frame",
                location=str(self._path(name)),
            )
        return data

    def read_slice(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of a blob, which whoever gets them has another way to check.

        Raises:
            StorageDamaged: they are not there.
        """
        try:
            with self._path(name).open("rb") as file:
                data = os.pread(file.fileno(), length, start)
        except OSError as error:
            raise _unreadable(self._path(name), error.strerror) from error
        if len(data) != length:
            raise _unreadable(self._path(name), "it is too short")
        return data

    def keep_only(self, names: set[str]) -> int:
        """Remove all blobs but these; returns how many were removed."""
        removed = 0
        for path in self._folder.glob("??/*"):
            if path.name not in names and not path.name.endswith(_PART):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def remove(self, names: set[str]) -> None:
        """Remove these blobs; those that are absent already are no error."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _unreadable(path: Path, why: str | None) -> StorageDamaged:
    return StorageDamaged(
        f"a stored frame cannot be read: {why}",
        hint="check the disk; the session cannot go on without this frame",
        location=str(path),
    )


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
