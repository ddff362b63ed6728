"""Ends streams on which nothing moves: an idle time-out, not a total one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Cancellable(Protocol):
    """A gRPC call."""

    def cancel(self) -> object: ...


class IdleWatch:
    """Cancels a watched call once it has not moved for `idle_s` seconds, or as long as is said."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._due: dict[Cancellable, float] = {}  # when it is cancelled unless it moves
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="fedmrg-idle-watch", daemon=True).start()

    @contextmanager
    def watched(
        self, call: Cancellable, within_s: float | None = None
    ) -> Iterator[Callable[[], None]]:
        """Watch `call` while the block runs; the yielded function says that it has moved.

        Args:
            within_s: for how long it may stand still; `idle_s` if None, and never longer.
        """
        limit_s = self._idle_s if within_s is None else min(within_s, self._idle_s)

        def alive() -> None:
            with self._lock:
                self._due[call] = time.monotonic() + limit_s

        alive()
        try:
            yield alive
        finally:
            with self._lock:
                self._due.pop(call, None)

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(min(1.0, self._idle_s / 4)):
            now = time.monotonic()
            with self._lock:
                idle = [call for call, due in self._due.items() if due < now]
            for call in idle:
                call.cancel()
