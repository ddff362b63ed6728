"""What `fedmrg doctor` looks at: each check gives a verdict, what was found and how to mend it.

A check never raises: whatever goes wrong inside it is its finding.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from fedmrg_secure.core.errors import FedmrgError

Verdict = Literal["ok", "warn", "fail"]

DISTRIBUTION: Final = "fedmrg-secure"
SHOWN_PACKAGES: Final = (
    "torch",
    "transformers",
    "peft",
    "tenseal",
    "cryptography",
    "grpcio",
    "protobuf",
)
EXTRAS: Final = {"dicom": "compressed DICOM images", "smollm2": "the SmolLM2-135M decoder"}
_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        verdict: ``warn`` may go wrong later; ``fail`` will.
        detail: what was found.
        mend: what to do; empty where all is well.
    """

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


NamedCheck = tuple[str, Callable[[], Check]]


def run_checks(
    folder: Path, host: str, port: int, more: Sequence[NamedCheck] = ()
) -> Iterator[Check]:
    """All checks, cheap ones first.

    Args:
        folder: where runs will be written.
        host: the address to listen on.
        port: the port to try; 0 for any.
        more: further checks, after the others.
    """
    checks: list[NamedCheck] = [
        ("python", check_python),
        ("packages", check_packages),
        *((f"extra {extra}", lambda extra=extra: check_extra(extra)) for extra in EXTRAS),
        ("processor", check_processor),
        ("memory", check_memory),
        ("disk", lambda: check_disk(folder)),
        ("private files", lambda: check_private_files(folder)),
        ("clock", check_clock),
        ("port", lambda: check_port(host, port)),
        ("database", lambda: check_database(folder)),
        ("signatures and sealing", check_signatures),
        ("encryption", check_encryption),
        ("base model", check_base_model),
        *more,
    ]
    for name, check in checks:
        yield guarded(name, check)


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """The check's finding; an exception inside it is a failure with its reason."""
    try:
        return check()
    except FedmrgError as error:
        return Check(name, "fail", f"{error.code} {error.message}", error.hint)
    except ImportError as error:
        return Check(name, "fail", f"cannot be imported: {error}", "install the package again")
    except Exception as error:
        return Check(name, "fail", f"{type(error).__name__}: {error}")


def check_python() -> Check:
    """Which Python runs; an older one than 3.11 cannot import this file."""
    return Check("python", "ok", f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.prefix}")


def check_packages() -> Check:
    """Installed versions against the ranges that this package declares."""
    from packaging.requirements import Requirement

    missing, foreign, count = [], [], 0
    for line in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            foreign.append(f"{requirement.name} {version} (wanted {requirement.specifier})")
    mend = "install again with the exact versions of constraints.txt"
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", mend)
    if foreign:
        return Check("packages", "warn", f"outside the range: {', '.join(foreign)}", mend)
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN_PACKAGES)
    return Check("packages", "ok", f"{count} in range; {shown}")


def check_extra(extra: str) -> Check:
    """Whether an optional part is installed; its absence is no fault."""
    from packaging.requirements import Requirement

    wanted = [
        requirement.name
        for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or [])
        if requirement.marker
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
    ]
    installed = {re.sub(r"[-_.]+", "-", each.name).lower() for each in metadata.distributions()}
    absent = [name for name in wanted if re.sub(r"[-_.]+", "-", name).lower() not in installed]
    if absent:
        mend = f"for {EXTRAS[extra]}: pip install '{DISTRIBUTION}[{extra}]'"
        return Check(f"extra {extra}", "ok", "not installed (optional)", mend)
    return Check(f"extra {extra}", "ok", f"installed: {EXTRAS[extra]}")


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


def check_signatures() -> Check:
    """Ed25519 and HPKE (RFC 9180) of the installed cryptography library."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fedmrg_secure.crypto.seal_key import (
        generate_seal_key,
        open_sealed,
        seal,
        seal_public_key,
    )

    signing = Ed25519PrivateKey.generate()
    signature = signing.sign(b"fedmrg")
    signing.public_key().verify(signature, b"fedmrg")
    try:
        signing.public_key().verify(signature, b"other")
    except InvalidSignature:
        key = generate_seal_key()
        sealed = seal(seal_public_key(key), b"secret", b"info")
        if open_sealed(key, sealed, b"info").reveal() == b"secret":
            return Check("signatures and sealing", "ok", "Ed25519 and HPKE work")
    return Check("signatures and sealing", "fail", "a self-test gave a wrong result")


def check_encryption() -> Check:
    """Three encrypted vectors, added without the key, opened: the exact plaintext sum."""
    import numpy as np

    from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
    from fedmrg_secure.crypto.residues import add_mod
    from fedmrg_secure.crypto.schemes import make_scheme, new_key

    bound, count, sites = 1 << 22, 4096, 3
    parameters = SchemeParameters.for_config(
        CKKS_SHARED, sites=sites, max_abs_value=bound, max_norm=bound
    )
    scheme = make_scheme(parameters, new_key(parameters))
    limit = bound // 64  # the norm of a whole block stays below its bound
    vectors = np.random.default_rng(1).integers(-limit, limit, (sites, count), dtype=np.int64)
    start = time.perf_counter()
    chunks = [scheme.encrypt_chunk(vector) for vector in vectors]
    total = chunks[0].residues.copy()
    for chunk in chunks[1:]:
        add_mod(total, chunk.residues, parameters.modulus)
    opened = scheme.open_chunk(total, [chunk.openers for chunk in chunks], count)
    milliseconds = 1000 * (time.perf_counter() - start)
    if not np.array_equal(opened, vectors.sum(axis=0)):
        mend = "do not train with this installation; install tenseal again"
        return Check("encryption", "fail", "the opened sum differs from the plaintext sum", mend)
    detail = f"{CKKS_SHARED}: sum of {sites} x {count:,} values exact, {milliseconds:.0f} ms"
    return Check("encryption", "ok", detail)


def check_base_model() -> Check:
    """The shipped decoder's files have their pinned hashes and load."""
    import torch

    from fedmrg_secure.model.pretrained import load_decoder

    decoder = load_decoder("builtin", allow_hub=False, dtype=torch.float32)
    count = sum(parameter.numel() for parameter in decoder.model.parameters())
    return Check("base model", "ok", f"built-in decoder, {count:,} parameters, hashes as pinned")


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
