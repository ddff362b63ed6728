"""Feeding one parser with hostile bytes, in bounded memory."""

import resource
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import Target

ROOM_BYTES = 2 << 30
"""Address space beyond what the program has when it starts: no parser may want so much."""


def bound_memory() -> None:
    """From now on this process may take `ROOM_BYTES` more, and a `MemoryError` beyond."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES,) * 2)


def survives(target: Target, minutes: float, examples: int) -> bool:
    """Whether the target stood it; the smallest bytes that broke it are printed by Hypothesis.

    Args:
        target: what is fed.
        minutes: of CPU time; at least one pass is made.
        examples: inputs of one pass.
    """
    started, count = time.process_time(), 0

    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(target.hostile)
    def feed(data: bytes) -> None:
        nonlocal count
        count += 1
        target.feed(data)

    try:
        feed()
        while time.process_time() - started < 60 * minutes:
            feed()
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        print(f"{target.name}: {type(error).__name__}: {error}\n{notes}", file=sys.stderr)
        return False
    print(f"{target.name}: {count:,} inputs, nothing but clear errors", flush=True)
    return True
