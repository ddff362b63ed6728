"""How many co-signatures exclude a second certificate: all small cohorts, many larger ones."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.protocol.quorum import Quorum


@st.composite
def federations(draw: st.DrawFn) -> tuple[int, int]:
    """Sites of a cohort and colluders among them, where the cohort is large enough for these."""
    cohort = draw(st.integers(3, 256))
    colluders = draw(st.integers(0, cohort - 2))
    return cohort, colluders


@given(federations())
def test_a_cohort_can_certify_and_the_threshold_is_the_smallest_that_is_safe(
    federation: tuple[int, int],
) -> None:
    cohort, colluders = federation
    threshold = Quorum(colluders).threshold(cohort)
    assert colluders < threshold <= cohort
    assert 2 * threshold - cohort > colluders, "T colluders are too few to sign both"
    assert 2 * (threshold - 1) - cohort <= colluders, "one less would be too few"


@given(federations(), st.data())
def test_with_t_colluders_two_statements_are_never_both_certified(
    federation: tuple[int, int], data: st.DataObject
) -> None:
    """Honest sites sign one statement at most, colluders sign everything."""
    count, colluders = federation
    quorum, cohort = Quorum(colluders), range(count)
    bad = set(data.draw(st.sets(st.sampled_from(cohort), max_size=colluders)))
    choice = data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=count, max_size=count))
    signers = [bad | {site for site in cohort if choice[site] == which} for which in (0, 1)]
    certified = [quorum.is_certified(named, cohort, cohort[:1]) for named in signers]
    assert not all(certified)


@given(federations(), st.randoms())
def test_with_one_more_colluder_they_can_be(federation: tuple[int, int], random: object) -> None:
    count, colluders = federation
    quorum, cohort = Quorum(colluders), list(range(count))
    random.shuffle(cohort)  # type: ignore[attr-defined]
    needed = 2 * quorum.threshold(count) - count  # T + 1, or T + 2 where n + T is even
    assert needed in (colluders + 1, colluders + 2)
    bad, honest = cohort[:needed], cohort[needed:]
    half = len(honest) // 2
    for part in (honest[:half], honest[half:]):
        assert quorum.is_certified({*bad, *part}, cohort, part)


@pytest.mark.parametrize("count", range(3, 8))
def test_every_division_of_a_small_cohort(count: int) -> None:
    for colluders in range(count - 1):
        quorum = Quorum(colluders)
        bad = set(range(colluders))
        for choice in itertools.product((0, 1), repeat=count - colluders):
            signers = [
                bad | {colluders + place for place, which in enumerate(choice) if which == side}
                for side in (0, 1)
            ]
            assert not all(quorum.is_certified(s, range(count), [0]) for s in signers)


def test_signatures_from_outside_the_cohort_do_not_count() -> None:
    quorum = Quorum(1)
    assert quorum.is_certified("abc", "abcd", "ab")
    assert not quorum.is_certified("abxyz", "abcd", "ab")


def test_unanimity_needs_whom_the_statement_names_and_the_threshold() -> None:
    quorum = Quorum(1, "unanimous")
    assert quorum.is_certified("abc", "abcd", "abc")
    assert not quorum.is_certified("abc", "abcd", "abcd")
    assert not quorum.is_certified("ab", "abcd", "ab")


def test_a_cohort_that_is_too_small_certifies_nothing() -> None:
    assert Quorum(2).threshold(3) == 3
    assert Quorum(3).threshold(4) == 4
    assert Quorum(2).threshold(2) > 2
    assert not Quorum(2).is_certified("ab", "ab", "ab")
