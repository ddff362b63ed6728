"""Where a session, a round and a site stand, in the wire's numbers."""

from __future__ import annotations

from enum import IntEnum


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


class Presence(IntEnum):
    """What the coordinator knows of an expected site."""

    EXPECTED = 1
    """has not accepted the session yet"""
    LIVE = 2
    """has accepted, and called within the manifest's time-out"""
    LOST = 3
    """has accepted and fallen silent; any call makes it LIVE again"""
