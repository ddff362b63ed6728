"""What differential privacy costs a step: time in this process, memory in processes of its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.apart import BenchmarkFailed, messages_of
from fedmrg_secure.benchmark.dp_step import KINDS, Case, Kind, measure_steps


def measure_dp(case: Case, note: Callable[[str], None]) -> dict[str, Any]:
    """A private step beside a plain one.

    Args:
        case: what to measure.
        note: told what is being measured.

    Returns:
        What `measure_steps` gives; for each kind ``loaded_mb`` and ``peak_mb`` too; and
        ``memory_times_plain``, the ratio of the peaks.

    Raises:
        InputError: the model does not load, or cannot be trained privately.
        BenchmarkFailed: a process that measures memory ended early.
    """

    def told(turn: int) -> None:
        note(f"turn {turn} of {case.steps} is done" if turn else "warmed up")

    row = measure_steps(case, told)
    for kind in KINDS:
        note(f"measuring the memory of {kind} steps ...")
        row[kind] |= _memory(case, kind)
    return {
        **row,
        "memory_times_plain": row["private"]["peak_mb"] / row["plain"]["peak_mb"],
        "encoder": case.config.model.encoder,
        "decoder": case.config.model.decoder,
        "factorization": case.config.update.factorization,
        "rank": case.config.update.rank,
        "boosting": case.training.boosting,
        "batch": case.batch,
        "steps": case.steps,
        "threads": case.training.threads,
        "version": __version__,
        "machine": {
            "cores": os.cpu_count() or 1,
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    }


def _memory(case: Case, kind: Kind) -> dict[str, Any]:
    messages = list(
        messages_of(
            "fedmrg_secure.benchmark.dp_step",
            [kind],
            name=f"the memory of {kind} steps",
            standard_input=case.to_json(),
        )
    )
    if not messages:
        raise BenchmarkFailed(f"measuring the memory of {kind} steps gave nothing")
    return messages[-1]
