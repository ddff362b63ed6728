"""Runs jobs in processes of their own, a few at a time; stops them all when it is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import ClassVar, Final

from fedmrg_secure.benchmark.jobs import Job, ResultFolder
from fedmrg_secure.core.errors import FedmrgError

OnProgress = Callable[[Job, float, str], None]
"""Told from any thread: the job, the share of it that is done, and what it is doing."""

_LAST_LINES: Final = 4
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}


class JobFailed(FedmrgError):
    """A job of the benchmark ended without a result."""

    code: ClassVar[str] = "FMRG-8215"


def run_jobs(
    jobs: Sequence[Job], folder: ResultFolder, *, at_once: int, on_progress: OnProgress
) -> None:
    """Run jobs until each has its result in the folder.

    The first failure ends the others; what was finished before is kept.

    Args:
        jobs: those without a result.
        folder: gets the results.
        at_once: processes at a time, each with one thread.
        on_progress: called from several threads.

    Raises:
        JobFailed: a job ended early; carries the end of its standard error.
        KeyboardInterrupt: after every process was ended.
    """
    if not jobs:
        return
    runner = _Runner(folder, on_progress)
    with ThreadPoolExecutor(max_workers=at_once) as threads:
        running = [threads.submit(runner.run, job) for job in jobs]
        try:
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
        except BaseException:
            runner.stop()
            raise
        failures = [future.exception() for future in done if future.exception()]
        if failures:
            runner.stop()
            raise failures[0] from None  # type: ignore[misc]


class _Runner:
    def __init__(self, folder: ResultFolder, on_progress: OnProgress) -> None:
        self._folder, self._on_progress = folder, on_progress
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, job: Job) -> None:
        """One job from start to end, on the calling thread."""
        process = self._start()
        if process is None:
            return
        with process:
            errors: list[str] = []
            reader = threading.Thread(target=self._read_errors, args=(process, errors), daemon=True)
            reader.start()
            self._follow(job, process)
            code = process.wait()
            reader.join()
        with self._lock:
            self._processes.discard(process)
            stopped = self._stopped
        if stopped:
            return
        if code != 0:
            said = "\n".join(errors[-_LAST_LINES:]) or "it said nothing"
            raise JobFailed(
                f"{job.name} ended with exit code {code}: {said}",
                hint="the same command goes on with what is left",
            )
        self._on_progress(job, 1.0, "done")

    def stop(self) -> None:
        """End every process and start no more."""
        with self._lock:
            self._stopped = True
            processes = list(self._processes)
        for process in processes:
            process.kill()

    def _start(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "fedmrg_secure.benchmark.job_process",
                    str(self._folder.root),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **ONE_THREAD},
                # Ctrl-C reaches this process alone, which then ends its children.
                start_new_session=True,
            )
            self._processes.add(process)
            return process

    def _follow(self, job: Job, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.to_json()) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended; its exit code and its words say why
        for line in process.stdout:
            message = json.loads(line)
            self._on_progress(job, message["share"], message["doing"])

    @staticmethod
    def _read_errors(process: subprocess.Popen[str], errors: list[str]) -> None:
        assert process.stderr is not None
        errors.extend(line.rstrip() for line in process.stderr)
