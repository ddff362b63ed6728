"""A site signs one statement of a kind a round, whatever it is asked, also after a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.client.signing_record import SignatureRefused, SignedRound, SigningRecord
from fedmrg_secure.protocol.quorum import Quorum

QUORUM = Quorum(colluders=1)
BASE, OTHER_BASE = "aa" * 32, "bb" * 32
FIRST, SECOND, THIRD = "01" * 32, "02" * 32, "03" * 32


@pytest.fixture
def record(tmp_path: Path) -> SigningRecord:
    return SigningRecord(tmp_path, QUORUM)


TEN = tuple(f"site-{place}" for place in range(10))


def begin(
    record: SigningRecord,
    number: int,
    *,
    base: str = BASE,
    sites: tuple[str, ...] = TEN,
) -> SignedRound:
    return record.begin(SignedRound(number, base, f"plan{number}", sites=sites))


def send(record: SigningRecord, number: int) -> None:
    record.commit(number, "cc" * 32, "dd" * 32)
    record.send(number)


def include(record: SigningRecord, number: int, digest: str, sites: tuple[str, ...] = TEN) -> None:
    record.sign_inclusion(number, digest, sites)


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
    record = SigningRecord(tmp_path, QUORUM)
    begin(record, 1)
    sign(record, 1, FIRST)
    sign(record, 1, FIRST)  # a repetition is no second statement
    restarted = SigningRecord(tmp_path, QUORUM)
    with pytest.raises(SignatureRefused, match="has co-signed another"):
        sign(restarted, 1, SECOND)
    begin(restarted, 2)
    sign(restarted, 2, SECOND)
    entry = restarted.of_round(1)
    assert entry is not None
    assert FIRST in (entry.cohort, entry.inclusion)


@pytest.mark.parametrize("second", [TEN[1:], TEN[5:], (*TEN[:9], "site-x"), (*TEN, "site-x")])
def test_from_one_state_one_included_set_is_signed(
    record: SigningRecord, second: tuple[str, ...]
) -> None:
    begin(record, 1)
    include(record, 1, FIRST)
    begin(record, 2)
    with pytest.raises(SignatureRefused, match="rounds 1 and 2 have the same updates"):
        include(record, 2, SECOND, second)
    include(record, 2, THIRD)  # the same sites once more
    begin(record, 3, base=OTHER_BASE)
    include(record, 3, SECOND, second)


@pytest.mark.parametrize(
    ("second", "sound"),
    [(TEN, True), (TEN[1:], True), (TEN[2:], False), (TEN[5:], False), ((*TEN, "site-x"), True)],
)
def test_what_was_sent_goes_into_no_cohort_that_others_could_certify_alone(
    record: SigningRecord, second: tuple[str, ...], sound: bool
) -> None:
    begin(record, 1)  # t = 6 of 10; with T = 1 two certificates need 12 of 10 signers
    send(record, 1)
    if sound:
        begin(record, 2, sites=second)
    else:
        with pytest.raises(SignatureRefused, match="sent its update in round 1"):
            begin(record, 2, sites=second)
    begin(record, 3, base=OTHER_BASE, sites=second)


def test_before_the_upload_nothing_binds_a_later_cohort(record: SigningRecord) -> None:
    begin(record, 1)
    record.commit(1, "cc" * 32, "dd" * 32)
    record.sign_cohort(1, FIRST)
    begin(record, 2, sites=TEN[5:])
    include(record, 2, SECOND, TEN[5:])


def test_every_earlier_cohort_counts(record: SigningRecord) -> None:
    begin(record, 1)
    send(record, 1)
    begin(record, 2, sites=TEN[1:])
    send(record, 2)
    with pytest.raises(SignatureRefused, match="sent its update in round 1"):
        begin(record, 3, sites=TEN[2:])


def test_nothing_is_signed_in_a_round_that_is_not_the_one_in_hand(record: SigningRecord) -> None:
    begin(record, 1, base=OTHER_BASE)
    begin(record, 2)
    for sign in (
        lambda: record.commit(1, "cc" * 32, "dd" * 32),
        lambda: record.send(1),
        lambda: record.sign_cohort(1, FIRST),
        lambda: include(record, 1, FIRST),
        lambda: include(record, 3, FIRST),
    ):
        with pytest.raises(SignatureRefused, match="not the one that this site takes part in"):
            sign()


def test_rounds_from_the_present_state_are_never_forgotten(record: SigningRecord) -> None:
    begin(record, 1)
    send(record, 1)
    include(record, 1, FIRST)
    for number in range(2, 150):
        begin(record, number)
    with pytest.raises(SignatureRefused, match="rounds 1 and 149 have the same updates"):
        include(record, 149, SECOND, TEN[1:])
    with pytest.raises(SignatureRefused, match="sent its update in round 1"):
        begin(record, 150, sites=TEN[2:])
    for number in range(150, 300):
        begin(record, number, base=OTHER_BASE)
    begin(record, 300, base="cc" * 32)
    assert record.of_round(1) is None, "the record is bounded"


def test_what_is_committed_to_is_kept(tmp_path: Path) -> None:
    record = SigningRecord(tmp_path, QUORUM)
    begin(record, 1)
    record.commit(1, "cc" * 32, "dd" * 32)
    entry = SigningRecord(tmp_path, QUORUM).of_round(1)
    assert entry is not None
    assert entry.upload_root == "cc" * 32
    assert entry.shares_root == "dd" * 32
    record.commit(1, "cc" * 32, "dd" * 32)
    for other in (("c0" * 32, "dd" * 32), ("cc" * 32, "d0" * 32)):
        with pytest.raises(SignatureRefused, match="committed to another update in round 1"):
            record.commit(1, *other)


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
            "cohort": list(TEN),
        },
        {"type": "round.committed", "round": number, "upload_root": f"root{number}"},
        {"type": "cohort.signed", "round": number, "cohort_hash": f"cohort{number}"},
        {"type": "upload.sent", "round": number, "upload_root": f"root{number}"},
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
        2,
        BASE,
        "plan2",
        "root2",
        "",
        "cohort2",
        "inclusion2",
        TEN,
        restored=True,
        sites=TEN,
        sent="root2",
    )
    with pytest.raises(SignatureRefused, match="what this site has signed in round 2 was lost"):
        begin(record, 2)
    with pytest.raises(SignatureRefused, match="round 0 comes after"):
        begin(record, 0)
    with pytest.raises(SignatureRefused, match="not the one that this site takes part in"):
        record.commit(2, "root2", "dd" * 32)
    with pytest.raises(SignatureRefused, match="sent its update in round 1"):
        begin(record, 3, sites=TEN[2:])
    begin(record, 3)
    with pytest.raises(SignatureRefused, match=r"rounds [12] and 3 have the same updates"):
        include(record, 3, THIRD, TEN[1:])
    include(record, 3, THIRD)
    assert record.restore(events, SESSION) == (), "nothing is missing any more"


def test_an_older_copy_is_brought_up_from_the_log(tmp_path: Path) -> None:
    record = SigningRecord(tmp_path, QUORUM)
    begin(record, 1)
    backup = (tmp_path / "signed.json").read_bytes()
    record.commit(1, "root1", "dd" * 32)
    record.sign_cohort(1, "cohort1")
    record.send(1)
    include(record, 1, "inclusion1")
    events = [accepted(), *logged(1)]
    assert record.restore(events, SESSION) == (), "a record that is whole stays as it is"
    (tmp_path / "signed.json").write_bytes(backup)
    assert record.restore(events, SESSION) == (1,)
    with pytest.raises(SignatureRefused, match="not the one that this site takes part in"):
        include(record, 1, SECOND)


def test_a_record_ahead_of_the_log_stays_as_it_is(record: SigningRecord) -> None:
    begin(record, 1)
    record.commit(1, "root1", "")
    assert record.restore([accepted(), *logged(1)[:2]], SESSION) == ()
    assert record.of_round(1) == SignedRound(1, BASE, "plan1", "root1", sites=TEN)


def test_other_sessions_of_the_log_are_left_alone(record: SigningRecord) -> None:
    events = [accepted(OTHER_SESSION), *logged(1), accepted(), *logged(4), accepted(OTHER_SESSION)]
    assert record.restore([*events, *logged(9)], SESSION) == (4,)
