"""How sure a difference is: the paired bootstrap over records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference with its percentile interval.

    Attributes:
        difference: figure of the second system minus that of the first, on all records.
        low, high: bounds of the interval.
        confidence: its nominal coverage.
    """

    difference: float
    low: float
    high: float
    confidence: float


def paired_bootstrap(
    references: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    figure: Callable[[Sequence[str], Sequence[str]], float],
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of ``figure(second) - figure(first)`` (Koehn 2004).

    The same records are drawn, with replacement, for both systems in each resample.

    Args:
        references, first, second: texts of the same records in the same order.
        figure: maps references and hypotheses to a number.
        seed: fixes the draws.
        resamples: number of draws, >= 1.
        confidence: in (0, 1).
    """
    count = len(references)
    rng = np.random.default_rng(seed)
    differences = np.empty(resamples)
    for index in range(resamples):
        drawn = rng.integers(count, size=count)
        truth = [references[i] for i in drawn]
        differences[index] = figure(truth, [second[i] for i in drawn]) - figure(
            truth, [first[i] for i in drawn]
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Interval(
        difference=figure(references, second) - figure(references, first),
        low=float(low),
        high=float(high),
        confidence=confidence,
    )
