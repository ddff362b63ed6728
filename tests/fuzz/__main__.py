"""`make fuzz`: each parser of a peer's bytes for some CPU-minutes, with bounded memory.

`--examples` makes the short pass of the tests: so many inputs for each instead of minutes.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import Target
from tests.fuzz.targets import all_targets

ROOM_BYTES = 2 << 30
"""Address space beyond what the program has when it starts: no parser may want so much."""


def main() -> int:
    """Feed every target; the exit status is 1 if one broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--cpu-minutes", type=float, default=10.0, help="of each parser")
    parser.add_argument("--examples", type=int, help="inputs for each parser, instead of minutes")
    parser.add_argument("--only", help="the name of one parser")
    options = parser.parse_args()
    targets = [one for one in all_targets() if options.only in (None, one.name)]
    if not targets:
        parser.error(f"there is no parser {options.only!r}")
    bound_memory()
    minutes = 0.0 if options.examples else options.cpu_minutes
    broken = [
        target.name for target in targets if not survives(target, minutes, options.examples or 2000)
    ]
    print(f"broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


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


if __name__ == "__main__":
    sys.exit(main())
