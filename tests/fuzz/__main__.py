"""`make fuzz`: each parser of a peer's bytes for some CPU-minutes, with bounded memory."""

import argparse
import resource
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import Target, all_targets

_ROOM_BYTES = 2 << 30
"""Address space beyond what the program has when it starts: no parser may want so much."""


def main() -> int:
    """Feed every target; the exit status is 1 if one broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--cpu-minutes", type=float, default=10.0, help="of each parser")
    parser.add_argument("--only", help="the name of one parser")
    options = parser.parse_args()
    targets = [one for one in all_targets() if options.only in (None, one.name)]
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM_BYTES,) * 2)
    broken = [target.name for target in targets if not _survives(target, options.cpu_minutes)]
    print(f"broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def _survives(target: Target, minutes: float) -> bool:
    """Whether the target stood it; the smallest bytes that broke it are printed by Hypothesis."""
    started, count = time.process_time(), 0

    @settings(
        max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(target.hostile)
    def feed(data: bytes) -> None:
        nonlocal count
        count += 1
        target.feed(data)

    try:
        while time.process_time() - started < 60 * minutes:
            feed()
    except Exception as error:
        print(f"{target.name}: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    print(f"{target.name}: {count:,} inputs, nothing but clear errors", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
