from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.evaluation.language import (
    COCO_BETA,
    bleu_scores,
    longest_common_subsequence,
    rouge_l,
    tokenize,
)


def test_tokens_are_lower_case_words_and_marks() -> None:
    assert tokenize("No X-ray; 3.5 cm  Mass.") == [
        "no",
        "x-ray",
        ";",
        "3",
        ".",
        "5",
        "cm",
        "mass",
        ".",
    ]
    assert tokenize("") == []


def test_equal_texts_score_one_whatever_the_case() -> None:
    scores = bleu_scores(["The heart is not enlarged."], ["the HEART is not enlarged ."])
    assert scores == pytest.approx(dict.fromkeys(("bleu1", "bleu2", "bleu3", "bleu4"), 1.0))


def test_the_example_of_the_bleu_paper() -> None:
    """Papineni et al. 2002: "the" seven times has clipped unigram precision 2/7."""
    scores = bleu_scores(["the cat is on the mat"], ["the the the the the the the"])
    assert scores["bleu1"] == pytest.approx(2 / 7)
    assert scores["bleu2"] == 0


def test_bleu_by_hand() -> None:
    # unigrams 4/5, bigrams 2/4; five tokens against six: brevity penalty exp(1 - 6/5)
    scores = bleu_scores(["a b c d e f"], ["a b c x d"])
    penalty = math.exp(1 - 6 / 5)
    assert scores["bleu1"] == pytest.approx(penalty * 4 / 5)
    assert scores["bleu2"] == pytest.approx(penalty * math.sqrt(4 / 5 * 2 / 4))
    assert scores["bleu3"] == pytest.approx(penalty * (4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3))
    assert scores["bleu4"] == 0


def test_bleu_pools_the_corpus_instead_of_averaging_sentences() -> None:
    scores = bleu_scores(["a b c d", "e f"], ["a b c d", "x y"])
    assert scores["bleu1"] == pytest.approx(4 / 6)


def test_empty_hypotheses_score_zero() -> None:
    assert set(bleu_scores(["a b"], [""]).values()) == {0.0}
    assert rouge_l(["a b"], [""]) == 0


def test_the_examples_of_the_rouge_paper() -> None:
    """Lin 2004, section 3: S2 has LCS 3 of 4, S3 has LCS 2 of 4."""
    reference = "police killed the gunman"
    assert rouge_l([reference], ["police kill the gunman"]) == pytest.approx(3 / 4)
    assert rouge_l([reference], ["the gunman kill police"]) == pytest.approx(2 / 4)


def test_rouge_is_the_mean_over_pairs() -> None:
    assert rouge_l(["a b", "c d"], ["a b", "x y"]) == pytest.approx(0.5)


def test_rouge_with_beta_by_hand() -> None:
    # common 2 of 4 written and 3 wanted: P 1/2, R 2/3
    expected = 2.44 * (1 / 2) * (2 / 3) / (2 / 3 + 1.44 / 2)
    assert rouge_l(["a b c"], ["a x b y"], beta=COCO_BETA) == pytest.approx(expected)
    assert rouge_l(["a b"], ["a b"], beta=COCO_BETA) == pytest.approx(1)
    assert rouge_l(["a b"], [""], beta=COCO_BETA) == 0


def slow_subsequence(first: list[str], second: list[str]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


@given(
    st.lists(st.sampled_from("abcd"), max_size=90), st.lists(st.sampled_from("abcde"), max_size=90)
)
def test_the_bit_parallel_subsequence_equals_the_textbook_one(
    first: list[str], second: list[str]
) -> None:
    assert longest_common_subsequence(first, second) == slow_subsequence(first, second)
