"""The whole of ``fedmrg bench model``: what is still to do, doing it, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure.benchmark.communication import communication_rows
from fedmrg_secure.benchmark.jobs import Job, JobResult, ResultFolder, Split, make_jobs, write_json
from fedmrg_secure.benchmark.methods import METHODS, REFERENCE, Method
from fedmrg_secure.benchmark.pool import OnProgress, run_jobs
from fedmrg_secure.benchmark.reaching import bytes_to_reach
from fedmrg_secure.benchmark.tables import make_rows
from fedmrg_secure.benchmark.tasks import BenchmarkTask, training_sites
from fedmrg_secure.benchmark.tuned import tuned_values
from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.core.errors import InputError

SUMMARY: Final = "benchmark.json"
_SAMPLES_PER_CENTRE: Final = 2
_REPORTS_SHOWN_OF: Final = (REFERENCE, "fedmrg")


class NothingToJudge(InputError):
    """No centre has records of the split that is to be judged."""

    code: ClassVar[str] = "FMRG-8216"


@dataclass(frozen=True, slots=True)
class Plan:
    """A benchmark that can start.

    Attributes:
        task: what all methods have in common.
        methods: in the order of the tables.
        jobs: every method under every seed.
        todo: those without a result in the folder, one of each set of equal ones.
        folder: of the results.
        sites: that train.
    """

    task: BenchmarkTask
    methods: tuple[Method, ...]
    jobs: tuple[Job, ...]
    todo: tuple[Job, ...]
    folder: ResultFolder
    sites: tuple[str, ...]

    @property
    def trainings(self) -> int:
        """Different jobs."""
        return len({job.training for job in self.jobs})


def plan_benchmark(
    task: BenchmarkTask,
    methods: Sequence[Method],
    root: Path,
    *,
    seeds: int,
    split: Split,
    curve_every: int | None,
) -> Plan:
    """Work out the jobs and which of them have been done.

    Args:
        task: from `load_task`.
        methods: from `choose_methods`.
        root: folder of the results; need not exist.
        seeds: how many.
        split: which records are judged.
        curve_every: rounds between points of the score curve; None: `evaluation.every`, and none
            on the validation split.

    Raises:
        InputError: data or configuration; ResultUnreadable: an old result is broken.
    """
    sites = training_sites(task.base)
    if curve_every is None:
        curve_every = task.base.evaluation.every if split == "test" else 0
    jobs = make_jobs(
        task, methods, seeds=seeds, sites=len(sites), split=split, curve_every=curve_every
    )
    folder = ResultFolder(root)
    done = {job.training for job in jobs if folder.read(job) is not None}
    left = {job.training: job for job in reversed(jobs) if job.training not in done}
    todo = tuple(job for job in jobs if left.get(job.training) is job)
    return Plan(task, tuple(methods), jobs, todo, folder, sites)


def run_benchmark(
    plan: Plan, *, at_once: int, resamples: int, command: str, on_progress: OnProgress
) -> dict[str, Any]:
    """Do what is left and write ``benchmark.json``.

    Args:
        plan: from `plan_benchmark`.
        at_once: processes at a time.
        resamples: draws of the bootstrap.
        command: what a person types to get this, kept in the result.
        on_progress: told of every job.

    Returns:
        What is in ``benchmark.json``: ``rows`` (see `tables.make_rows`), ``communication``,
        ``reaching``, ``methods``, ``samples``, ``curves`` and how it was made.

    Raises:
        JobFailed: a job ended early.
        NothingToJudge: no centre has such records.
    """
    run_jobs(plan.todo, plan.folder, at_once=at_once, on_progress=on_progress)
    results = _collect(plan)
    ordered = {name: results[name] for name in METHODS if name in results}
    example = next(iter(ordered.values()))[0]
    if not example.centres:
        raise NothingToJudge(
            f"no centre has {example.split} records", hint="check the data's splits"
        )
    communication = communication_rows(plan.task.base, sites=len(plan.sites))
    summary = {
        "format": 1,
        "task": plan.task.name,
        "split": example.split,
        "commands": [command],
        "versions": dict(example.versions),
        "seeds": sorted({job.config.seed for job in plan.jobs}),
        "resamples": resamples,
        "reference": REFERENCE if REFERENCE in ordered else None,
        "synthetic": isinstance(plan.task.base.data, PhantomData),
        "sites": list(plan.sites),
        "training_records": dict(example.training_records),
        "centres": [
            {"name": c.name, "title": c.title, "role": c.role, "records": len(c.records)}
            for c in example.centres
        ],
        "methods": [_method(plan, name, found) for name, found in ordered.items()],
        "rows": make_rows(ordered, resamples=resamples),
        "communication": communication,
        "reaching": bytes_to_reach(ordered, communication),
        "curves": _curves(ordered),
        "samples": _samples(ordered),
    }
    write_json(plan.folder.root / SUMMARY, summary)
    return summary


def _collect(plan: Plan) -> dict[str, list[JobResult]]:
    """Method -> its results, by seed; equal jobs share one."""
    trained: dict[str, JobResult] = {}
    for job in plan.jobs:
        if (found := plan.folder.read(job)) is not None:
            trained.setdefault(job.training, found)
    results: dict[str, list[JobResult]] = {}
    for job in plan.jobs:
        result = replace(trained[job.training], method=job.method)
        results.setdefault(job.method, []).append(result)
    return results


def _method(plan: Plan, name: str, found: Sequence[JobResult]) -> dict[str, Any]:
    """How a method was run and what it cost, for the page's notes."""
    method, first = METHODS[name], found[0]
    return {
        "name": name,
        "summary": method.summary,
        "scope": method.scope,
        "definition": dict(method.definition),
        "tuned": dict(tuned_values(plan.task.name, method)),
        "factorization": first.config["update"]["factorization"],
        "rank": first.config["update"]["rank"],
        "rounds": first.rounds,
        "passes": first.passes,
        "values_sent": first.values_sent,
        "total_values": first.total_values,
        "uplink_bytes": first.uplink_bytes,
        "train_s": [result.train_s for result in found],
        "wall_s": [result.wall_s for result in found],
        "mixes": [dict(result.mixes) for result in found],
    }


def _curves(results: dict[str, list[JobResult]]) -> dict[str, list[list[dict[str, Any]]]]:
    """Method -> one curve a seed."""
    return {
        name: [[dict(point) for point in result.curve] for result in found]
        for name, found in results.items()
        if found[0].curve
    }


def _samples(results: dict[str, list[JobResult]]) -> list[dict[str, Any]]:
    """The first records of every centre with what the first seed of each method wrote."""
    shown = [name for name in _REPORTS_SHOWN_OF if name in results] or list(results)[:1]
    centres = results[shown[0]][0].centres
    samples = []
    for place, centre in enumerate(centres):
        for index, record in enumerate(centre.records[:_SAMPLES_PER_CENTRE]):
            written = {
                name: results[name][0].centres[place].written[0].reports[index] for name in shown
            }
            samples.append(
                {
                    "centre": centre.name,
                    "title": centre.title,
                    "role": centre.role,
                    "record": record,
                    "reference": centre.references[index],
                    "written": written,
                }
            )
    return samples
