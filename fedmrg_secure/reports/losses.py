"""What the sites' losses came to, part by part of the objective: for the page of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.reports.run import RoundRow

PARTS: Final = {
    "language": "report, generic path: CE(A), nats a token",
    "specialized": "report, specialized path: CE(B), nats a token",
    "boosting": "what the paths teach each other, weighted, nats a token",
    "diagnosis": "statuses, nats a class",
    "contrast": "features against anchors: Lcon",
}
"""Part of the objective -> how the page names it; the symbols are those of docs/method.md."""


@dataclass(frozen=True, slots=True)
class LossPart:
    """One part's course.

    Attributes:
        title: of the part.
        points: (training round, mean over the sites that trained in it), by round.
    """

    title: str
    points: tuple[tuple[int, float], ...]

    @property
    def first(self) -> float:
        return self.points[0][1]

    @property
    def last(self) -> float:
        return self.points[-1][1]


def loss_parts(rows: Sequence[RoundRow], passes: int) -> tuple[LossPart, ...]:
    """The parts that were ever above zero, in the objective's order.

    Args:
        rows: of all sites.
        passes: rounds of the protocol in a training round.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        number = (row.round - 1) // passes + 1
        for part, value in row.losses.items():
            found.setdefault(part, {}).setdefault(number, []).append(value)
    parts = []
    for part, title in PARTS.items():
        rounds = sorted(found.get(part, {}).items())
        points = tuple((number, sum(values) / len(values)) for number, values in rounds)
        if any(value for _, value in points):
            parts.append(LossPart(title, points))
    return tuple(parts)
