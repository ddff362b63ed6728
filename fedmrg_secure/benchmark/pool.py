"""Runs a benchmark's jobs in processes of their own; the first that fails ends the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from fedmrg_secure.benchmark.children import ONE_THREAD, Children, side_by_side
from fedmrg_secure.benchmark.jobs import Job, ResultFolder
from fedmrg_secure.core.errors import FedmrgError

OnProgress = Callable[[str, float, str], None]
"""Told from any thread: a job's name, the share of it that is done, and what it is doing."""

_LAST_LINES: Final = 4


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
    children = Children()

    def run(job: Job) -> None:
        def tell(line: str) -> None:
            message = json.loads(line)
            on_progress(job.name, message["share"], message["doing"])

        end = children.run(
            ["-m", "fedmrg_secure.benchmark.job_process", str(folder.root)],
            tell,
            request=json.dumps(job.to_json()),
            environment=ONE_THREAD,
        )
        if end.stopped:
            return
        if end.code != 0:
            said = "\n".join(end.said.splitlines()[-_LAST_LINES:]) or "it said nothing"
            raise JobFailed(
                f"{job.name} ended with exit code {end.code}: {said}",
                hint="the same command goes on with what is left",
            )
        on_progress(job.name, 1.0, "done")

    side_by_side(jobs, run, children, at_once=at_once)
