"""From evaluation rows to curves, the final table and means."""

from __future__ import annotations

import pytest

from fedmrg_secure.reports.run import EvaluationRow, PooledRow
from fedmrg_secure.reports.utility import all_metrics, summarise


def row(  # type: ignore[no-untyped-def]
    number: int,
    centre: str,
    bleu: float,
    *,
    role: str = "unseen",
    final: bool = False,
    path: str = "generic",
):
    records = 40 if final else 10
    title = centre.title()
    return EvaluationRow(number, centre, title, role, records, final, path, {"bleu4": bleu})


ROWS = (
    row(0, "a", 0.1, role="participating"),
    row(0, "b", 0.0),
    row(0, "c", 0.2),
    row(0, "b", 0.05, final=True),
    row(2, "a", 0.3, role="participating"),
    row(2, "b", 0.4),
    row(2, "c", 0.6),
    row(2, "b", 0.45, final=True),
)


def test_nothing_judged() -> None:
    assert summarise(()) is None


def test_the_table_prefers_the_full_set() -> None:
    utility = summarise(ROWS)
    assert utility is not None
    b = next(centre for centre in utility.centres if centre.title == "B")
    assert (b.records, b.changes["bleu4"].before, b.changes["bleu4"].after) == (40, 0.05, 0.45)
    assert [centre.role for centre in utility.centres] == ["participating", "unseen", "unseen"]
    assert utility.last_round == 2


def test_every_centre_counts_once_in_a_mean() -> None:
    utility = summarise(ROWS)
    assert utility is not None
    change = utility.means["unseen"]["bleu4"]
    assert change.before == pytest.approx((0.05 + 0.2) / 2)
    assert change.after == pytest.approx((0.45 + 0.6) / 2)


def test_curves_use_the_same_records_in_every_round() -> None:
    utility = summarise(ROWS)
    assert utility is not None
    mean = [curve for curve in utility.curves["bleu4"] if curve.mean and curve.role == "unseen"]
    assert mean[0].points == ((0, pytest.approx(0.1)), (2, pytest.approx(0.5)))
    assert utility.records == (10, 10)


def test_pooled_figures() -> None:
    pooled = [PooledRow(n, "unseen", 80, {"bleu4": value}) for n, value in ((0, 0.1), (2, 0.5))]
    utility = summarise(ROWS, pooled)
    assert utility is not None
    assert list(utility.pooled) == ["unseen"]
    result = utility.pooled["unseen"]
    assert (result.records, result.changes["bleu4"].before, result.changes["bleu4"].after) == (
        80,
        0.1,
        0.5,
    )


def test_the_generic_path_stands_beside_a_centres_own() -> None:
    """Means of the generic path count every centre of the role, as it writes without its own."""
    own = row(2, "a", 0.7, role="participating", final=True, path="specialized mix 1")
    chose_none = row(2, "d", 0.5, role="participating", final=True)
    generic = (row(2, "a", 0.3, role="participating", final=True), row(1, "a", 0.9, final=True))
    utility = summarise((*ROWS, own, chose_none), (), generic)
    assert utility is not None
    a, d = utility.centres[:2]
    assert (a.path, a.changes["bleu4"].after, a.generic) == (
        "specialized mix 1",
        0.7,
        {"bleu4": 0.3},
    )
    assert (d.path, d.generic) == ("generic", {})
    assert utility.means["participating"]["bleu4"].after == pytest.approx((0.7 + 0.5) / 2)
    assert utility.generic == {"participating": {"bleu4": pytest.approx((0.3 + 0.5) / 2)}}


def test_only_the_untrained_model_judged() -> None:
    utility = summarise(ROWS[:3])
    assert utility is not None
    assert utility.means["unseen"]["bleu4"].after is None
    assert utility.last_round == 0


def test_metrics_are_ordered() -> None:
    utility = summarise(
        (
            EvaluationRow(
                0, "a", "A", "unseen", 1, True, "generic", {"z": 0, "rouge_l": 0, "bleu4": 0}
            ),
        )
    )
    assert utility is not None
    assert all_metrics(utility.means) == ("bleu4", "rouge_l", "z")
