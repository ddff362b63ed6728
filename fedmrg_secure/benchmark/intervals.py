"""Means over seeds with their intervals, and the share of one gain in another."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from scipy import stats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        std: sample deviation; 0 for one value.
        low, high: ends of Student's interval; None for one value, which says nothing of the spread.
        seeds: how many values.
    """

    mean: float
    std: float
    low: float | None
    high: float | None
    seeds: int

    def to_json(self) -> dict[str, float | int | None]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Share:
    """A ratio of two means; `low` and `high` are None where no finite interval is known."""

    share: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


def estimate(values: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """The mean of independent values with Student's interval, which assumes they are normal.

    Args:
        values: one a seed, at least one.
        confidence: of the interval, in (0, 1).
    """
    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return Estimate(mean, 0.0, None, None, count)
    deviation = statistics.stdev(values)
    reach = _quantile(confidence, count) * deviation / count**0.5
    return Estimate(mean, deviation, mean - reach, mean + reach, count)


def share_of(
    part: Sequence[float], whole: Sequence[float], *, confidence: float = 0.95
) -> Share | None:
    """mean(part) / mean(whole) of paired values, with Fieller's interval.

    Args:
        part, whole: in the same order of seeds, at least one each, equally many.
        confidence: of the interval, in (0, 1).

    Returns:
        None where the mean of `whole` is not above 0: there is nothing to have a share of.

    Source:
        Fieller, Some problems in interval estimation, 1954: all r for which the mean of
        part - r whole is not distinguishable from 0. No interval is given where these are
        unbounded, as when the mean of `whole` is itself not distinguishable from 0.
    """
    a, b, count = statistics.fmean(part), statistics.fmean(whole), len(part)
    if b <= 0:
        return None
    if count < 2:
        return Share(a / b, None, None)
    factor = _quantile(confidence, count) ** 2 / count
    square = b * b - factor * statistics.variance(whole)
    middle = a * b - factor * statistics.covariance(part, whole)
    rest = a * a - factor * statistics.variance(part)
    root = middle * middle - square * rest
    if square <= 0 or root < 0:
        return Share(a / b, None, None)
    low, high = ((middle + sign * root**0.5) / square for sign in (-1, 1))
    return Share(a / b, low, high)


def _quantile(confidence: float, count: int) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, count - 1))
