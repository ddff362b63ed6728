"""The whole of ``fedmrg sweep``: what is still to do, doing it, and what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.jobs import write_json
from fedmrg_secure.benchmark.sweep_file import Point, Sweep
from fedmrg_secure.benchmark.sweep_results import RunSummary, read_summary
from fedmrg_secure.benchmark.sweep_runs import (
    Outcome,
    State,
    SweepRun,
    differences,
    read_record,
    state_of,
)
from fedmrg_secure.benchmark.sweep_table import Finished, PointResults, make_points, make_rows
from fedmrg_secure.benchmark.tables import ALL, POOLED
from fedmrg_secure.benchmark.tasks import training_sites
from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.data.task import describe_task

SUMMARY: Final = "sweep.json"
RUNS: Final = "runs"
_SHOWN_CHANGES: Final = 3

Execute = Callable[[Sequence[SweepRun]], list[Outcome]]
"""Does runs and says how each ended."""


class RunsChanged(InputError):
    """The folder has runs of some points, made with another configuration."""

    code: ClassVar[str] = "FMRG-8226"


class UnknownCentre(InputError):
    """`utility.centre` is neither ``all`` nor ``pooled`` nor a centre of the data."""

    code: ClassVar[str] = "FMRG-8227"


class RunsFailed(FedmrgError):
    """Some runs of a sweep did not end; the others are shown."""

    code: ClassVar[str] = "FMRG-8228"


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A sweep that can start.

    Attributes:
        sweep: the file.
        points: those that are asked for.
        root: folder of the results.
        runs: every point under every seed; all points of a seed before the next seed.
        states: name of a run -> how far it is.
        sites: how many sites train in a run.
        replace: begin anew what is begun or changed.
    """

    sweep: Sweep
    points: tuple[Point, ...]
    root: Path
    runs: tuple[SweepRun, ...]
    states: dict[str, State]
    sites: int
    replace: bool

    @property
    def todo(self) -> tuple[SweepRun, ...]:
        """Runs that are not done."""
        return tuple(run for run in self.runs if self.states[run.name] != "done")

    @property
    def at_once(self) -> int:
        """Runs at a time where nobody says how many: a run keeps a core for every site busy."""
        return self.sweep.file.jobs or max(1, (os.cpu_count() or 1) // self.sites)


def plan_sweep(sweep: Sweep, points: Sequence[Point], root: Path, *, replace: bool) -> SweepPlan:
    """Work out the runs and how far each is.

    Args:
        sweep: from `load_sweep`.
        points: of it.
        root: folder of the results; need not exist.
        replace: let runs of another configuration be replaced.

    Raises:
        UnknownCentre: the utility is to be taken at a centre that is none.
        RunsChanged: without `replace`, a run in the folder was made with another configuration.
        DataError: the data cannot be read.
    """
    _require_centre(sweep)
    runs = tuple(
        SweepRun(point.name, config, root / RUNS / point.name / f"seed-{config.seed}")
        for configs in zip(*(point.configs for point in points), strict=True)
        for point, config in zip(points, configs, strict=True)
    )
    states = {run.name: state_of(run) for run in runs}
    changed = [run for run in runs if states[run.name] == "changed"]
    if changed and not replace:
        raise RunsChanged(
            "; ".join(f"{run.name} was made otherwise ({_changes(run)})" for run in changed),
            hint="--replace removes these runs and trains them anew; or choose another --out",
            location=str(root),
        )
    sites = max(len(training_sites(point.configs[0])) for point in points)
    return SweepPlan(sweep, tuple(points), root, runs, states, sites, replace)


def run_sweep(
    plan: SweepPlan, execute: Execute, *, command: str, executor: str, at_once: int
) -> dict[str, Any]:
    """Do what is left and write ``sweep.json``.

    Args:
        plan: from `plan_sweep`.
        execute: does the runs.
        command: what a person types to get this, kept in the result.
        executor: ``processes`` or ``ray``.
        at_once: runs at a time.

    Returns:
        What is in ``sweep.json``: ``points`` and ``rows`` (see `sweep_table`), and how it was made.

    Raises:
        SummaryUnreadable: a finished run's summary is broken.
    """
    failed = {each.name: each.error for each in execute(plan.todo) if each.error}
    results = [_results(plan, point, failed) for point in plan.points]
    utility = plan.sweep.file.utility
    first = plan.points[0].configs[0]
    summary = {
        "format": 1,
        "name": plan.sweep.file.name,
        "file": str(plan.sweep.path),
        "commands": [command],
        "version": __version__,
        "executor": executor,
        "runs_at_once": at_once,
        "synthetic": isinstance(first.data, PhantomData),
        "seeds": [config.seed for config in plan.points[0].configs],
        "sites": plan.sites,
        "axes": {
            axis: [x for x in labels if x in {point.settings[axis] for point in plan.points}]
            for axis, labels in plan.sweep.axes.items()
        },
        "metrics": list(utility.metrics),
        "centre": utility.centre,
        "points": make_points(results, metric=utility.metrics[0], centre=utility.centre),
        "rows": make_rows(results, metrics=utility.metrics, centre=utility.centre),
        "failed": [{"run": name, "error": error} for name, error in failed.items()],
    }
    write_json(plan.root / SUMMARY, summary)
    return summary


def _results(plan: SweepPlan, point: Point, failed: dict[str, str]) -> PointResults:
    finished = []
    for run in (run for run in plan.runs if run.point == point.name):
        summary: RunSummary | None = None
        if state_of(run) == "done":
            summary = read_summary(run.folder)
        record = read_record(run)
        finished.append(
            Finished(
                seed=run.config.seed,
                folder=run.folder.relative_to(plan.root).as_posix(),
                command=run.command,
                summary=summary,
                error=failed.get(run.name, ""),
                whole_clock=record is not None and record.attempts == 1,
            )
        )
    return PointResults(point.name, point.settings, point.configs[0], tuple(finished))


def _changes(run: SweepRun) -> str:
    found = differences(run)
    if not found:
        return "by another version of the program"
    more = len(found) - _SHOWN_CHANGES
    return ", ".join(found[:_SHOWN_CHANGES]) + (f" and {more} more" if more > 0 else "")


def _require_centre(sweep: Sweep) -> None:
    centre = sweep.file.utility.centre
    if centre in (ALL, POOLED):
        return
    task = describe_task(sweep.points[0].configs[0].data)
    known = (*task.participating, *task.unseen)
    if centre not in known:
        raise UnknownCentre(
            f"utility.centre is {centre!r}, which is no centre of the data",
            hint=f"all, pooled, or one of {', '.join(known)}",
            location=str(sweep.path),
        )
