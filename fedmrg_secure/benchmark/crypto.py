"""What encryption costs: each scheme beside the peers' parameters, in one run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.apart import BenchmarkFailed, messages_of
from fedmrg_secure.benchmark.children import ONE_THREAD
from fedmrg_secure.benchmark.crypto_row import PEERS, Case
from fedmrg_secure.crypto.multiparty_budget import WIRE_BITS
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, CKKS_SHARED, INSECURE_PLAINTEXT

ROWS: Final = (
    (CKKS_SHARED, None),
    *((CKKS_MULTIPARTY, wire_bits) for wire_bits in reversed(WIRE_BITS)),
    (INSECURE_PLAINTEXT, None),
    (PEERS, None),
)
"""Schemes in the table's order, with the width on the wire where it is chosen."""

_CONCURRENT: Final = (CKKS_MULTIPARTY, INSECURE_PLAINTEXT)
"""Schemes of which several threads encrypt; SEAL holds the interpreter's lock."""

SWEEP_PARAMETERS: Final = (100_000, 1_000_000, 10_000_000, 50_000_000)
SWEEP_SITES: Final = (2, 4, 10, 20, 50)
_WALL_RATE: Final = "encrypt_wall_mparam_s"
_COMPARED: Final = {
    "open_times_peers": ("open_mparam_s", False),
    "uplink_times_smaller": ("uplink_bytes_per_parameter", True),
    "downlink_times_smaller": ("downlink_bytes_per_parameter", True),
}

Progress = Callable[[Case, float], None]
"""Called with what is measured and the share of it that is done."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How each row is measured.

    Attributes:
        precision_bits: of the fixed-point grid; ``ckks-multiparty`` takes as fine a one as fits.
        repeats: passes over a vector.
        seconds: after which no further piece of a row is begun.
        max_error: largest allowed error of a coordinate of the mean, as a share of the range.
    """

    precision_bits: int
    repeats: int
    seconds: float
    max_error: float


def grid(
    parameters: Sequence[int], sites: Sequence[int], threads: Sequence[int], settings: Settings
) -> list[Case]:
    """A case for each scheme and width at each size, number of sites and of threads.

    More than one thread is measured where several may encrypt; the others have their row for one.
    """
    return _distinct(
        _case(scheme, wire_bits, size, count, workers, settings)
        for size, count in product(parameters, sites)
        for scheme, wire_bits in ROWS
        for workers in (threads if scheme in _CONCURRENT else (1,))
    )


def sweep(threads: Sequence[int], settings: Settings) -> list[Case]:
    """Size, sites and threads varied one at a time, around 1,000,000 values of 4 sites."""
    size, count = 1_000_000, 4
    return _distinct(
        [
            *grid([size], [count], threads, settings),
            *grid(SWEEP_PARAMETERS, [count], [1], settings),
            *grid([size], SWEEP_SITES, [1], settings),
            *grid([SWEEP_PARAMETERS[-1]], [count], threads, settings),
        ]
    )


def _distinct(cases: Sequence[Case] | Iterator[Case]) -> list[Case]:
    return list(dict.fromkeys(cases))


def _case(
    scheme: str, wire_bits: int | None, size: int, sites: int, threads: int, settings: Settings
) -> Case:
    return Case(
        scheme,
        size,
        sites,
        settings.precision_bits,
        settings.repeats,
        threads=threads,
        seconds=settings.seconds,
        wire_bits=wire_bits,
        max_error=settings.max_error,
    )


def measure_cases(cases: Sequence[Case], progress: Progress) -> Iterator[dict[str, Any]]:
    """A row a case, each measured in its own process, one after the other.

    Args:
        cases: in the order in which they are measured.
        progress: told how far each row is.

    Raises:
        BenchmarkFailed: a process ended early; carries the last line of its standard error.
    """
    for case in cases:
        yield _measure_apart(case, progress)


def summarise(rows: Sequence[dict[str, Any]], settings: Settings, *, total: int) -> dict[str, Any]:
    """What ``--json`` prints: the rows, compared with the peers' of the same size and sites.

    Args:
        rows: from `measure_cases`, as far as it came.
        settings: of all rows.
        total: rows that were asked for.
    """
    peers = {_point(row): row for row in rows if row["scheme"] == PEERS and row["fits"]}
    alone = {(row["name"], *_point(row)): row for row in rows if row["threads"] == 1}
    return {
        "rows": [
            _compare(row, peers.get(_point(row)), alone.get((row["name"], *_point(row))))
            for row in rows
        ],
        "complete": len(rows) == total,
        "max_error": settings.max_error,
        "seconds_a_row": settings.seconds,
        "version": __version__,
        "machine": {
            "cores": os.cpu_count() or 1,
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    }


def _point(row: dict[str, Any]) -> tuple[int, int]:
    return row["parameters"], row["sites"]


def _compare(
    row: dict[str, Any], peers: dict[str, Any] | None, alone: dict[str, Any] | None
) -> dict[str, Any]:
    """The row with its ratios: to the peers with one thread, to itself with more (of the clock).

    That of encryption is in the row already, measured beside the peers' in one process.
    """
    if not row["fits"]:
        return row
    if row["threads"] > 1:
        if alone is None or not alone["fits"]:
            return row
        return {**row, "encrypt_times_one_thread": row[_WALL_RATE] / alone[_WALL_RATE]}
    if peers is None or row is peers:
        return row
    return row | {
        name: peers[figure] / row[figure] if smaller else row[figure] / peers[figure]
        for name, (figure, smaller) in _COMPARED.items()
    }


def _measure_apart(case: Case, progress: Progress) -> dict[str, Any]:
    row: dict[str, Any] | None = None
    for message in messages_of(
        "fedmrg_secure.benchmark.crypto_row",
        [case.to_json()],
        name=case.name,
        environment=ONE_THREAD,
    ):
        row = message.get("row", row)
        progress(case, message.get("progress", 1.0))
    if row is None:
        raise BenchmarkFailed(f"measuring {case.name} ended without a row")
    return row
