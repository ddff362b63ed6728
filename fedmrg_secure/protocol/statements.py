"""The two statements that a round's sites certify, as they follow from its state.

A statement has one form for each state, so that everybody who knows the same commitments and the
same included sites arrives at the same hash.
"""

from __future__ import annotations

from functools import lru_cache

from fedmrg_secure.protocol.certified import Cohort, CommittedSite, Inclusion
from fedmrg_secure.protocol.errors import WrongPhase
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash
from fedmrg_secure.protocol.state import Commitment, RoundState


def cohort_of(round_state: RoundState) -> Cohort:
    """Who may be in the round's sum, and with which upload.

    Raises:
        WrongPhase: it is not fixed yet, or the round's sites make no keys of their own.
    """
    if not round_state.certified:
        raise _not_fixed(round_state)
    return _cohort(round_state.number, round_state.plan_hash, _commitments(round_state))


def inclusion_of(session: bytes, round_state: RoundState) -> Inclusion:
    """Whose uploads are added in the round.

    Args:
        session: the session's identifier, 32 bytes.

    Raises:
        WrongPhase: it is not fixed yet, or the round's sites make no keys of their own.
    """
    if not round_state.certified or not round_state.included:
        raise WrongPhase(f"round {round_state.number} has no included set to certify")
    return Inclusion(
        round_state.number,
        round_state.plan_hash,
        cohort_due(session, round_state),
        round_state.included,
    )


def cohort_due(session: bytes, round_state: RoundState) -> bytes:
    """What a `CoSignCohort` of this round must hold, 32 bytes; raises as `cohort_of`."""
    if not round_state.certified:
        raise _not_fixed(round_state)
    number, plan = round_state.number, round_state.plan_hash
    return _cohort_hash(session, number, plan, _commitments(round_state))


def inclusion_due(session: bytes, round_state: RoundState) -> bytes:
    """What a `CoSignInclusion` of this round must hold, 32 bytes; raises as `inclusion_of`."""
    return _inclusion_hash(session, inclusion_of(session, round_state))


_Commitments = tuple[tuple[str, Commitment], ...]


def _commitments(round_state: RoundState) -> _Commitments:
    return tuple((site, round_state.committed[site]) for site in round_state.certified)


def _not_fixed(round_state: RoundState) -> WrongPhase:
    return WrongPhase(f"round {round_state.number} has no cohort to certify")


# A statement is asked for in every call of its round, and hashing one of many sites takes a while.


@lru_cache(maxsize=4)
def _cohort(number: int, plan_hash: bytes, commitments: _Commitments) -> Cohort:
    committed = (CommittedSite(site, one.upload_root, one.digest) for site, one in commitments)
    return Cohort(number, plan_hash, tuple(committed))


@lru_cache(maxsize=4)
def _cohort_hash(session: bytes, number: int, plan_hash: bytes, commitments: _Commitments) -> bytes:
    return cohort_hash(session, _cohort(number, plan_hash, commitments))


_inclusion_hash = lru_cache(maxsize=4)(inclusion_hash)
