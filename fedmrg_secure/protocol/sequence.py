"""Sequence numbers: no two messages of a party in a session bear the same one."""

from __future__ import annotations

import threading
import time


class Sequence:
    """Strictly ascending numbers that also ascend across restarts, as long as the clock does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """The next number: nanoseconds of the clock, or one more than the last."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last
