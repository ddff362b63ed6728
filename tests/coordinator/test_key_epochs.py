from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.coordinator.key_epochs import elect_maker, epoch_of_round
from fedmrg_secure.coordinator.ledger import KeyEpoch
from fedmrg_secure.protocol.messages import CohortMember

NAMES = ("alpha", "beta", "gamma")
COHORT = [CohortMember(name, bytes([i]) * 32, 1) for i, name in enumerate(NAMES)]
CURRENT = KeyEpoch(4, "beta", 10, NAMES, "roster", frozenset(NAMES))


def epoch(current: KeyEpoch | None = CURRENT, **changes: object) -> KeyEpoch:
    terms = {
        "session": bytes(32),
        "round_number": 12,
        "cohort": COHORT,
        "recipients": NAMES,
        "rotate_after": 5,
        "roster_hash": "roster",
    }
    return epoch_of_round(current, **{**terms, **changes})


def test_the_first_round_makes_the_first_key() -> None:
    made = epoch(None, round_number=1)
    assert (made.number, made.first_round, made.recipients) == (1, 1, NAMES)
    assert made.maker in NAMES
    assert not made.published


def test_a_key_serves_until_there_is_a_reason_for_a_new_one() -> None:
    assert epoch() == CURRENT
    assert epoch(round_number=14) == CURRENT
    reasons = (
        {"round_number": 15},  # it has served rotate_after rounds
        {"roster_hash": "newer"},
        {"cohort": [COHORT[0], COHORT[2]]},  # the maker is gone
        {"current": replace(CURRENT, published=frozenset(NAMES[:2]))},  # gamma never got it
    )
    for reason in reasons:
        assert epoch(**reason).number == 5, reason


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=3, max_size=3))
def test_the_maker_is_of_the_cohort_and_can_be_recomputed(nonces: list[bytes]) -> None:
    cohort = [replace(member, nonce=nonce) for member, nonce in zip(COHORT, nonces, strict=True)]
    maker = elect_maker(bytes(32), 3, cohort)
    assert maker in NAMES
    assert elect_maker(bytes(32), 3, cohort) == maker


def test_every_nonce_counts() -> None:
    makers = {
        elect_maker(bytes(32), 1, [*COHORT[:2], replace(COHORT[2], nonce=bytes([i]) * 32)])
        for i in range(40)
    }
    assert makers == set(NAMES)
