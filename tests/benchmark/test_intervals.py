"""Intervals over seeds, against known answers and against the tests that they invert."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fedmrg_secure.benchmark.intervals import estimate, share_of


def test_students_interval_of_three_values() -> None:
    found = estimate([1.0, 2.0, 3.0])
    # t with 2 degrees of freedom: 4.302653 at 97.5 %; 4.302653 / sqrt(3) = 2.484138.
    assert (found.mean, found.std, found.seeds) == (2.0, 1.0, 3)
    assert found.low == pytest.approx(2 - 2.484138, abs=1e-6)
    assert found.high == pytest.approx(2 + 2.484138, abs=1e-6)


def test_one_value_says_nothing_of_the_spread() -> None:
    found = estimate([0.5])
    assert (found.mean, found.std, found.low, found.high, found.seeds) == (0.5, 0, None, None, 1)


def test_the_interval_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(7).normal(0.4, 0.1, size=(4000, 3))
    found = [estimate(row.tolist()) for row in draws]
    covered = np.mean([e.low <= 0.4 <= e.high for e in found if e.low and e.high])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_the_share_of_a_gain_is_bounded_where_the_paired_test_turns() -> None:
    part, whole = [0.40, 0.43, 0.36], [0.50, 0.47, 0.52]
    found = share_of(part, whole)
    assert found is not None
    assert found.share == pytest.approx(sum(part) / sum(whole))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.share < found.high
    for end in (found.low, found.high):
        rest = [a - end * b for a, b in zip(part, whole, strict=True)]
        assert stats.ttest_1samp(rest, 0.0).pvalue == pytest.approx(0.05, abs=1e-6)


def test_no_interval_where_the_whole_may_be_nothing() -> None:
    found = share_of([0.1, 0.2], [0.01, 0.3])
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert share_of([0.2], [0.4]) is not None
    assert share_of([0.1, 0.2], [-0.1, 0.05]) is None
    assert share_of([0.1], [0.0]) is None
