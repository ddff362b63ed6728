"""Polling the coordinator for how a round stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from fedmrg_secure.client.site import Site
from fedmrg_secure.protocol.messages import SessionStatus
from fedmrg_secure.protocol.phases import RoundPhase

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.2
_OVER: Final = (RoundPhase.CLOSED, RoundPhase.ABORTED)


def statuses(
    site: Site,
    round_number: int,
    *,
    ended: bool = True,
    longest_pause_s: float = _LONGEST_PAUSE_S,
) -> Iterator[SessionStatus]:
    """Poll until the round is over (or, with `ended` False, for ever); each status once.

    Often at first, for what only takes the other sites' next call, then ever less.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        status = site.status()
        if ended and (status.round != round_number or status.round_phase in _OVER):
            return
        yield status
        time.sleep(pause_s)
        pause_s = min(1.3 * pause_s, longest_pause_s)


def reaches(site: Site, round_number: int, phase: RoundPhase) -> bool:
    """Wait until an open round has come as far as `phase`; False if it is over before."""
    return any(status.round_phase.has_reached(phase) for status in statuses(site, round_number))
