"""The coordinator's folder: one process at a time, one session for ever.

::

    kit/             identity and roster (written by provisioning)
    session.json     the session's manifest (written by the operator)
    coordinator.db   the session's state
    blobs/           frames
    snapshots/       encrypted chunks of snapshots on their way
    log/             the tamper-evident log
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedmrg_secure.coordinator.errors import FolderBusy, FolderUnfit
from fedmrg_secure.protocol.manifest import SessionManifest

MANIFEST_FILE: Final = "session.json"
DATABASE_FILE: Final = "coordinator.db"
BLOB_FOLDER: Final = "blobs"
SNAPSHOT_FOLDER: Final = "snapshots"
_LOCK_FILE: Final = "coordinator.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock ends with the process, however it ends.

    Raises:
        FolderUnfit: there is no such folder.
        FolderBusy: another coordinator holds it.
    """
    if not folder.is_dir():
        raise FolderUnfit(
            "the coordinator's folder does not exist",
            hint="`fedmrg run` or `fedmrg provision` makes one",
            location=str(folder),
        )
    with (folder / _LOCK_FILE).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderBusy(
                "another coordinator works in this folder",
                hint="stop it first, or give this session a folder of its own",
                location=str(folder),
            ) from None
        yield


def read_manifest(folder: Path) -> SessionManifest:
    """The session's manifest.

    Raises:
        InvalidManifest: it is absent or invalid.
    """
    return SessionManifest.read(folder / MANIFEST_FILE)
