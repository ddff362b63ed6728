"""What one round costs over loopback: every scheme beside the plaintext round, in one run.

A real coordinator and real sites, each a process of its own, over mutual TLS and with every durable
write of a real run; only the training is left out.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedmrg_secure.benchmark.loopback import (
    FEDERATION,
    RoundBenchmarkFailed,
    lines_of,
    peak_mb,
    session_manifest,
    started,
)
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, CKKS_SHARED, INSECURE_PLAINTEXT
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit

PHASES: Final = ("encrypt", "certify", "upload", "wait", "download", "open")


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
        provision_throwaway(folder, FEDERATION, names, "127.0.0.1")
        kit = load_kit(folder / "coordinator" / "kit")
        manifest = session_manifest(
            names,
            kit.roster.hash,
            scheme=case.scheme,
            values=case.values,
            precision_bits=case.precision_bits,
            wire_bits=case.wire_bits,
            rounds=case.rounds + 1,
        )
        manifest.write(folder / "coordinator" / "session.json")
        serve = ["coordinator", "serve", str(folder / "coordinator"), "--port", "0"]
        coordinator = processes.enter_context(started("fedmrg_secure.cli.main", serve))
        port = next(line["port"] for line in lines_of(coordinator) if line["event"] == "serving")
        players = [
            processes.enter_context(
                started(
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
            for line in lines_of(player):
                memory = max(memory, peak_mb(coordinator))
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
