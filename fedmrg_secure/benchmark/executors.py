"""Who does the runs of a sweep: processes of this machine, or Ray on one or many.

Both do a run by `sweep_runs.perform`, so a sweep may be begun by one and finished by the other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure.benchmark.children import Children, side_by_side
from fedmrg_secure.benchmark.pool import OnProgress
from fedmrg_secure.benchmark.sweep_runs import (
    STOP_PATIENCE_S,
    STOPPED,
    Outcome,
    SweepRun,
    perform,
)
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import InputError

_OBJECT_STORE_BYTES: Final = 128 * 2**20
"""Of a Ray of our own: what goes through it is a configuration and an error's text."""


class RayNotInstalled(InputError):
    """`--executor ray` needs the extra `ray`."""

    code: ClassVar[str] = "FMRG-8224"


def run_by_processes(
    runs: Sequence[SweepRun], *, replace: bool, at_once: int, on_progress: OnProgress
) -> list[Outcome]:
    """Do runs as children of this process; a failure leaves the others alone.

    Args:
        runs: to do, in this order.
        replace: see `perform`.
        at_once: runs at a time; each is several processes.
        on_progress: told from several threads.

    Raises:
        KeyboardInterrupt: after every run was stopped in order; each can go on.
    """
    children = Children(patience_s=STOP_PATIENCE_S)
    outcomes: list[Outcome] = []

    def do(run: SweepRun) -> None:
        def tell(share: float, doing: str) -> None:
            on_progress(run.name, share, doing)

        outcome = perform(run, replace=replace, children=children, on_line=tell)
        outcomes.append(outcome)
        if outcome.error != STOPPED:
            on_progress(run.name, 1.0, "failed" if outcome.error else "done")

    side_by_side(runs, do, children, at_once=at_once)
    return outcomes


def run_by_ray(
    runs: Sequence[SweepRun],
    *,
    replace: bool,
    at_once: int,
    processes: int,
    on_progress: OnProgress,
) -> list[Outcome]:
    """Do runs as Ray tasks: of the cluster that ``RAY_ADDRESS`` names, else of this machine.

    Every machine of a cluster has this package and sees the sweep's folder and the data at the same
    paths.

    Args:
        runs: to do, in this order.
        replace: see `perform`.
        at_once: runs at a time, as far as Ray finds cores for them.
        processes: cores that a run is worth, fewer where no machine has as many.
        on_progress: told when a run begins and ends.

    Raises:
        RayNotInstalled: without the extra.
        KeyboardInterrupt: after every run was stopped in order.
    """
    try:
        import ray
    except ImportError:
        raise RayNotInstalled(
            "Ray is not installed",
            hint="pip install 'fedmrg-secure[ray]', or leave --executor out",
        ) from None
    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray's makers would be told of it
    ours: dict[str, Any] = {
        "num_cpus": at_once * processes,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    ray.init(address=address or "local", log_to_driver=False, **({} if address else ours))
    running: dict[Any, SweepRun] = {}
    try:
        largest = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
        task = ray.remote(num_cpus=min(processes, largest), max_retries=0)(_perform_there)
        waiting, outcomes = list(runs), list[Outcome]()
        while waiting or running:
            while waiting and len(running) < at_once:
                run = waiting.pop(0)
                running[task.remote(_plain(run), str(Path.cwd()), replace)] = run
                on_progress(run.name, 0.0, "with Ray")
            (ended,), _ = ray.wait(list(running), num_returns=1)
            run, outcome = running.pop(ended), _outcome(ray, ended)
            outcomes.append(Outcome(run.name, outcome))
            on_progress(run.name, 1.0, "failed" if outcome else "done")
        return outcomes
    except KeyboardInterrupt:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=STOP_PATIENCE_S)
        raise
    finally:
        ray.shutdown()


def _outcome(ray: Any, reference: Any) -> str:
    """A task's error, or that of the machine it was on."""
    try:
        return str(ray.get(reference))
    except ray.exceptions.RayError as error:
        return f"Ray: {str(error).strip().splitlines()[0]}"


def _plain(run: SweepRun) -> tuple[str, str, str]:
    return run.point, run.config.model_dump_json(), str(run.folder.resolve())


def _perform_there(plain: tuple[str, str, str], started_in: str, replace: bool) -> str:
    """In a worker of Ray: do one run from the folder that the sweep was started in."""
    os.chdir(started_in)
    point, config, folder = plain
    run = SweepRun(point, RunConfig.model_validate_json(config, strict=True), Path(folder))
    children = Children(patience_s=STOP_PATIENCE_S)
    try:
        return perform(run, replace=replace, children=children, on_line=lambda *_: None).error
    finally:
        children.stop()
