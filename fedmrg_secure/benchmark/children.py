"""Child processes that are started from several threads, and never outlive the one that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, TypeVar

ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}
_LAST_LINES: Final = 24

Work = TypeVar("Work")


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended.

    Attributes:
        code: its exit status; negative: the number of a signal.
        said: the last lines of its standard error.
        stopped: whether it was ended, or never started, because all were stopped.
    """

    code: int
    said: str
    stopped: bool


class Children:
    """The children of this process that are at work.

    Args:
        patience_s: how long a child that is stopped gets after SIGTERM before it is killed;
            0: it is killed at once.
    """

    def __init__(self, *, patience_s: float = 0.0) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None],
        *,
        request: str = "",
        environment: Mapping[str, str] | None = None,
        keep_open: Sequence[int] = (),
    ) -> End:
        """One child from start to end, on the calling thread.

        Args:
            arguments: of this process's interpreter.
            on_line: told every line of its standard output.
            request: a line for its standard input, which then stays open for as long as anybody
                waits: a child that watches it ends with this process.
            environment: on top of this process's own.
            keep_open: file descriptors that it inherits.
        """
        process = self._start(arguments, environment or {}, keep_open)
        if process is None:
            return End(0, "", stopped=True)
        with process:
            errors: deque[str] = deque(maxlen=_LAST_LINES)
            reader = threading.Thread(target=_read_errors, args=(process, errors), daemon=True)
            reader.start()
            _follow(process, request, on_line)
            code = process.wait()
            reader.join()
        with self._lock:
            self._processes.discard(process)
            return End(code, "\n".join(errors), self._stopped)

    def stop(self) -> None:
        """End every child, start no more, and return when all are gone."""
        with self._lock:
            self._stopped = True
            processes = list(self._processes)
        deadline = time.monotonic() + self._patience_s
        for process in processes if self._patience_s else ():
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(
        self, arguments: Sequence[str], environment: Mapping[str, str], keep_open: Sequence[int]
    ) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment},
                pass_fds=keep_open,
                # Ctrl-C reaches this process alone, which then ends its children.
                start_new_session=True,
            )
            self._processes.add(process)
            return process


def side_by_side(
    works: Sequence[Work], do: Callable[[Work], None], children: Children, *, at_once: int
) -> None:
    """Do every work on a thread, some at a time.

    Args:
        works: what to do, in this order.
        do: one of them; what it raises ends the others.
        children: that `do` starts; all are ended when one fails or this is interrupted.
        at_once: works at a time.

    Raises:
        Exception: the first that `do` has raised.
        KeyboardInterrupt: after every child was ended.
    """
    if not works:
        return
    with ThreadPoolExecutor(max_workers=at_once) as threads:
        running = [threads.submit(do, work) for work in works]
        try:
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
        except BaseException:
            children.stop()
            raise
        failures = [future.exception() for future in done if future.exception()]
        if failures:
            children.stop()
            raise failures[0] from None  # type: ignore[misc]


def _follow(process: subprocess.Popen[str], request: str, on_line: Callable[[str], None]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if request:
            process.stdin.write(request + "\n")
            process.stdin.flush()
    except BrokenPipeError:
        return  # it has ended; its exit code and its words say why
    for line in process.stdout:
        on_line(line.rstrip("\n"))


def _read_errors(process: subprocess.Popen[str], errors: deque[str]) -> None:
    assert process.stderr is not None
    errors.extend(line.rstrip() for line in process.stderr)
