"""The child processes of a federation on one machine: start, listen, restart, stop, measure."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import psutil

STOP_PATIENCE_S: Final = 15.0
_STDERR_LINES: Final = 40
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Sites share the machine's cores; `training.threads` asks for more where that helps."""


@dataclass(frozen=True)
class ChildEvent:
    """Something a child said on stdout (a line each), or its end.

    Attributes:
        child: the child's name.
        fields: the JSON object; ``{"event": "line", "text": ...}`` for any other line; at the end
            ``{"event": "exited", "code": exit status}``, negative for a signal's number.
    """

    child: str
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.fields.get("event", ""))


@dataclass
class Child:
    """One child process; its stderr's last lines are kept for the error message."""

    name: str
    arguments: tuple[str, ...]
    process: subprocess.Popen[str]
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=_STDERR_LINES))
    readers: tuple[threading.Thread, ...] = ()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def error_text(self) -> str:
        """The last lines of stderr, joined."""
        return "\n".join(self.errors)


class ProcessGroup:
    """Children of this process that never outlive it.

    Every child runs `fedmrg` in a session of its own, so that Ctrl-C reaches only this process,
    which then stops them in order. A child watches its stdin (`FEDMRG_SUPERVISED`) and ends when
    this process is gone, however it went.

    Args:
        log_folder: where each child's stderr is kept, as ``NAME.log``.
    """

    def __init__(self, log_folder: Path) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._log_folder = log_folder
        self._children: dict[str, Child] = {}
        self._events: queue.Queue[ChildEvent] = queue.Queue()
        self._put_aside: deque[ChildEvent] = deque()
        self.peak_memory_bytes = 0

    def start(self, name: str, arguments: Sequence[str]) -> Child:
        """Start ``fedmrg ARGUMENTS`` as child `name`; a name is reused only after its end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "fedmrg_secure.cli.main", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **_ONE_THREAD, "FEDMRG_SUPERVISED": "1"},
        )
        child = Child(name, tuple(arguments), process)
        assert process.stdout is not None
        assert process.stderr is not None
        child.readers = (
            threading.Thread(target=self._read_events, args=(child, process.stdout), daemon=True),
            threading.Thread(target=self._read_errors, args=(child, process.stderr), daemon=True),
        )
        for reader in child.readers:
            reader.start()
        self._children[name] = child
        return child

    def child(self, name: str) -> Child:
        return self._children[name]

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(name for name, child in self._children.items() if child.running)

    def next_event(self, timeout_s: float, of: str | None = None) -> ChildEvent | None:
        """The next thing a child said, its end included; None after `timeout_s` of silence.

        Args:
            timeout_s: how long to wait.
            of: only this child's words; what others say meanwhile is kept for later calls.
        """
        self._measure_memory()
        for event in self._put_aside:
            if of is None or event.child == of:
                self._put_aside.remove(event)
                return event
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if of is None or event.child == of:
                return event
            self._put_aside.append(event)

    def stop(self, names: Sequence[str] | None = None) -> None:
        """End children politely (SIGTERM), then for certain (SIGKILL) after a patience."""
        chosen = [
            child
            for name, child in self._children.items()
            if child.running and (names is None or name in names)
        ]
        for child in chosen:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE_S
        for child in chosen:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)
                child.process.wait()

    def _read_events(self, child: Child, stdout: IO[str]) -> None:
        for line in stdout:
            self._events.put(ChildEvent(child.name, _fields(line)))
        code = child.process.wait()
        self._events.put(ChildEvent(child.name, {"event": "exited", "code": code}))

    def _read_errors(self, child: Child, stderr: IO[str]) -> None:
        with (self._log_folder / f"{child.name}.log").open("a", encoding="utf-8") as log:
            for line in stderr:
                child.errors.append(line.rstrip())
                log.write(line)
                log.flush()

    def _measure_memory(self) -> None:
        total = 0
        for process in [psutil.Process(), *self._psutil_children()]:
            try:
                # Shared libraries are counted once a process: an upper bound on what is used.
                total += process.memory_info().rss
            except psutil.Error:
                continue
        self.peak_memory_bytes = max(self.peak_memory_bytes, total)

    def _psutil_children(self) -> list[psutil.Process]:
        found = []
        for child in self._children.values():
            if child.running:
                try:
                    found.append(psutil.Process(child.process.pid))
                except psutil.Error:
                    continue
        return found


def _fields(line: str) -> dict[str, Any]:
    """A JSON object as it is, anything else as an event of kind ``line``."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {"event": "line", "text": line.rstrip()}


def _signal_group(child: Child, number: signal.Signals) -> None:
    try:
        os.killpg(child.process.pid, number)
    except ProcessLookupError:
        return
