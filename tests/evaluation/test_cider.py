from __future__ import annotations

import math

import numpy as np
import pytest

from fedmrg_secure.data.task import public_corpus
from fedmrg_secure.evaluation.cider import cider, cider_of_pairs


def test_equal_texts_score_ten() -> None:
    references = ["a b c d", "e f g h"]
    np.testing.assert_allclose(cider_of_pairs(references, references), [10, 10])
    texts = public_corpus(0, 20)
    assert cider(texts, texts) == pytest.approx(10)


def test_an_empty_text_scores_nothing() -> None:
    np.testing.assert_array_equal(cider_of_pairs(["a b", "c d", ""], ["", "x", "a"]), [0, 0, 0])


def test_a_word_of_every_report_counts_nothing() -> None:
    assert cider(["no edema", "no effusion"], ["no", "no"]) == 0
    assert cider(["alone"], ["alone"]) == 0


def test_by_hand() -> None:
    """Two reports; every n-gram but the shared "x" weighs log 2.

    Hypothesis "a c" against "a b x": of order 1, weights (1, 1) and (1, 1, 0) share a: cosine
    1 / 2. Of orders 2 to 4 nothing. One token less: penalty exp(-1 / 72).
    """
    value = cider_of_pairs(["a b x", "c d x"], ["a c", "y"])[0]
    assert value == pytest.approx(10 / 4 * 0.5 * math.exp(-1 / 72))


def test_what_is_said_too_often_is_clipped() -> None:
    """ "a a" counts once in the product and twice in its own norm."""
    once, twice = (cider_of_pairs(["a", "b"], [text, "b"])[0] for text in ("a", "a a"))
    assert once == pytest.approx(10 / 4)
    assert twice == pytest.approx(10 / 4 / 2 * math.exp(-1 / 72))


def test_permuted_words_keep_their_unigrams_alone() -> None:
    value = cider_of_pairs(["a b c", "x y z"], ["b a c", "q"])[0]
    assert value == pytest.approx(10 / 4)


def test_a_repeated_set_keeps_its_values() -> None:
    """Frequencies are shares of the reports, so twice the same reports change nothing."""
    references, written = public_corpus(0, 15), public_corpus(1, 15)
    once = cider_of_pairs(references, written)
    twice = cider_of_pairs(references * 2, written * 2)
    # but for n-grams that no reference has: they weigh the log of the number of reports
    assert np.corrcoef(once, twice[:15])[0, 1] > 0.99
    equal = cider_of_pairs(references * 2, references * 2)
    np.testing.assert_allclose(equal, 10)
