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
    """Cancels a watched call once it has not moved for `idle_s` seconds."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._moved: dict[Cancellable, float] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="fedmrg-idle-watch", daemon=True).start()

    @contextmanager
    def watched(self, call: Cancellable) -> Iterator[Callable[[], None]]:
        """Watch `call` while the block runs; the yielded function says that it has moved."""

        def alive() -> None:
            with self._lock:
                self._moved[call] = time.monotonic()

        alive()
        try:
            yield alive
        finally:
            with self._lock:
                self._moved.pop(call, None)

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(min(1.0, self._idle_s / 4)):
            limit = time.monotonic() - self._idle_s
            with self._lock:
                idle = [call for call, moved in self._moved.items() if moved < limit]
            for call in idle:
                call.cancel()
