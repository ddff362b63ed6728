"""Rows: every figure with its spread over seeds and whether it differs from the reference."""

from __future__ import annotations

import json
import statistics

import pytest

from fedmrg_secure.benchmark.jobs import JobResult
from fedmrg_secure.benchmark.reaching import bytes_to_reach
from fedmrg_secure.benchmark.tables import make_rows
from tests.benchmark.results import made_result, right

KEYS = [
    "task", "method", "table", "centre", "metric", "mean", "std", "seeds", "p_value_vs_fedavg",
    "uplink_bytes", "wall_s",
]  # fmt: skip


def results(method: str, correct: tuple[int, ...], count: int = 20) -> list[JobResult]:
    """One result a seed; `correct` reports of every centre are right."""
    return [
        made_result(
            method,
            seed,
            {name: [right(count, each)] for name in ("north", "south", "west")},
        )
        for seed, each in enumerate(correct, start=1)
    ]


def rows_of(
    found: dict[str, list[JobResult]], resamples: int = 400
) -> dict[tuple[str, str, str, str], dict[str, object]]:
    rows = make_rows(found, resamples=resamples)
    assert all(list(row) == KEYS for row in rows)
    json.dumps(rows, allow_nan=False)
    return {
        (str(row["method"]), str(row["table"]), str(row["centre"]), str(row["metric"])): row
        for row in rows
    }


def test_equal_systems_have_p_of_one_and_a_clearly_better_one_a_small_p() -> None:
    found = {
        "fedavg": results("fedavg", (6, 8, 7)),
        "moon": results("moon", (6, 8, 7)),
        "fedmrg": results("fedmrg", (19, 20, 18)),
    }
    rows = rows_of(found)
    for table, centre in (("adaptability", "all"), ("generalizability", "west")):
        for metric in ("bleu4", "ce_rule_f1_macro"):
            assert rows["moon", table, centre, metric]["p_value_vs_fedavg"] == 1.0
            level = rows["fedmrg", table, centre, metric]["p_value_vs_fedavg"]
            assert level == pytest.approx(2 / 401)
            assert rows["fedavg", table, centre, metric]["p_value_vs_fedavg"] is None


def test_a_difference_of_one_record_is_not_sure() -> None:
    found = {"fedavg": results("fedavg", (10,)), "fedmrg": results("fedmrg", (11,))}
    level = rows_of(found)["fedmrg", "adaptability", "north", "ce_rule_f1_micro"]
    assert 0.1 < float(str(level["p_value_vs_fedavg"])) <= 1


def test_means_and_deviations_are_over_seeds_and_centres_count_once() -> None:
    first = made_result("fedavg", 1, {"north": [right(8, 8)], "south": [right(16, 0)]})
    second = made_result("fedavg", 2, {"north": [right(8, 4)], "south": [right(16, 0)]})
    rows = rows_of({"fedavg": [first, second]})
    values = [r.centres[0].written[0].metrics["bleu4"] for r in (first, second)]
    zero = first.centres[1].written[0].metrics["bleu4"]
    north = rows["fedavg", "adaptability", "north", "bleu4"]
    assert north["mean"] == pytest.approx(statistics.fmean(values))
    assert north["std"] == pytest.approx(statistics.stdev(values))
    assert north["seeds"] == 2
    both = rows["fedavg", "adaptability", "all", "bleu4"]
    assert both["mean"] == pytest.approx(statistics.fmean((value + zero) / 2 for value in values))
    assert ("fedavg", "generalizability", "all", "bleu4") not in rows


def test_the_figure_of_several_models_at_a_centre_is_their_mean() -> None:
    result = made_result("local", 1, {"west": [right(12, 12), right(12, 0)]}, uplink_bytes=0)
    alone = [each.metrics["rouge_l"] for each in result.centres[0].written]
    rows = rows_of({"local": [result]})
    west = rows["local", "generalizability", "west", "rouge_l"]
    assert west["mean"] == pytest.approx(statistics.fmean(alone))
    assert (west["std"], west["uplink_bytes"]) == (0.0, 0)


def test_without_the_reference_nothing_is_tested() -> None:
    rows = rows_of({"fedmrg": results("fedmrg", (12, 13))})
    assert {row["p_value_vs_fedavg"] for row in rows.values()} == {None}


def test_the_same_call_gives_the_same_rows() -> None:
    found = {"fedavg": results("fedavg", (10,)), "fedmrg": results("fedmrg", (13,))}
    assert make_rows(found, resamples=50) == make_rows(found, resamples=50)


def test_bytes_to_reach_what_the_reference_ends_with() -> None:
    def curve(step: int, values: tuple[float, ...]) -> list[JobResult]:
        points = [
            {"round": n, "uplink_bytes": n * step, "participating": {"bleu4": value}, "unseen": {}}
            for n, value in enumerate(values, start=1)
        ]
        return [made_result("any", 1, {"north": [right(4, 2)]}, curve=points)]

    rows = bytes_to_reach(
        {
            "fedavg": curve(100, (0.1, 0.2, 0.3)),
            "fedmrg": curve(50, (0.2, 0.31, 0.4)),
            "moon": curve(100, (0.0, 0.1, 0.2)),
        },
        [
            {"name": "full", "computed": True, "bytes": 7},
            {"name": "ffa", "computed": False, "bytes": 1},
        ],
    )
    assert [(row["method"], row["round"], row["uplink_bytes"]) for row in rows] == [
        ("fedavg", 3, 300),
        ("fedmrg", 2, 100),
        ("moon", None, None),
        ("full", 3, 21),
    ]
    assert [row["computed"] for row in rows] == [False, False, False, True]
    assert bytes_to_reach({"fedmrg": curve(50, (0.2,))}) == []
