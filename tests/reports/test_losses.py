"""The parts of the objective over rounds."""

from __future__ import annotations

import pytest

from fedmrg_secure.reports.losses import PARTS, loss_parts
from fedmrg_secure.reports.run import RoundRow


def row(number: int, site: str, **losses: float) -> RoundRow:
    return RoundRow(number, site, 1.0, losses, 1, 1, {}, 0, 0)


def test_means_over_sites_by_training_round() -> None:
    """With two passes a training round, the second of which trains nothing."""
    rows = [
        row(1, "a", language=4.0, boosting=0.0),
        row(1, "b", language=2.0, boosting=0.0),
        row(2, "a"),
        row(3, "b", language=1.0, boosting=0.0),
    ]
    (part,) = loss_parts(rows, 2)
    assert part.title == PARTS["language"]
    assert part.points == ((1, 3.0), (2, 1.0))
    assert (part.first, part.last) == (pytest.approx(3), pytest.approx(1))


def test_nothing_known() -> None:
    assert loss_parts([row(1, "a")], 1) == ()
