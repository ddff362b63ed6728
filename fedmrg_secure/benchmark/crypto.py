"""What encryption costs: each scheme beside the peers' parameters, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final

from fedmrg_secure.benchmark.crypto_row import PEERS, Case
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.multiparty_budget import WIRE_BITS
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, CKKS_SHARED, INSECURE_PLAINTEXT

ROWS: Final = (
    (CKKS_SHARED, None),
    *((CKKS_MULTIPARTY, wire_bits) for wire_bits in reversed(WIRE_BITS)),
    (INSECURE_PLAINTEXT, None),
    (PEERS, None),
)
"""Schemes in the table's order, with the width on the wire where it is chosen."""

Progress = Callable[[str, float], None]
"""Called with a row's name and the share of it that is done."""


class BenchmarkFailed(FedmrgError):
    """A measuring process ended without a row."""

    code: ClassVar[str] = "FMRG-8201"


def measure_schemes(
    *, parameters: int, sites: int, precision_bits: int, repeats: int, progress: Progress
) -> list[dict[str, Any]]:
    """One row a scheme, each measured in its own process, one after the other.

    Args:
        parameters: values of one site's update.
        sites: uploads in the sum.
        precision_bits: of the fixed-point grid; ``ckks-multiparty`` takes a finer one.
        repeats: passes a row; the fastest counts for each phase.
        progress: told how far each row is.

    Raises:
        BenchmarkFailed: a process ended early; carries the last line of its standard error.
    """
    return [
        _measure_apart(
            Case(scheme, parameters, sites, precision_bits, repeats, wire_bits=wire_bits), progress
        )
        for scheme, wire_bits in ROWS
    ]


def _measure_apart(case: Case, progress: Progress) -> dict[str, Any]:
    command = [sys.executable, "-m", "fedmrg_secure.benchmark.crypto_row", case.to_json()]
    row: dict[str, Any] | None = None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                row = message.get("row", row)
                progress(case.name, message.get("progress", 1.0))
            errors = process.stderr.read() if process.stderr is not None else ""
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0 or row is None:
        reason = errors.strip().splitlines()[-1] if errors.strip() else "no message"
        raise BenchmarkFailed(
            f"measuring {case.name} ended with exit code {process.returncode}: {reason}",
            hint="`fedmrg doctor` checks this machine's libraries",
        )
    return row
