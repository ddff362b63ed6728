from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.evaluation.meteor import align, meteor, meteor_of_pair, most_neighbours, stems


def test_stems_join_the_forms_of_a_word() -> None:
    assert stems("Enlarged, enlargement.") == ["enlarg", ",", "enlarg", "."]
    assert stems("effusions effusion") == ["effus", "effus"]
    assert stems("is as a") == ["is", "as", "a"]


def test_equal_texts_are_one_chunk() -> None:
    assert meteor_of_pair("no pleural effusion", "No Pleural EFFUSIONS") == pytest.approx(
        1 - 0.5 / 27
    )
    assert meteor_of_pair("effusion", "effusion") == pytest.approx(0.5)


def test_permuted_words_are_chunks_of_their_own() -> None:
    # m = 3 in 3 chunks: P = R = 1, penalty 0.5
    assert meteor_of_pair("a b c", "c b a") == pytest.approx(0.5)


def test_by_hand() -> None:
    # Words the, heart, is, large; m = 3 (the heart | large), 2 chunks, P 3/3, R 3/4.
    mean = 1 * 0.75 / (0.9 * 1 + 0.1 * 0.75)
    assert meteor_of_pair("the heart is large", "the heart large") == pytest.approx(
        mean * (1 - 0.5 * (2 / 3) ** 3)
    )


def test_recall_counts_nine_times_as_much_as_precision() -> None:
    short, long = meteor_of_pair("a b c d", "a b"), meteor_of_pair("a b", "a b c d")
    assert short == pytest.approx(0.5 / (0.9 + 0.05) * (1 - 0.5 / 8))
    assert long == pytest.approx(0.5 / (0.45 + 0.1) * (1 - 0.5 / 8))


@pytest.mark.parametrize(("reference", "hypothesis"), [("a", ""), ("", "a"), ("", ""), ("a", "b")])
def test_nothing_matches_nothing(reference: str, hypothesis: str) -> None:
    assert meteor_of_pair(reference, hypothesis) == 0


def test_the_figure_of_a_set_is_the_mean_of_its_pairs() -> None:
    assert meteor(["a", "b"], ["a", "x"]) == pytest.approx(0.25)


def test_the_alignment_prefers_few_chunks_to_the_nearest_word() -> None:
    """A greedy aligner takes the first "no" and breaks the phrase."""
    assert align(["no", "edema", ".", "no", "effusion"], ["no", "effusion"]) == (2, 1)
    assert align(["b", "c", "a", "b"], ["a", "b", "c"]) == (3, 2)


def every_alignment(reference: list[str], hypothesis: list[str]) -> tuple[int, int]:
    """By trying all: the most matches, then the fewest chunks."""
    slots = [*range(len(reference)), *([None] * len(hypothesis))]
    best = (0, 0)
    for chosen in set(permutations(slots, len(hypothesis))):
        pairs = [(i, j) for i, j in enumerate(chosen) if j is not None]
        if all(hypothesis[i] == reference[j] for i, j in pairs) and pairs:
            chunks = 1 + sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in pairwise(pairs))
            best = max(best, (len(pairs), -chunks))
    return best[0], -best[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abcd"), max_size=4))
def test_it_is_the_best_of_all_alignments(reference: list[str], hypothesis: list[str]) -> None:
    assert align(reference, hypothesis) == every_alignment(reference, hypothesis)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
@settings(deadline=None, max_examples=40)
def test_both_ways_are_one(first: list[str], second: list[str]) -> None:
    assert align(first, second) == align(second, first)


@pytest.mark.timeout(30)
def test_endless_repetition_stays_bounded() -> None:
    """As an untrained model writes it: the search keeps few states and may stop short."""
    score = meteor_of_pair("no effusion . no edema ." * 15, "no . effusion no . " * 50)
    assert 0 < score < 1
    words = ["no", "."] * 60
    assert most_neighbours(words, words, states=5) <= most_neighbours(words, words) <= 119
