"""Which shared key a round uses and who makes it. The coordinator sees sealed copies only."""

from __future__ import annotations

from collections.abc import Sequence

from fedmrg_secure.coordinator.ledger import KeyEpoch
from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.protocol.hashes import KEY_MAKER_TAG
from fedmrg_secure.protocol.messages import CohortMember


def epoch_of_round(
    current: KeyEpoch | None,
    *,
    session: bytes,
    round_number: int,
    cohort: Sequence[CohortMember],
    recipients: Sequence[str],
    rotate_after: int,
    roster_hash: str,
) -> KeyEpoch:
    """The key epoch that a new round uses: the current one, or a new one.

    A new key is made when there is none; when the current one has served `rotate_after` rounds;
    when the roster has changed; when a site of the cohort never got it; and when its maker is not
    in the cohort.

    Args:
        recipients: the sites in good standing, to all of which a new key is sealed: a site that
            comes late can then open the sums of the rounds it missed.
    """
    names = {member.site for member in cohort}
    if (
        current is not None
        and round_number - current.first_round < rotate_after
        and current.roster_hash == roster_hash
        and names <= current.published
        and current.maker in names
    ):
        return current
    return KeyEpoch(
        number=current.number + 1 if current else 1,
        maker=elect_maker(session, round_number, cohort),
        first_round=round_number,
        recipients=tuple(sorted(recipients)),
        roster_hash=roster_hash,
    )


def elect_maker(session: bytes, round_number: int, cohort: Sequence[CohortMember]) -> str:
    """The cohort's site that all nonces together point to; anybody can recompute it."""
    digest = tagged_hash(
        KEY_MAKER_TAG,
        session,
        round_number.to_bytes(4, "big"),
        *(part for member in cohort for part in (member.site.encode(), member.nonce)),
    )
    return cohort[int.from_bytes(digest, "big") % len(cohort)].site
