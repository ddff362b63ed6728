"""How sure a difference between two systems is: the paired bootstrap over records.

Corpus figures are functions of sums over records, so a resample is a vector of weights times a
table of counts or of values of single records; no text is looked at twice. CIDEr keeps the document
frequencies of all references in every resample: the corpus belongs to the figure, not to the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import Status
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.evaluation.cider import cider_of_pairs
from fedmrg_secure.evaluation.language import COCO_BETA, ngrams, rouge_l_of_pair, tokenize
from fedmrg_secure.evaluation.meteor import meteor_of_pair

_Table = npt.NDArray[np.float64]
_ORDERS: Final = 4


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference with its percentile interval.

    Attributes:
        difference: figure of the second system minus that of the first, on all records.
        low, high: bounds of the interval.
        confidence: its nominal coverage.
        p_value: two-sided, of no difference; see `two_sided_p_value`.
    """

    difference: float
    low: float
    high: float
    confidence: float
    p_value: float


def paired_bootstrap(
    references: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Percentile intervals of the figures of `second` minus those of `first` (Koehn 2004).

    The same records are drawn, with replacement, for both systems in each resample.

    Args:
        references, first, second: texts of the same records in the same order, at least one.
        seed: fixes the draws.
        resamples: number of draws, >= 1.
        confidence: in (0, 1).

    Returns:
        An interval for every figure of `scores.score_reports`.
    """
    count = len(references)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = np.vstack([np.ones(count), drawn])  # (1 + resamples, records)
    before, after = figures(references, first, weights), figures(references, second, weights)
    tail = (1 - confidence) / 2
    intervals = {}
    for name, values in after.items():
        differences = values - before[name]
        low, high = np.quantile(differences[1:], [tail, 1 - tail])
        intervals[name] = Interval(
            float(differences[0]),
            float(low),
            float(high),
            confidence,
            two_sided_p_value(differences[1:]),
        )
    return intervals


def two_sided_p_value(differences: npt.ArrayLike) -> float:
    """How often a resample contradicts the sign of a difference, both ways.

    With B resampled differences d: p = min(1, 2 (1 + min(#{d <= 0}, #{d >= 0})) / (1 + B)).
    Counting one more keeps p above 0 (Davison and Hinkley 1997, section 4.2.3): it says no more
    than B draws can say, 2 / (1 + B) at the least. Systems that never differ have p = 1.

    Args:
        differences: of one figure, one a resample, shape (B,), B >= 1.
    """
    drawn = np.asarray(differences, dtype=np.float64)
    against = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (1 + against) / (1 + drawn.size))


def figures(
    references: Sequence[str], hypotheses: Sequence[str], weights: _Table
) -> dict[str, _Table]:
    """The figures of `scores.score_reports` on weighted records.

    Args:
        references, hypotheses: texts, shape (records,).
        weights: how often each record counts, shape (resamples, records).

    Returns:
        For each figure its values, shape (resamples,), in the figure's range.
    """
    pairs = list(zip(references, hypotheses, strict=True))
    overlap = weights @ np.array([_overlap(*pair) for pair in pairs])  # (resamples, 10)
    of_records = {
        "rouge_l": [rouge_l_of_pair(*pair) for pair in pairs],
        "rouge_l_beta": [rouge_l_of_pair(*pair, beta=COCO_BETA) for pair in pairs],
        "meteor_exact_stem": [meteor_of_pair(*pair) for pair in pairs],
        "cider": cider_of_pairs(references, hypotheses),
    }
    means = {name: weights @ np.array(row) / weights.sum(1) for name, row in of_records.items()}
    return {**_bleu(overlap), **means, **_clinical(pairs, weights)}


def _overlap(reference: str, hypothesis: str) -> list[int]:
    """Matching and all n-grams of orders 1 to 4, then both lengths."""
    truth, written = tokenize(reference), tokenize(hypothesis)
    matches, totals = [], []
    for order in range(1, _ORDERS + 1):
        wanted, had = ngrams(truth, order), ngrams(written, order)
        matches.append((wanted & had).total())
        totals.append(had.total())
    return [*matches, *totals, len(truth), len(written)]


def _bleu(overlap: _Table) -> dict[str, _Table]:
    matches, totals = overlap[:, :_ORDERS], overlap[:, _ORDERS : 2 * _ORDERS]
    wanted, written = overlap[:, -2], overlap[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.log(np.where(totals > 0, matches / totals, 0))
        penalty = np.minimum(0, 1 - wanted / written)
    means = np.cumsum(precision, axis=1) / np.arange(1, _ORDERS + 1)
    return {f"bleu{n + 1}": np.exp(means[:, n] + penalty) for n in range(_ORDERS)}


def _clinical(pairs: list[tuple[str, str]], weights: _Table) -> dict[str, _Table]:
    truth, stated = (
        np.isin(
            [label_report(pair[side]) for pair in pairs], (Status.POSITIVE, Status.UNCERTAIN)
        ).astype(np.float64)
        for side in (0, 1)
    )  # (records, classes)
    both = weights @ (truth * stated)  # (resamples, classes)
    truth, stated = weights @ truth, weights @ stated
    occurs = (truth > 0).astype(np.float64)
    values = {}
    for name, above, below in (
        ("precision", both, stated),
        ("recall", both, truth),
        ("f1", 2 * both, truth + stated),
    ):
        values[f"ce_rule_{name}_micro"] = _ratio(above.sum(1), below.sum(1))
        values[f"ce_rule_{name}_macro"] = _ratio(
            (_ratio(above, below) * occurs).sum(1), occurs.sum(1)
        )
    return values


def _ratio(above: _Table, below: _Table) -> _Table:
    """`above` over `below`, 0 where `below` is 0."""
    quotient: _Table = above / np.where(below > 0, below, 1)
    return quotient
