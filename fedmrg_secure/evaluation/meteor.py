"""METEOR with its first two matchers, equal words and equal stems; no synonyms, no paraphrases.

For m matched words in c chunks, P = m / words written, R = m / words of the reference:

    F = P R / (alpha P + (1 - alpha) R),  penalty = gamma (c / m)^beta,  score = F (1 - penalty)

with alpha 0.9, beta 3, gamma 0.5 (Lavie and Agarwal 2007; Banerjee and Lavie 2005 write the same F
as 10 P R / (R + 9 P)). A chunk is a run of words that are neighbours in both texts.

Equal words have equal stems, so both matchers together match equal stems, and m is the sum over
stems of the smaller count. Of all alignments with m matches one with the fewest chunks counts: any
set of neighbouring pairs that is one-to-one can be filled up to m matches, so c is m less the
largest such set, which `most_neighbours` looks for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import snowballstemmer

from fedmrg_secure.evaluation.language import tokenize

ALPHA: Final = 0.9
BETA: Final = 3.0
GAMMA: Final = 0.5
STATES: Final = 1000
"""Partial alignments that the search keeps at a word; real pairs of reports stay well below."""

_PORTER: Final = snowballstemmer.stemmer("porter")


def meteor(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Mean METEOR (exact and stem) over the pairs, in [0, 1]; texts as in `meteor_of_pair`."""
    pairs = zip(references, hypotheses, strict=True)
    return float(np.mean([meteor_of_pair(*pair) for pair in pairs]))


@lru_cache(maxsize=2**15)  # a benchmark looks at each pair as part of several sets
def meteor_of_pair(reference: str, hypothesis: str) -> float:
    """METEOR (exact and stem) of one pair, in [0, 1); 0 where nothing matches.

    Tokens are those of `tokenize`, punctuation included. Equal texts of n tokens are one chunk and
    score 1 - 0.5 / n^3.
    """
    truth, written = stems(reference), stems(hypothesis)
    matches, chunks = align(truth, written)
    if not matches:
        return 0.0
    precision, recall = matches / len(written), matches / len(truth)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    penalty: float = GAMMA * (chunks / matches) ** BETA
    return mean * (1 - penalty)


def stems(text: str) -> list[str]:
    """The stems of a text's tokens: Porter 1980; as in Porter's own program, one or two letters
    stay as they are (else "is" and "as" would lose their s)."""
    return [_stem(token) for token in tokenize(text)]


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    """The most one-to-one matches of equal words, and the fewest chunks that they can form.

    Returns:
        Matches and chunks; 0, 0 without a match. Chunks are exact as long as the search keeps at
        most `STATES` partial alignments, else an upper bound.
    """
    matches = (Counter(reference) & Counter(hypothesis)).total()
    return matches, matches - most_neighbours(reference, hypothesis)


def most_neighbours(
    reference: Sequence[str], hypothesis: Sequence[str], *, states: int = STATES
) -> int:
    """The largest number of pairs of neighbours that a one-to-one alignment can keep.

    A link (i, j) says that words i and i + 1 of one text are aligned to words j and j + 1 of the
    other. The search walks over i; all that matters for later words is where the last link leads
    and which later words of the other text are taken, so partial alignments that agree on both are
    one. What cannot catch up with the best is dropped.
    """
    links = min(
        _links(reference, hypothesis),
        _links(hypothesis, reference),
        key=lambda found: len({j for row in found for j in row}),
    )
    later = _later(links)  # (positions + 1,): words that links from here on need
    left = [sum(map(bool, links[position:])) for position in range(len(links) + 1)]
    kept: dict[tuple[int, int], int] = {(-1, 0): 0}
    for position, row in enumerate(links):
        if not row and all(end < 0 for end, _ in kept):
            continue
        reached: dict[tuple[int, int], int] = {}
        for (end, taken), count in kept.items():
            if end < 0:
                starts = [j for j in row if not taken & (3 << j)]
            else:  # word i is aligned already, to word `end` of the other text
                starts = [end] if end in row and not taken & (2 << end) else []
            mask = later[position + 1]
            options = [((j + 1, (taken | (3 << j)) & mask), count + 1) for j in starts]
            for state, value in [((-1, taken & mask), count), *options]:
                if reached.get(state, -1) < value:
                    reached[state] = value
        best = max(reached.values())
        kept = {s: v for s, v in reached.items() if v + left[position + 1] >= best}
        if len(kept) > states:
            ranked = sorted(kept.items(), key=lambda item: (-item[1], item[0][1].bit_count()))
            kept = dict(ranked[:states])
    return max(kept.values())


def _links(first: Sequence[str], second: Sequence[str]) -> list[list[int]]:
    """For each i the j at which two neighbours of `second` equal words i, i + 1 of `first`."""
    starts: dict[tuple[str, str], list[int]] = {}
    for j, pair in enumerate(pairwise(second)):
        starts.setdefault(pair, []).append(j)
    return [starts.get(pair, []) for pair in pairwise(first)]


def _later(links: Sequence[Sequence[int]]) -> list[int]:
    """For each position the words that links from there on touch, as bits."""
    masks = [0]
    for row in reversed(links):
        mask = masks[-1]
        for j in row:
            mask |= 3 << j
        masks.append(mask)
    return masks[::-1]


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    return word if len(word) <= 2 else str(_PORTER.stemWord(word))
