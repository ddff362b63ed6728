"""Bytes on a log scale, seconds by phase."""

from __future__ import annotations

import math

import pytest

from fedmrg_secure.reports.cost import decades, sent_bars, sent_ticks, site_times
from fedmrg_secure.reports.run import Communication, RoundRow

SENT = Communication(158_000, 2_400_000, 204_000, 812_000, 815_000, 52_000_000)


def test_the_four_ways_to_send() -> None:
    bars = sent_bars(SENT, encrypted=True)
    assert [bar.bytes for bar in bars] == [9_600_000, 816_000, 632_000, 812_000]
    assert [bar.ours for bar in bars] == [False, False, False, True]
    assert "not encrypted" in sent_bars(SENT, encrypted=False)[-1].note


def test_bars_and_ticks_share_a_log_scale() -> None:
    bars, ticks = sent_bars(SENT, encrypted=True), sent_ticks(sent_bars(SENT, encrypted=True))
    assert [tick.bytes for tick in ticks] == [10**5, 10**6, 10**7]
    assert bars[0].share == pytest.approx((math.log10(9.6e6) - 5) / 2)
    assert all(0 < bar.share <= 1 for bar in bars)


def test_a_count_on_a_power_of_ten_still_has_a_bar() -> None:
    assert decades([1000]) == (2, 3)
    assert decades([1000, 1001]) == (2, 4)


def test_nothing_sent() -> None:
    assert sent_bars(Communication(0, 0, 0, 0, 0, 0), encrypted=True) == ()
    assert sent_ticks(()) == ()


def row(site: str, **seconds: float) -> RoundRow:
    return RoundRow(1, site, 1.0, {}, 1, 1, seconds, 0, 0)


def test_phases_are_summed_and_in_order() -> None:
    times = site_times([row("a", open=1, train=2), row("a", train=3, strange=4), row("b", train=5)])
    assert [(s.phase, s.seconds) for s in times[0].slices] == [
        ("train", 5),
        ("open", 1),
        ("strange", 4),
    ]
    assert times[0].slices[0].share == 0.5
    assert times[1].total == 5


def test_no_rounds() -> None:
    assert site_times([]) == ()
    assert site_times([row("a")]) == ()
