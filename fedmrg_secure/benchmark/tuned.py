"""What was chosen for each method on the participating centres' validation records.

The same small grid was searched for every baseline and for `fedmrg` by ``fedmrg bench model --split
validation --set KEY=VALUE``; test records and unseen centres took no part. docs/benchmark.md lists
the grid. An absent value is the configuration's default, which was the best of the grid.
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
