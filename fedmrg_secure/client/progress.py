"""What a site says of its work while it works: JSON lines on stdout, for people and supervisors."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

_STEP_PAUSE_S: Final = 0.3


class ProgressLines:
    """Writes one JSON object a line; safe from several threads.

    The lines stay on this machine: a loss never goes to the coordinator.

    Args:
        stream: where to; stdout by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._lock = threading.Lock()
        self._last_step = 0.0
        self.phase = "starting"

    def emit(self, event: str, **fields: Any) -> None:
        """One line; a reader that has gone away is not an error."""
        line = json.dumps({"event": event, **fields})
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                return

    def enter(self, phase: str, round_number: int) -> None:
        """A new phase of the round has begun."""
        self.phase = phase
        self.emit("phase", phase=phase, round=round_number)

    def step(self, step: int, steps: int, loss: float | None) -> None:
        """A training step is done; only some a second are told."""
        if step == steps or time.monotonic() - self._last_step >= _STEP_PAUSE_S:
            self._last_step = time.monotonic()
            self.emit("step", step=step, steps=steps, loss=loss)

    def batch(self, begun: int, batches: int) -> None:
        """A batch without training is begun; only some a second are told."""
        if begun == batches or time.monotonic() - self._last_step >= _STEP_PAUSE_S:
            self._last_step = time.monotonic()
            self.emit("batch", done=begun, total=batches)

    def transfer(self, done: int, total: int) -> None:
        """Bytes moved so far; only some a second are told."""
        if done >= total or time.monotonic() - self._last_step >= _STEP_PAUSE_S:
            self._last_step = time.monotonic()
            self.emit("transfer", done=done, total=total)


class Stopwatch:
    """Wall seconds by phase; a phase within another counts for itself alone. Of one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within = 0.0
        """of the phase under way: seconds of the phases measured inside it"""

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        outer, self._within = self._within, 0.0
        started = time.monotonic()
        try:
            yield
        finally:
            elapsed = time.monotonic() - started
            own = elapsed - self._within
            self.seconds[phase] = self.seconds.get(phase, 0.0) + own
            self._within = outer + elapsed
