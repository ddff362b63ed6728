"""Who is alive: a site is lost after a silence longer than the session's time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable


class Presence:
    """When each site was last heard of.

    Args:
        timeout_s: silence after which a site is lost.
        start_grace_s: the same for a site that has not called since this process started.
        clock: monotonic seconds.

    A coordinator that starts again was itself the silent one, and the sites may be starting with
    it, which takes them a while.
    """

    def __init__(
        self,
        timeout_s: float,
        start_grace_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._unheard_since = clock() + max(0.0, start_grace_s - timeout_s)
        self._heard: dict[str, float] = {}

    def heard(self, site: str) -> None:
        """The site has called."""
        with self._lock:
            self._heard[site] = self._clock()

    def silent(self, sites: Iterable[str]) -> list[str]:
        """Those of `sites` whose silence exceeds the time-out."""
        limit = self._clock() - self._timeout_s
        with self._lock:
            return [site for site in sites if self._heard.get(site, self._unheard_since) < limit]
