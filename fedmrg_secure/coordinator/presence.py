"""Who is alive: a site is lost after a silence longer than the session's time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable


class Presence:
    """When each site was last heard of.

    Args:
        timeout_s: silence after which a site is lost.
        start_grace_s: at most the same for a site that has not called since this process started.
        clock: monotonic seconds.

    A coordinator that starts again was itself the silent one, and the sites may be starting with
    it, which takes them a while. Once one has called, the others get as long again as that one
    took: a site that was killed meanwhile does not hold up the others for the whole grace.
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
        self._started = clock()
        self._grace_s = max(start_grace_s, timeout_s)
        self._first_after_s: float | None = None
        self._heard: dict[str, float] = {}

    def heard(self, site: str) -> None:
        """The site has called."""
        with self._lock:
            self._heard[site] = self._clock()
            if self._first_after_s is None:
                self._first_after_s = self._heard[site] - self._started

    def silent(self, sites: Iterable[str]) -> list[str]:
        """Those of `sites` whose silence exceeds the time-out."""
        limit = self._clock() - self._timeout_s
        with self._lock:
            allowed_s = self._grace_s - self._timeout_s
            if self._first_after_s is not None:
                allowed_s = min(allowed_s, 2 * self._first_after_s)
            unheard_since = self._started + allowed_s
            return [site for site in sites if self._heard.get(site, unheard_since) < limit]

    def awaited(self, sites: Iterable[str]) -> list[str]:
        """Those of `sites` that may still be starting: silent since the start, within the grace."""
        with self._lock:
            if self._clock() - self._started > self._grace_s:
                return []
            return [site for site in sites if site not in self._heard]
