"""What one round costs over loopback: every scheme beside the plaintext round, in one run.

A real coordinator and real sites, each a process of its own, over mutual TLS and with every durable
write of a real run; only the training is left out.
"""

from __future__ import annotations

import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.round_site import CLIP_NORM, factorization_of, initial_state
from fedmrg_secure.client.state import hash_state
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, CKKS_SHARED, INSECURE_PLAINTEXT
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit

_FEDERATION: Final = "bench"
_HASH: Final = "00" * 32
_PATIENCE_S: Final = 600.0
PHASES: Final = ("encrypt", "certify", "upload", "wait", "download", "open")


class RoundBenchmarkFailed(FedmrgError):
    """A process of a measured federation ended early or said nothing for too long."""

    code: ClassVar[str] = "FMRG-8203"


@dataclass(frozen=True, slots=True)
class RoundCase:
    """What is measured.

    Attributes:
        scheme: one of the configuration's.
        wire_bits: of ``ckks-multiparty``.
        values: of one site's update.
        sites: in the round.
        precision_bits: of the fixed-point grid.
        rounds: measured, after one that only warms up.
    """

    scheme: str
    wire_bits: int
    values: int
    sites: int
    precision_bits: int
    rounds: int

    @property
    def title(self) -> str:
        return f"{self.scheme}, {self.wire_bits} bits" if self._is_multiparty else self.scheme

    @property
    def _is_multiparty(self) -> bool:
        return self.scheme == CKKS_MULTIPARTY


def measure_rounds(
    *,
    values: int,
    sites: int,
    rounds: int,
    wire_bits: Sequence[int] = (20, 24),
    plaintext_bits: int = 28,
    progress: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """One row a scheme; the last is ``insecure-plaintext``, of the grid that fills 4 bytes.

    Raises:
        RoundBenchmarkFailed: a process ended early.
        CapacityExceeded: so many sites do not fit a scheme.
    """
    cases = [
        *(RoundCase(CKKS_MULTIPARTY, bits, values, sites, 20, rounds) for bits in wire_bits),
        RoundCase(CKKS_SHARED, 20, values, sites, 20, rounds),
        RoundCase(INSECURE_PLAINTEXT, 20, values, sites, plaintext_bits, rounds),
    ]
    rows = []
    for case in cases:
        progress(case.title)
        rows.append(measure_round(case))
    plain = rows[-1]["round_s"]
    return [{**row, "against_plaintext": row["round_s"] / plain} for row in rows]


def measure_round(case: RoundCase) -> dict[str, Any]:
    """Wall seconds and bytes of a round: medians over rounds of the slowest site's figures."""
    names = [f"site-{place:03}" for place in range(case.sites)]
    with tempfile.TemporaryDirectory(prefix="fedmrg-bench-") as scratch, ExitStack() as processes:
        folder = Path(scratch)
        provision_throwaway(folder, _FEDERATION, names, "127.0.0.1")
        kit = load_kit(folder / "coordinator" / "kit")
        _manifest(case, names, kit.roster.hash).write(folder / "coordinator" / "session.json")
        serve = ["coordinator", "serve", str(folder / "coordinator"), "--port", "0"]
        coordinator = processes.enter_context(_process("fedmrg_secure.cli.main", serve))
        port = next(line["port"] for line in _lines(coordinator) if line["event"] == "serving")
        players = [
            processes.enter_context(
                _process(
                    "fedmrg_secure.benchmark.round_site",
                    [str(folder / "sites" / name), str(port), case.scheme],
                )
            )
            for name in names
        ]
        memory = 0
        measured: list[list[dict[str, Any]]] = []
        for player in players:
            told = []
            for line in _lines(player):
                memory = max(memory, _peak_mb(coordinator))
                if line["event"] == "round":
                    told.append(line)
            measured.append(told)
    return _row(case, measured, memory)


def _row(case: RoundCase, measured: list[list[dict[str, Any]]], memory: int) -> dict[str, Any]:
    rounds = [
        [one for site in measured for one in site if one["round"] == number]
        for number in range(2, case.rounds + 2)
    ]
    if any(len(one) != case.sites for one in rounds):
        raise RoundBenchmarkFailed(f"a site of {case.title} did not finish every round")

    def slowest(phase: str) -> float:
        return statistics.median(
            max(float(site["seconds"].get(phase, 0.0)) for site in one) for one in rounds
        )

    whole = statistics.median(
        max(sum(site["seconds"].values()) - site["seconds"].get("train", 0.0) for site in one)
        for one in rounds
    )
    last = rounds[-1][0]["bytes"]
    return {
        "scheme": case.title,
        "parameters": case.values,
        "sites": case.sites,
        "rounds": case.rounds,
        "round_s": whole,
        **{f"{phase}_s": slowest(phase) for phase in PHASES},
        "uplink_bytes": last["up"],
        "downlink_bytes": last["down"],
        "coordinator_mb": memory,
    }


def _manifest(case: RoundCase, names: Sequence[str], roster_hash: str) -> SessionManifest:
    parameters = check_capacity(
        case.scheme,
        sites=case.sites,
        clip_norm=CLIP_NORM,
        precision_bits=case.precision_bits,
        wire_bits=case.wire_bits,
    )
    factorization = factorization_of(case.values)
    own_keys = case.scheme == CKKS_MULTIPARTY
    return SessionManifest(
        federation=_FEDERATION,
        name="bench-round",
        nonce=secrets.token_hex(32),
        rounds=case.rounds + 1,
        scheme=parameters.scheme,
        scheme_parameters=parameters.to_json(),
        scheme_digest=parameters.digest,
        shared_key=case.scheme == CKKS_SHARED,
        rotate_after=case.rounds + 1,
        round_keys=own_keys,
        colluders=int(own_keys),
        certificate="threshold",
        factorization_digest=factorization.digest,
        value_count=factorization.vector_size,
        state_value_count=case.values,
        base_hash=_HASH,
        tokenizer_hash=_HASH,
        initial_state_hash=hash_state(initial_state(case.values)),
        software=__version__,
        clip_norm=f"{CLIP_NORM}",
        precision_bits=case.precision_bits,
        weighting="uniform",
        weights=dict.fromkeys(names, 1),
        roster_hash=roster_hash,
        min_sites=min(2, case.sites),
        site_timeout_ms=60_000,
        join_deadline_ms=120_000,
        round_deadline_ms=600_000,
    )


@contextmanager
def _process(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
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


def _peak_mb(process: subprocess.Popen[str]) -> int:
    """The most memory that a running process has had, MiB; 0 once it has ended."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    peaks = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return round(int(peaks[0].split()[1]) / 2**10) if peaks else 0
