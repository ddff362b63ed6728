"""What was chosen for a method at a task, where it is not the configuration's default.

docs/benchmark.md says how: never on the records that are judged, and never at unseen centres.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fedmrg_secure.benchmark.methods import Changes, Method

STARTING: Final[Mapping[str, Changes]] = {
    "fedprox": {"training.proximal_weight": 0.01},
    "moon": {"training.moon_weight": 1.0},
}
"""Method -> the values its authors suggest, for tasks without an entry in `TUNED`."""

TUNED: Final[Mapping[str, Mapping[str, Changes]]] = {
    "phantom": {},
    "covid-cxr": {},
    "iu-xray": {},
}
"""Task -> method -> dotted key -> value."""


def tuned_values(task: str, method: Method) -> Changes:
    """What `method` starts from at `task`, before ``--set`` and before its own definition."""
    chosen = TUNED.get(task, {}).get(method.tuning, {})
    return {**STARTING.get(method.tuning, {}), **chosen}
