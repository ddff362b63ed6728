"""`make fuzz`: each parser of a peer's bytes for some CPU-minutes, with bounded memory.

`--examples` makes the short pass of the tests: so many inputs for each instead of minutes.
"""

import argparse
import sys

from tests.fuzz.feeding import bound_memory, survives
from tests.fuzz.targets import all_targets


def main() -> int:
    """Feed every target; the exit status is 1 if one broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--cpu-minutes", type=float, default=10.0, help="of each parser")
    parser.add_argument("--examples", type=int, help="inputs for each parser, instead of minutes")
    parser.add_argument("--only", action="append", help="the name of one parser; may be repeated")
    options = parser.parse_args()
    targets = [one for one in all_targets() if not options.only or one.name in options.only]
    if unknown := set(options.only or ()) - {one.name for one in targets}:
        parser.error(f"there is no parser called {', '.join(sorted(unknown))}")
    bound_memory()
    minutes = 0.0 if options.examples else options.cpu_minutes
    broken = [
        target.name for target in targets if not survives(target, minutes, options.examples or 2000)
    ]
    print(f"broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
