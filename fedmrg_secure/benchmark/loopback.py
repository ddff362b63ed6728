"""A measured federation over loopback: the session's terms, its processes, their memory."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.round_site import CLIP_NORM, factorization_of, initial_state
from fedmrg_secure.client.state import hash_state
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, CKKS_SHARED
from fedmrg_secure.protocol.manifest import SessionManifest

FEDERATION: Final = "bench"
_HASH: Final = "00" * 32
_PATIENCE_S: Final = 600.0


class RoundBenchmarkFailed(FedmrgError):
    """A process of a measured federation ended early or said nothing for too long."""

    code: ClassVar[str] = "FMRG-8203"


def session_manifest(
    names: Sequence[str],
    roster_hash: str,
    *,
    scheme: str,
    values: int,
    precision_bits: int,
    wire_bits: int,
    rounds: int,
    site_timeout_ms: int = 60_000,
    join_deadline_ms: int = 120_000,
    round_deadline_ms: int = 600_000,
) -> SessionManifest:
    """The terms of a measured session: uniform weights, one dense tensor of `values` values.

    Raises:
        CapacityExceeded: so many sites do not fit the scheme.
    """
    parameters = check_capacity(
        scheme,
        sites=len(names),
        clip_norm=CLIP_NORM,
        precision_bits=precision_bits,
        wire_bits=wire_bits,
    )
    factorization = factorization_of(values)
    own_keys = scheme == CKKS_MULTIPARTY
    return SessionManifest(
        federation=FEDERATION,
        name="bench-round",
        nonce=secrets.token_hex(32),
        rounds=rounds,
        scheme=parameters.scheme,
        scheme_parameters=parameters.to_json(),
        scheme_digest=parameters.digest,
        shared_key=scheme == CKKS_SHARED,
        rotate_after=rounds,
        round_keys=own_keys,
        colluders=int(own_keys and len(names) > 2),
        certificate="threshold",
        factorization_digest=factorization.digest,
        value_count=factorization.vector_size,
        state_value_count=values,
        base_hash=_HASH,
        tokenizer_hash=_HASH,
        initial_state_hash=hash_state(initial_state(values)),
        software=__version__,
        clip_norm=f"{CLIP_NORM}",
        precision_bits=precision_bits,
        weighting="uniform",
        weights=dict.fromkeys(names, 1),
        roster_hash=roster_hash,
        min_sites=min(3, len(names)),
        site_timeout_ms=site_timeout_ms,
        join_deadline_ms=join_deadline_ms,
        round_deadline_ms=round_deadline_ms,
    )


@contextmanager
def started(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process of ``python -m module``, ended on leaving; a command of ours with this one too."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FEDMRG_SUPERVISED": "1"},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def lines_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What a process says, line by line; an early end is an error with its last words."""
    assert process.stdout is not None
    started = time.monotonic()
    for line in process.stdout:
        yield json.loads(line)
        if time.monotonic() - started > _PATIENCE_S:
            raise RoundBenchmarkFailed("a process of the measured federation takes too long")
    if process.wait() != 0:
        assert process.stderr is not None
        words = process.stderr.read().strip().splitlines() or ["no message"]
        raise RoundBenchmarkFailed(f"a process of the measured federation ended: {words[-1]}")


def drain(process: subprocess.Popen[str]) -> None:
    """Read on what a process says, on a thread of its own: a full pipe would stop it."""
    assert process.stdout is not None
    threading.Thread(target=list, args=(process.stdout,), daemon=True).start()


def peak_mb(process: subprocess.Popen[str]) -> int:
    """The most memory that a running process has had, MiB; 0 once it has ended."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    peaks = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return round(int(peaks[0].split()[1]) / 2**10) if peaks else 0
