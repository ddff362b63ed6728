"""A site signs one statement of a kind a round, whatever it is asked, also after a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.client.signing_record import SignatureRefused, SignedRound, SigningRecord

BASE, OTHER_BASE = "aa" * 32, "bb" * 32
FIRST, SECOND, THIRD = "01" * 32, "02" * 32, "03" * 32


@pytest.fixture
def record(tmp_path: Path) -> SigningRecord:
    return SigningRecord(tmp_path)


TEN = tuple(f"site-{place}" for place in range(10))


def begin(record: SigningRecord, number: int, *, base: str = BASE) -> SignedRound:
    return record.begin(SignedRound(number, base, f"plan{number}"))


def include(record: SigningRecord, number: int, digest: str, sites: tuple[str, ...] = TEN) -> None:
    record.sign_inclusion(number, digest, sites, least=3)


def test_the_same_plan_may_be_shown_again_and_another_one_not(record: SigningRecord) -> None:
    assert begin(record, 3) == begin(record, 3)
    with pytest.raises(SignatureRefused, match="another plan of round 3"):
        record.begin(SignedRound(3, BASE, "another"))


def test_an_earlier_round_never_comes_back(record: SigningRecord) -> None:
    begin(record, 5)
    with pytest.raises(SignatureRefused, match="round 4 comes after round 5"):
        begin(record, 4)


@pytest.mark.parametrize("sign", [SigningRecord.sign_cohort, include])
def test_one_statement_of_a_kind_is_signed_in_a_round(
    tmp_path: Path, sign: Callable[[SigningRecord, int, str], None]
) -> None:
    record = SigningRecord(tmp_path)
    begin(record, 1)
    sign(record, 1, FIRST)
    sign(record, 1, FIRST)  # a repetition is no second statement
    restarted = SigningRecord(tmp_path)
    with pytest.raises(SignatureRefused, match="has co-signed another"):
        sign(restarted, 1, SECOND)
    begin(restarted, 2)
    sign(restarted, 2, SECOND)
    entry = restarted.of_round(1)
    assert entry is not None
    assert FIRST in (entry.cohort, entry.inclusion)


@pytest.mark.parametrize(
    "second", [TEN[1:], TEN[2:], (*TEN[:9], "site-x"), (*TEN, "site-x"), (*TEN, "site-x", "site-y")]
)
def test_sums_from_one_state_never_differ_in_few_sites(
    record: SigningRecord, second: tuple[str, ...]
) -> None:
    begin(record, 1)
    include(record, 1, FIRST)
    begin(record, 2)
    with pytest.raises(SignatureRefused, match=r"rounds 1 and 2 .* differ in [12] sites"):
        include(record, 2, SECOND, second)
    include(record, 2, THIRD)  # the same sites once more
    begin(record, 3, base=OTHER_BASE)
    include(record, 3, SECOND, second)


def test_a_second_set_may_differ_in_a_crowd_and_a_third_is_refused(record: SigningRecord) -> None:
    begin(record, 1)
    include(record, 1, FIRST)
    begin(record, 2)
    include(record, 2, SECOND, TEN[5:])
    begin(record, 3)
    with pytest.raises(SignatureRefused, match="third included set"):
        include(record, 3, THIRD, TEN[:5])
    include(record, 3, THIRD, TEN[5:])


def test_a_round_that_nobody_could_open_binds_no_later_one(record: SigningRecord) -> None:
    begin(record, 1)
    record.sign_cohort(1, FIRST)  # aborted before any included set was certified
    begin(record, 2)
    include(record, 2, SECOND, TEN[1:])


def test_what_is_committed_to_is_kept(tmp_path: Path) -> None:
    record = SigningRecord(tmp_path)
    begin(record, 1)
    record.commit(1, "cc" * 32, "dd" * 32)
    entry = SigningRecord(tmp_path).of_round(1)
    assert entry is not None
    assert entry.upload_root == "cc" * 32
    assert entry.shares_root == "dd" * 32


SESSION, OTHER_SESSION = "5e" * 32, "0e" * 32


def accepted(session: str = SESSION) -> dict[str, Any]:
    return {"type": "session.accepted", "session_hash": session}


def logged(number: int, *, base: str = BASE, included: tuple[str, ...] = TEN) -> list[Any]:
    """What a site logs of a round that it has gone through, and a look at its model."""
    return [
        {"type": "round.announced", "round": number, "state_hash": base},
        {
            "type": "round.planned",
            "round": number,
            "plan_hash": f"plan{number}",
            "base_state_hash": base,
        },
        {"type": "round.committed", "round": number, "upload_root": f"root{number}"},
        {"type": "cohort.signed", "round": number, "cohort_hash": f"cohort{number}"},
        {
            "type": "inclusion.signed",
            "round": number,
            "inclusion_hash": f"inclusion{number}",
            "included": list(included),
        },
        {"type": "aggregate.opened", "round": number, "model_hash": base},
    ]


def test_a_lost_record_comes_back_from_the_log_and_binds_as_before(record: SigningRecord) -> None:
    events = [accepted(), *logged(1), *logged(2)]
    assert record.restore(events, SESSION) == (1, 2)
    entry = record.of_round(2)
    assert entry == SignedRound(
        2, BASE, "plan2", "root2", "", "cohort2", "inclusion2", TEN, restored=True
    )
    with pytest.raises(SignatureRefused, match="what this site has signed in round 2 was lost"):
        begin(record, 2)
    with pytest.raises(SignatureRefused, match="round 0 comes after"):
        begin(record, 0)
    begin(record, 3)
    with pytest.raises(SignatureRefused, match=r"rounds [12] and 3 .* differ in 1 sites"):
        include(record, 3, THIRD, TEN[1:])
    include(record, 3, THIRD)
    assert record.restore(events, SESSION) == (), "nothing is missing any more"


def test_an_older_copy_is_brought_up_from_the_log(tmp_path: Path) -> None:
    record = SigningRecord(tmp_path)
    begin(record, 1)
    backup = (tmp_path / "signed.json").read_bytes()
    record.commit(1, "root1", "dd" * 32)
    record.sign_cohort(1, "cohort1")
    include(record, 1, "inclusion1")
    events = [accepted(), *logged(1)]
    assert record.restore(events, SESSION) == (), "a record that is whole stays as it is"
    (tmp_path / "signed.json").write_bytes(backup)
    assert record.restore(events, SESSION) == (1,)
    with pytest.raises(SignatureRefused, match="has co-signed another included set"):
        include(record, 1, SECOND)


def test_a_record_ahead_of_the_log_stays_as_it_is(record: SigningRecord) -> None:
    begin(record, 1)
    record.commit(1, "root1", "")
    assert record.restore([accepted(), *logged(1)[:2]], SESSION) == ()
    assert record.of_round(1) == SignedRound(1, BASE, "plan1", "root1")


def test_other_sessions_of_the_log_are_left_alone(record: SigningRecord) -> None:
    events = [accepted(OTHER_SESSION), *logged(1), accepted(), *logged(4), accepted(OTHER_SESSION)]
    assert record.restore([*events, *logged(9)], SESSION) == (4,)
