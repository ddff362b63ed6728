"""Who is alive: a site is lost after a silence longer than the session's time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable


class Presence:
    """When each site was last heard of.

    Args:
        timeout_s: silence after which a site is lost.
        clock: monotonic seconds.

    A coordinator that starts again gives every site the full time-out: it was itself the silent
    one.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._started = clock()
        self._heard: dict[str, float] = {}

    def heard(self, site: str) -> None:
        """The site has called."""
        with self._lock:
            self._heard[site] = self._clock()

    def silent(self, sites: Iterable[str]) -> list[str]:
        """Those of `sites` whose silence exceeds the time-out."""
        limit = self._clock() - self._timeout_s
        with self._lock:
            return [site for site in sites if self._heard.get(site, self._started) < limit]
