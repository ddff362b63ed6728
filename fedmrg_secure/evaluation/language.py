"""How close the words are: BLEU-1 to 4 and ROUGE-L.

All figures of words, here and in `meteor` and `cider`, work on the same tokens (`tokenize`):
lower-case words, numbers and single punctuation marks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from sacrebleu.metrics.bleu import BLEU

COCO_BETA: Final = 1.2
"""Of ROUGE-L in the COCO caption evaluation: recall counts 1.44 times as much as precision."""

_TOKEN: Final = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|[^\sa-z0-9]")


def tokenize(text: str) -> list[str]:
    """Lower-case tokens: ``"No X-ray; 3.5 cm"`` gives ``no x-ray ; 3 . 5 cm``."""
    return _TOKEN.findall(text.lower())


def bleu_scores(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU-1 to 4 with one reference each (Papineni et al. 2002), by sacrebleu.

    Args:
        references, hypotheses: texts in the same order, at least one.

    Returns:
        ``bleu1`` to ``bleu4``, each in [0, 1]: uniform weights, brevity penalty, no smoothing (a
        corpus without one matching n-gram scores 0). Tokens are those of `tokenize`.
    """
    truth = [" ".join(tokenize(text)) for text in references]
    written = [" ".join(tokenize(text)) for text in hypotheses]
    scores = {}
    for order in range(1, 5):
        metric = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
        scores[f"bleu{order}"] = min(1.0, metric.corpus_score(written, [truth]).score / 100)
    return scores


def ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each run of `order` tokens occurs."""
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def rouge_l(references: Sequence[str], hypotheses: Sequence[str], *, beta: float = 1.0) -> float:
    """Mean ROUGE-L over the pairs (Lin 2004), in [0, 1].

    Per pair: F = (1 + beta^2) PR / (R + beta^2 P) with P and R the length of the longest common
    subsequence over the hypothesis's and the reference's number of tokens; 0 where either is
    empty. `beta` 1 is the F1 of Lin's example, `COCO_BETA` what papers on captions report.
    """
    pairs = zip(references, hypotheses, strict=True)
    return float(np.mean([rouge_l_of_pair(*pair, beta=beta) for pair in pairs]))


def rouge_l_of_pair(reference: str, hypothesis: str, *, beta: float = 1.0) -> float:
    """ROUGE-L of one pair, in [0, 1]."""
    truth, written = tokenize(reference), tokenize(hypothesis)
    if not truth or not written:
        return 0.0
    # With common length L this is the F of `rouge_l`: P = L / written, R = L / truth.
    common = longest_common_subsequence(truth, written)
    return (1 + beta**2) * common / (len(written) + beta**2 * len(truth))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004)."""
    positions: dict[str, int] = {}
    for index, token in enumerate(first):
        positions[token] = positions.get(token, 0) | (1 << index)
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        matches = row & positions.get(token, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(first) - row.bit_count()
