"""SVG pieces: escaping, ticks, label places."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedmrg_secure.reports.svg import (
    Scale,
    element,
    marker,
    nice_ticks,
    polyline,
    round_ticks,
    spread_labels,
)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_and_attributes_are_escaped(text: str) -> None:
    parsed = ElementTree.fromstring(element("text", text, aria_label=text))
    assert (parsed.text or "") == text
    assert parsed.attrib == {"aria-label": text}


def test_children_made_here_are_not_escaped_again() -> None:
    assert element("g", element("text", "a<b")) == "<g><text>a&lt;b</text></g>"


@given(st.floats(1e-4, 1e4))
def test_ticks_start_at_zero_reach_the_value_and_are_even(high: float) -> None:
    ticks = nice_ticks(high)
    assert ticks[0] == 0
    assert ticks[-1] >= high * (1 - 1e-6)
    assert 3 <= len(ticks) <= 8
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps))


def test_ticks_of_nothing() -> None:
    assert nice_ticks(0.0)[-1] == 1


@given(st.integers(0, 500))
def test_round_ticks_are_whole_and_end_with_the_last_round(last: int) -> None:
    ticks = round_ticks(last)
    assert ticks[0] == 0
    assert ticks[-1] == last
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 10


@given(st.lists(st.floats(0, 200), min_size=1, max_size=6))
def test_labels_do_not_overlap_and_stay_inside(wanted: list[float]) -> None:
    assume(len(wanted) * 20 <= 200)
    placed = spread_labels(wanted, 20, 0, 200)
    ordered = sorted(placed)
    assert all(b - a >= 20 - 1e-6 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= 200 + 1e-6


def test_labels_that_fit_stay_where_they_are() -> None:
    assert spread_labels([100, 40], 20, 0, 200) == [100, 40]


def test_scale() -> None:
    assert Scale(0, 10, 100, 0)(2.5) == 75
    assert Scale(1, 1, 0, 10)(1) == 5


def test_shapes() -> None:
    assert 'd="M1 2 L3.5 4"' in polyline([(1, 2), (3.5, 4)])
    assert marker("circle", 1, 2, 3).startswith("<circle")
    assert marker("diamond", 1, 2, 3).startswith("<polygon")
