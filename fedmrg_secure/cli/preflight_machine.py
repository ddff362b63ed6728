"""What `fedmrg doctor` looks at on the machine: processor, memory, disk, clock, port, database."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from fedmrg_secure.cli.check import Check

_GIB: Final = 2**30


def check_processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if (cores or 1) < 2:
        mend = "a federation on this machine will be slow: give it two cores or more"
        return Check("processor", "warn", "1 core", mend)
    return Check("processor", "ok", f"{cores} cores")


def check_memory() -> Check:
    """Memory that a run may take: the machine's or the container's, whichever is less."""
    import psutil

    available = min(psutil.virtual_memory().available, _container_memory())
    detail = f"{available / _GIB:.1f} GiB free"
    mend = "the quick start needs about 4 GiB with four sites: close programs or use fewer sites"
    if available < 1 * _GIB:
        return Check("memory", "fail", detail, mend)
    return Check(
        "memory", "warn" if available < 4 * _GIB else "ok", detail, mend * (available < 4 * _GIB)
    )


def check_disk(folder: Path) -> Check:
    """Room where runs are written, and whether a file there can be made durable."""
    existing = _nearest_existing(folder)
    free = shutil.disk_usage(existing).free
    with tempfile.TemporaryFile(dir=existing) as file:
        file.write(b"fedmrg")
        file.flush()
        os.fsync(file.fileno())
    detail = f"{free / _GIB:.1f} GiB free at {existing}"
    mend = "free some space, or choose another folder with --out"
    if free < 0.2 * _GIB:
        return Check("disk", "fail", detail, mend)
    return Check("disk", "warn" if free < 2 * _GIB else "ok", detail, mend * (free < 2 * _GIB))


def check_private_files(folder: Path) -> Check:
    """Whether key files can be kept from other users of the machine."""
    with tempfile.TemporaryDirectory(dir=_nearest_existing(folder)) as name:
        key = Path(name) / "key"
        key.touch(mode=0o600)
        key.chmod(0o600)
        mode = stat.S_IMODE(key.stat().st_mode)
    if mode != 0o600:
        mend = "keep runs and kits on a file system with permissions"
        return Check("private files", "fail", f"mode is {mode:04o}, not 0600", mend)
    return Check("private files", "ok", "mode 0600 is kept")


def check_clock() -> Check:
    """Certificates need a clock that is not far off: it must not lie before our own files."""
    now = time.time()
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.glob("*.py"))
    shown = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(now))
    mend = "set the clock, or switch on time synchronisation"
    if now < newest - 60:
        return Check("clock", "fail", f"{shown} lies before this installation", mend)
    return Check("clock", "ok", shown)


def check_port(host: str, port: int) -> Check:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        try:
            listener.bind((host, port))
            listener.listen(1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            mend = "choose another port, or 0 for any free one"
            return Check("port", "fail", f"{host}:{port}: {reason}", mend)
        bound = listener.getsockname()[1]
    return Check("port", "ok", f"{host}:{bound} can be listened on")


def check_database(folder: Path) -> Check:
    """SQLite's write-ahead log, which network file systems lack."""
    with (
        tempfile.TemporaryDirectory(dir=_nearest_existing(folder)) as name,
        closing(sqlite3.connect(Path(name) / "check.db")) as database,
    ):
        (mode,) = database.execute("PRAGMA journal_mode=WAL").fetchone()
        database.execute("CREATE TABLE t (x INTEGER)")
        database.commit()
    if mode != "wal":
        mend = "keep the coordinator's folder on a local disk"
        return Check("database", "fail", f"SQLite's journal mode is {mode}, not wal", mend)
    return Check("database", "ok", f"SQLite {sqlite3.sqlite_version} with a write-ahead log")


def _nearest_existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _container_memory() -> int:
    """The control group's limit less what it uses, bytes; a huge number where there is none."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except OSError:
        return sys.maxsize
    return sys.maxsize if limit == "max" else int(limit) - used
