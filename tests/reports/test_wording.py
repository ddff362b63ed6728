"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.reports import wording


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (812_000, "812 kB"),
        (9_996, "10.0 kB"),
        (5e13, "50.0 TB"),
    ],
)
def test_bytes(count: float, text: str) -> None:
    assert wording.bytes_text(count) == text


def test_powers_of_ten() -> None:
    texts = [wording.decade_text(10**power) for power in range(2, 9)]
    assert texts == ["100 B", "1 kB", "10 kB", "100 kB", "1 MB", "10 MB", "100 MB"]


@given(st.integers(0, 10**15))
def test_bytes_are_short(count: int) -> None:
    assert len(wording.bytes_text(count)) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0.40 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 0 s"),
        (131.5, "2 min 12 s"),
        (3725, "1 h 2 min"),
    ],
)
def test_seconds(seconds: float, text: str) -> None:
    assert wording.seconds_text(seconds) == text


def test_lists() -> None:
    assert wording.listing([]) == ""
    assert wording.listing(["A"]) == "A"
    assert wording.listing(["A", "B", "C"]) == "A, B and C"
    assert wording.listing(list("ABCDEFGH"), limit=3) == "A, B and 6 others"


def test_ratios_and_plurals() -> None:
    assert wording.ratio_text(11.82) == "11.8 times less"
    assert wording.ratio_text(0.5) == "2.00 times more"
    assert wording.plural(1, "site") == "1 site"
    assert wording.plural(0, "site") == "0 sites"
