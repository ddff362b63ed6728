"""Are batches drawn by an independent coin for each unit and step, as amplification assumes?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, chi2


def poisson_p_values(drawn: npt.NDArray[np.bool_], rate: float) -> dict[str, float]:
    """Five two-sided tests of the hypothesis that all entries are independent with one chance.

    Args:
        drawn: who was in which step, shape (steps, units), both even.
        rate: the stated chance, in (0, 1).

    Returns:
        The chance of what was seen, or of something less likely, by what the test looks at:

        ==================  ===============================================================
        rate                how many were drawn in all (binomial)
        batch sizes         how their number varies from step to step (chi-square)
        units               how often each unit was drawn (chi-square)
        consecutive steps   a unit in steps 2k and 2k + 1 (binomial)
        neighbours          units 2k and 2k + 1 in one step (binomial)
        ==================  ===============================================================

        The chi-square tests take binomial counts for normal ones; batches and units should expect
        20 or more.
    """
    steps, units = drawn.shape
    consecutive = int(np.sum(drawn[0::2] & drawn[1::2]))
    neighbours = int(np.sum(drawn[:, 0::2] & drawn[:, 1::2]))
    return {
        "rate": _binomial(int(drawn.sum()), drawn.size, rate),
        "batch sizes": _dispersion(drawn.sum(axis=1), units, rate),
        "units": _dispersion(drawn.sum(axis=0), steps, rate),
        "consecutive steps": _binomial(consecutive, drawn.size // 2, rate**2),
        "neighbours": _binomial(neighbours, drawn.size // 2, rate**2),
    }


def _binomial(count: int, trials: int, rate: float) -> float:
    tails = binom.cdf(count, trials, rate), binom.sf(count - 1, trials, rate)
    return min(1.0, 2 * float(min(tails)))


def _dispersion(counts: npt.NDArray[np.int64], trials: int, rate: float) -> float:
    squares = float(np.sum(np.square(counts - trials * rate)) / (trials * rate * (1 - rate)))
    tails = chi2.cdf(squares, counts.size), chi2.sf(squares, counts.size)
    return min(1.0, 2 * float(min(tails)))
