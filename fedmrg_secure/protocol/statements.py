"""The two statements that a round's sites certify, as they follow from its state.

A statement has one form for each state, so that everybody who knows the same commitments and the
same included sites arrives at the same hash.
"""

from __future__ import annotations

from fedmrg_secure.protocol.certified import Cohort, CommittedSite, Inclusion
from fedmrg_secure.protocol.errors import WrongPhase
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash
from fedmrg_secure.protocol.state import RoundState


def cohort_of(round_state: RoundState) -> Cohort:
    """Who may be in the round's sum, and with which upload.

    Raises:
        WrongPhase: it is not fixed yet, or the round's sites make no keys of their own.
    """
    if not round_state.certified:
        raise WrongPhase(f"round {round_state.number} has no cohort to certify")
    return Cohort(
        round_state.number,
        round_state.plan_hash,
        tuple(
            CommittedSite(
                site,
                round_state.committed[site].upload_root,
                round_state.committed[site].digest,
            )
            for site in round_state.certified
        ),
    )


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
    return cohort_hash(session, cohort_of(round_state))


def inclusion_due(session: bytes, round_state: RoundState) -> bytes:
    """What a `CoSignInclusion` of this round must hold, 32 bytes; raises as `inclusion_of`."""
    return inclusion_hash(session, inclusion_of(session, round_state))
