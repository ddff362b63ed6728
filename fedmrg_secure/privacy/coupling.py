"""How far what is done lies from what is analysed, in total variation, over a whole history.

Discrete Gaussian noise lies near rounded Gaussian noise, and a truncated Poisson batch is nearly
always the whole one. Both distances come from a coupling that knows nothing of the data, so they
add up over adaptive steps. The proofs are in docs/privacy.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from fedmrg_secure.privacy.events import GridNoise, PrivacyEvent, TruncatedPoissonSampling

_LEAST_SIGMA: Final = 2
_CHI_SQUARE: Final = 1 / 280
"""chi^2 of rounded against discrete Gaussian noise is at most this over sigma^4, for sigma >= 2."""


def discretisation_distance(events: Sequence[PrivacyEvent]) -> float:
    """How far all grid noise together lies from Gaussian noise rounded to the grid.

    Args:
        events: of a history; those with continuous noise add nothing.

    Returns:
        An upper bound on the total variation distance; infinite where a sigma is below 2 steps.
    """
    divergence = 0.0
    for event in events:
        if isinstance(event.noise, GridNoise):
            if event.noise.sigma < _LEAST_SIGMA:
                return math.inf
            samples = event.noise.coordinates * event.steps
            divergence += samples * _CHI_SQUARE / float(event.noise.sigma) ** 4
    return math.sqrt(divergence / 2)


def truncation_distance(events: Sequence[PrivacyEvent]) -> float:
    """The probability that any batch of a history was cut, with the units given or one more.

    Args:
        events: of a history; those without truncation add nothing.

    Returns:
        An upper bound (union over steps), at least 0; may exceed 1.
    """
    total = 0.0
    for event in events:
        sampling = event.sampling
        if isinstance(sampling, TruncatedPoissonSampling):
            tail = binomial_tail(sampling.units + 1, sampling.rate, sampling.largest_batch)
            total += event.steps * tail
    return total


def binomial_tail(trials: int, rate: float, most: int) -> float:
    """An upper bound on P[Binomial(trials, rate) > most], by Chernoff's inequality.

    Args:
        trials: >= 1.
        rate: the probability of each.
        most: the largest count that is not in the tail.
    """
    if most >= trials:
        return 0.0
    share = (most + 1) / trials
    if share <= rate:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / (1 - rate)) if share < 1 else 0.0
    return math.exp(-trials * (share * math.log(share / rate) + rest))
