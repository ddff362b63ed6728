"""Every figure of words beside an independent package's value, on made-up and on real reports."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import align_words, single_meteor_score
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from fedmrg_secure.evaluation.cider import cider_of_pairs
from fedmrg_secure.evaluation.language import (
    COCO_BETA,
    bleu_scores,
    rouge_l_of_pair,
    tokenize,
)
from fedmrg_secure.evaluation.meteor import align, meteor_of_pair, stems
from tests.evaluation.pairs import REAL_PAIRS, Pairs, phantom_pairs, real_pairs


@pytest.fixture(scope="module", params=["phantom", "real"])
def pairs(request: pytest.FixtureRequest) -> Pairs:
    found = phantom_pairs(120) if request.param == "phantom" else real_pairs()
    assert request.param == "phantom" or len(found[0]) == REAL_PAIRS >= 200
    return found


def spaced(texts: Iterable[str]) -> list[str]:
    """Our tokens, so that packages which split at blanks see the same words."""
    return [" ".join(tokenize(text)) for text in texts]


def test_bleu_is_that_of_the_coco_evaluation(pairs: Pairs) -> None:
    ours = bleu_scores(*pairs)
    scorer = BleuScorer(n=4)
    for reference, hypothesis in zip(*map(spaced, pairs), strict=True):
        scorer += (hypothesis, [reference])
    theirs, _ = scorer.compute_score(option="closest", verbose=0)
    # The COCO evaluation adds 1e-15 to counts and 1e-9 to totals.
    assert [ours[f"bleu{n}"] for n in range(1, 5)] == pytest.approx(theirs, abs=1e-7)


def test_rouge_l_is_that_of_google_and_of_the_coco_evaluation(pairs: Pairs) -> None:
    class Blanks:
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    google, coco = RougeScorer(["rougeL"], tokenizer=Blanks()), Rouge()
    for reference, hypothesis in zip(*map(spaced, pairs), strict=True):
        f1 = google.score(reference, hypothesis)["rougeL"].fmeasure
        assert rouge_l_of_pair(reference, hypothesis) == pytest.approx(f1, abs=1e-12)
        if hypothesis:
            beta = coco.calc_score([hypothesis], [reference])
            ours = rouge_l_of_pair(reference, hypothesis, beta=COCO_BETA)
            assert ours == pytest.approx(beta, abs=1e-12)


def test_cider_is_that_of_the_coco_evaluation(pairs: Pairs) -> None:
    references, written = map(spaced, pairs)
    mean, of_pairs = Cider().compute_score(
        {i: [text] for i, text in enumerate(references)},
        {i: [text] for i, text in enumerate(written)},
    )
    ours = cider_of_pairs(*pairs)
    np.testing.assert_allclose(ours, of_pairs, atol=1e-9)
    assert ours.mean() == pytest.approx(mean, abs=1e-9)


class Porter(PorterStemmer):
    """The published algorithm, which leaves words of one or two letters alone."""

    def __init__(self) -> None:
        super().__init__(mode=PorterStemmer.ORIGINAL_ALGORITHM)

    def stem(self, word: str) -> str:  # type: ignore[override]
        return word if len(word) <= 2 else str(super().stem(word))


class NoWordnet:
    def synsets(self, _word: str) -> list[object]:
        return []


def test_stems_are_those_of_nltk(pairs: Pairs) -> None:
    porter = Porter()
    for text in (*pairs[0], *pairs[1]):
        assert stems(text) == [porter.stem(token) for token in tokenize(text)]


def nltk_meteor(reference: list[str], hypothesis: list[str]) -> float:
    return single_meteor_score(reference, hypothesis, stemmer=Porter(), wordnet=NoWordnet())


def test_meteor_is_that_of_nltk_where_there_is_one_alignment(pairs: Pairs) -> None:
    """Of every text the first word of each stem is kept: the best alignment is the only one."""
    for reference, hypothesis in zip(*pairs, strict=True):
        truth, written = (list({s: s for s in stems(text)}) for text in (reference, hypothesis))
        theirs = nltk_meteor(truth, written)
        assert meteor_of_pair(" ".join(truth), " ".join(written)) == pytest.approx(
            theirs, abs=1e-12
        )


def test_meteor_is_above_that_of_nltk_where_its_greedy_alignment_breaks_chunks(
    pairs: Pairs,
) -> None:
    for reference, hypothesis in zip(*pairs, strict=True):
        truth, written = tokenize(reference), tokenize(hypothesis)
        found = sorted(align_words(written, truth, stemmer=Porter(), wordnet=NoWordnet())[0])
        runs = sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in pairwise(found)) + bool(found)
        matches, chunks = align(stems(reference), stems(hypothesis))
        assert len(found) == matches
        ours, theirs = meteor_of_pair(reference, hypothesis), nltk_meteor(truth, written)
        assert runs > chunks or ours == pytest.approx(theirs, abs=1e-12)
        assert runs == chunks or ours > theirs


def fewest_chunks(reference: list[str], hypothesis: list[str]) -> int:
    """By integer programming, over all alignments with the most matches (independent of ours)."""
    cells = [(i, j) for i, a in enumerate(hypothesis) for j, b in enumerate(reference) if a == b]
    if not cells:
        return 0
    at = {cell: number for number, cell in enumerate(cells)}
    links = [(i, j) for i, j in cells if (i + 1, j + 1) in at]
    size = len(cells) + len(links)
    entries: list[tuple[int, int, float]] = []
    upper: list[float] = []
    for axis, words in ((0, hypothesis), (1, reference)):
        for position in range(len(words)):
            entries += [
                (len(upper), n, 1) for n, cell in enumerate(cells) if cell[axis] == position
            ]
            upper.append(1)
    for number, (i, j) in enumerate(links):
        for cell in ((i, j), (i + 1, j + 1)):
            entries += [(len(upper), len(cells) + number, 1), (len(upper), at[cell], -1)]
            upper.append(0)
    rows, columns, values = zip(*entries, strict=True)
    matrix = csr_array((values, (rows, columns)), shape=(len(upper), size))
    matches = sum(min(hypothesis.count(w), reference.count(w)) for w in set(hypothesis))
    total = csr_array(np.repeat([1.0, 0.0], [len(cells), len(links)])[None])
    solved = milp(
        -np.repeat([0.0, 1.0], [len(cells), len(links)]),
        constraints=[
            LinearConstraint(matrix, -np.inf, upper),
            LinearConstraint(total, matches, matches),
        ],
        integrality=np.ones(size),
        bounds=Bounds(0, 1),
    )
    assert solved.success
    return matches + round(solved.fun)


def test_alignments_have_the_fewest_chunks_possible(pairs: Pairs) -> None:
    for reference, hypothesis in zip(*pairs, strict=True):
        truth, written = stems(reference), stems(hypothesis)
        assert align(truth, written)[1] == fewest_chunks(truth, written)
