"""CIDEr-D: TF-IDF weighted n-grams, clipped, with a penalty for another length.

Vedantam et al. 2015 (arXiv 1411.5726), section 6, with the constants of the COCO caption
evaluation: n-grams of orders 1 to 4, sigma 6, times 10. The values run from 0 to 10.

The inverse document frequencies come from the references that are judged, one document a report:
log(number of reports / number of reports with the n-gram). A figure therefore belongs to its set of
records: the same report scores otherwise in another set, an n-gram of every reference counts
nothing, and a single record scores 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.evaluation.language import ngrams, tokenize

ORDERS: Final = 4
SIGMA: Final = 6.0
SCALE: Final = 10.0

_Grams = tuple[Counter[tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Vector:
    """One text: weights by order and n-gram, their norms, and its number of tokens."""

    weights: tuple[dict[tuple[str, ...], float], ...]
    norms: tuple[float, ...]
    length: int


def cider(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Mean CIDEr-D over the pairs, in [0, 10]."""
    return float(np.mean(cider_of_pairs(references, hypotheses)))


def cider_of_pairs(references: Sequence[str], hypotheses: Sequence[str]) -> npt.NDArray[np.float64]:
    """CIDEr-D of each pair, one reference each, shape (records,), in [0, 10].

    Args:
        references: the texts whose document frequencies count, at least one.
        hypotheses: in the same order.
    """
    truths = [_count(text) for text in references]
    seen: Counter[tuple[str, ...]] = Counter()
    for grams in truths:
        for counts in grams:
            seen.update(counts.keys())
    values = [
        _similarity(_weigh(_count(text), seen, len(truths)), _weigh(grams, seen, len(truths)))
        for grams, text in zip(truths, hypotheses, strict=True)
    ]
    return np.array(values, dtype=np.float64)


def _count(text: str) -> _Grams:
    tokens = tokenize(text)
    return tuple(ngrams(tokens, order) for order in range(1, ORDERS + 1))


def _weigh(grams: _Grams, seen: Counter[tuple[str, ...]], documents: int) -> _Vector:
    weights = tuple(
        {gram: count * math.log(documents / max(1, seen[gram])) for gram, count in counts.items()}
        for counts in grams
    )
    norms = tuple(math.sqrt(math.fsum(value**2 for value in order.values())) for order in weights)
    return _Vector(weights, norms, grams[0].total())


def _similarity(written: _Vector, truth: _Vector) -> float:
    """The mean over orders of the clipped cosine, times the length penalty and the scale."""
    penalty = math.exp(-((written.length - truth.length) ** 2) / (2 * SIGMA**2))
    total = 0.0
    for own, other, norm, other_norm in zip(
        written.weights, truth.weights, written.norms, truth.norms, strict=True
    ):
        if norm and other_norm:
            product = sum(
                min(value, other[gram]) * other[gram]
                for gram, value in own.items()
                if gram in other
            )
            total += product / (norm * other_norm)
    return SCALE * penalty * total / ORDERS
