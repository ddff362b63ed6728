"""Where a session, a round and a site stand, in the wire's numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class SessionPhase(IntEnum):
    """Where a session stands; FINISHED and FAILED are final."""

    JOINING = 1
    RUNNING = 2
    FINISHED = 3
    FAILED = 4


class RoundPhase(IntEnum):
    """Where a round stands; NONE only before the first round, CLOSED and ABORTED are final."""

    NONE = 0
    ANNOUNCING = 1
    UPLOADING = 2
    AGGREGATING = 3
    AGGREGATED = 4
    CLOSED = 5
    ABORTED = 6
    COMMITTING = 7
    CERTIFYING = 8
    INCLUDING = 9

    def has_reached(self, other: RoundPhase) -> bool:
        """Whether a round in this phase has come as far as `other`; an aborted one never has."""
        return _ORDER.get(self, -1) >= _ORDER[other]


_ORDER: Final = {
    phase: place
    for place, phase in enumerate(
        (
            RoundPhase.ANNOUNCING,
            RoundPhase.COMMITTING,
            RoundPhase.CERTIFYING,
            RoundPhase.UPLOADING,
            RoundPhase.INCLUDING,
            RoundPhase.AGGREGATING,
            RoundPhase.AGGREGATED,
            RoundPhase.CLOSED,
        )
    )
}


class Presence(IntEnum):
    """What the coordinator knows of an expected site."""

    EXPECTED = 1
    """has not accepted the session yet"""
    LIVE = 2
    """has accepted, and called within the manifest's time-out"""
    LOST = 3
    """has accepted and fallen silent; any call makes it LIVE again"""
