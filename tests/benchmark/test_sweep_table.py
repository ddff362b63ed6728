"""Rows and points of a sweep: the arithmetic, the reference, the fronts."""

from __future__ import annotations

import math

import pytest

from fedmrg_secure.benchmark.sweep_table import make_points, make_rows, on_front
from tests.benchmark.sweeps import point, summary

PLAIN = point({"epsilon": "inf"}, {1: summary(0.6), 2: summary(0.8)})
EIGHT = point(
    {"epsilon": "8"},
    {1: summary(0.5, epsilon=7.9), 2: summary(0.8, epsilon=7.7), 3: None},
    epsilon=8,
)
ONE = point({"epsilon": "1"}, {1: summary(0.1, epsilon=0.9), 2: None}, epsilon=1, error="no disk")


def row(rows: list[dict], name: str, table: str = "adaptability", metric: str = "") -> dict:
    return next(
        each
        for each in rows
        if each["point"] == name
        and each["table"] == table
        and each["metric"] == (metric or "ce_rule_f1_macro")
    )


def test_a_row_is_the_mean_over_the_seeds_that_are_done() -> None:
    rows = make_rows([PLAIN, EIGHT, ONE], metrics=["ce_rule_f1_macro", "bleu4"], centre="all")
    assert len(rows) == 3 * 2 * 2
    eight = row(rows, "epsilon-8")
    assert (eight["mean"], eight["seeds"]) == (pytest.approx(0.65), 2)
    # t with one degree of freedom: 12.706205 at 97.5 %.
    assert eight["high"] - eight["mean"] == pytest.approx(12.706205 * 0.15, rel=1e-6)
    assert eight["untrained"] == pytest.approx(0.2)
    assert eight["gain"] == pytest.approx(0.45)
    assert eight["values"][1] == {"seed": 2, "untrained": 0.2, "final": 0.8}
    assert row(rows, "epsilon-8", metric="bleu4")["mean"] == pytest.approx(0.325)
    one = row(rows, "epsilon-1")
    assert (one["mean"], one["low"], one["seeds"]) == (0.1, None, 1)


def test_the_gain_that_is_kept_is_that_of_the_same_seeds() -> None:
    rows = make_rows([PLAIN, EIGHT, ONE], metrics=["ce_rule_f1_macro"], centre="all")
    assert row(rows, "epsilon-inf")["kept"] is None
    assert row(rows, "epsilon-8")["kept"]["share"] == pytest.approx(0.9)
    one = row(rows, "epsilon-1")["kept"]
    assert one == {"share": pytest.approx(-0.25), "low": None, "high": None, "seeds": 1}


def test_the_reference_differs_in_one_axis_alone() -> None:
    results = [
        point({"epsilon": e, "rank": r}, {1: summary(0.5, epsilon=target)}, epsilon=target)
        for e, target in (("8", 8.0), ("inf", None))
        for r in ("4", "8")
    ]
    results.append(point({"epsilon": "8", "rank": "2"}, {1: summary(0.3, epsilon=8)}, epsilon=8))
    found = {
        each["name"]: each["reference"]
        for each in make_points(results, metric="bleu4", centre="all")
    }
    assert found == {
        "epsilon-8_rank-4": "epsilon-inf_rank-4",
        "epsilon-8_rank-8": "epsilon-inf_rank-8",
        "epsilon-inf_rank-4": None,
        "epsilon-inf_rank-8": None,
        "epsilon-8_rank-2": None,
    }


def test_a_point_says_what_it_cost_and_reached() -> None:
    plain, eight, one = make_points([PLAIN, EIGHT, ONE], metric="ce_rule_f1_macro", centre="all")
    assert eight["epsilon"] == {"north": pytest.approx(7.8), "south": pytest.approx(7.7)}
    assert eight["largest_epsilon"] == pytest.approx(7.8)
    assert (eight["unit"], eight["delta"], eight["target_epsilon"]) == ("patient", 1e-5, 8.0)
    assert (plain["private"], plain["largest_epsilon"], plain["epsilon"]) == (False, None, {})
    assert (eight["uplink_bytes"], eight["downlink_bytes"]) == (1000, 1200)
    assert eight["phases"] == {"train": 20.0, "encrypt": 5.0}
    assert [run["done"] for run in eight["runs"]] == [True, True, False]
    assert one["runs"][1]["error"] == "no disk"
    empty = point({"epsilon": "4"}, {1: None}, epsilon=4)
    (nothing,) = make_points([empty], metric="bleu4", centre="all")
    assert (nothing["uplink_bytes"], nothing["wall_s"], nothing["largest_epsilon"]) == (
        None,
        None,
        None,
    )
    assert make_rows([empty], metrics=["bleu4"], centre="all") == []


def test_a_run_that_was_interrupted_says_nothing_of_the_clock() -> None:
    halted = point({"epsilon": "inf"}, {1: summary(0.5)}, whole_clock=False)
    (found,) = make_points([halted], metric="bleu4", centre="all")
    assert (found["wall_s"], found["wall_seeds"]) == (None, 0)
    assert found["runs"][0]["wall_s"] is None
    assert found["runs"][0]["train_s"] == 20.0


def test_figures_may_be_taken_at_one_centre_or_pooled() -> None:
    def values(centre: str) -> list[tuple[str, str, float]]:
        rows = make_rows([PLAIN], metrics=["ce_rule_f1_macro", "bleu4"], centre=centre)
        return [(each["table"], each["metric"], round(each["mean"], 6)) for each in rows]

    assert values("north") == [("adaptability", "ce_rule_f1_macro", 0.71)]
    assert values("west") == [("generalizability", "ce_rule_f1_macro", 0.71)]
    assert values("pooled") == [("adaptability", "bleu4", 0.9)]


def test_the_front_has_the_points_that_no_other_beats() -> None:
    found = on_front([(1, 0.3), (2, 0.2), (4, 0.5), (8, 0.5), (8, 0.7), (math.inf, 0.6)])
    assert found == [True, False, True, False, True, False]
    assert on_front([(math.inf, 0.9), (1, 0.1)]) == [True, True]
    # As much is spent as far as anybody can tell: the better one stays.
    assert on_front([(1000, 0.3), (1003, 0.4)]) == [False, True]
    assert on_front([(5, 0.4), (5, 0.4)]) == [True, True]


def test_the_fronts_of_a_sweep_are_marked_by_table() -> None:
    worse = point({"epsilon": "4"}, {1: summary(0.05, epsilon=4, sent=900)}, epsilon=4)
    better = point({"epsilon": "16"}, {1: summary(0.9, epsilon=16, sent=2000)}, epsilon=16)
    points = make_points(
        [PLAIN, EIGHT, ONE, worse, better], metric="ce_rule_f1_macro", centre="all"
    )
    both = ["adaptability", "generalizability"]
    assert {each["name"]: each["front"]["epsilon"] for each in points} == {
        "epsilon-inf": [],
        "epsilon-8": both,
        "epsilon-1": both,
        "epsilon-4": [],
        "epsilon-16": both,
    }
    assert {p["name"] for p in points if p["front"]["bytes"] == both} == {
        "epsilon-inf",
        "epsilon-4",
        "epsilon-16",
    }
