"""Keeps one caller from using up what all of them share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fedmrg_secure.protocol.errors import TooManyCalls


class Turnstile:
    """Bounds each party's calls under way and calls a second (a token bucket).

    Args:
        most_at_a_time: calls of one party that run together.
        calls_per_s: sustained rate of one party.
        burst: calls that may come at once after a quiet time.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        most_at_a_time: int,
        calls_per_s: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most_at_a_time
        self._rate = calls_per_s
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._tokens: dict[str, tuple[float, float]] = {}  # tokens left, and when that was

    def enter(self, party: str) -> None:
        """Let a call in; `leave` must follow when it ends.

        Raises:
            TooManyCalls: the party has too many calls under way, or calls too often.
        """
        with self._lock:
            now = self._clock()
            tokens, since = self._tokens.get(party, (float(self._burst), now))
            tokens = min(self._burst, tokens + (now - since) * self._rate)
            running = self._running.get(party, 0)
            allowed = tokens >= 1 and running < self._most
            self._tokens[party] = (tokens - 1 if allowed else tokens, now)
            if not allowed:
                raise TooManyCalls(f"{party} calls too often, or has {running} calls under way")
            self._running[party] = running + 1

    def leave(self, party: str) -> None:
        """A call that was let in has ended."""
        with self._lock:
            self._running[party] -= 1
