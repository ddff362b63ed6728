"""``fedmrg sweep``: what privacy, rank, encryption or method cost, over a grid of whole runs."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedmrg_secure.cli.output import JsonOption, Output, SetOption, human_bytes, typed_command
from fedmrg_secure.cli.progress import TrainingProgress

if TYPE_CHECKING:
    from fedmrg_secure.benchmark.sweep import Execute, SweepPlan

_STATES: Final = {
    "new": "to do",
    "begun": "half done",
    "done": "done",
    "changed": "of another configuration",
}


class Executor(StrEnum):
    """Who does the runs."""

    processes = "processes"
    ray = "ray"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep")(sweep)


def sweep(
    config: Annotated[Path, typer.Argument(help="The sweep's YAML file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results.", show_default="runs/sweep-NAME")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Runs at a time.", show_default="cores over sites, at least 1"
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=100, help="Runs of each point.", show_default="file's")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="AXIS=VALUE,...",
            help="Run and show these values of an axis alone. Repeatable.",
            show_default=False,
        ),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="List the runs and how far each is; start nothing.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Begin half runs, and runs of another configuration, anew; removes their folders.",
        ),
    ] = False,
    executor: Annotated[
        Executor, typer.Option(help="ray: on the cluster of RAY_ADDRESS, or a local one.")
    ] = Executor.processes,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every point of a grid under several seeds and show what it costs and brings.

    Each run is a whole `fedmrg run` in a folder of its own, with its own report. The same command
    goes on where an interrupted one stopped; a run that fails leaves the others alone. sweep.html
    in the folder has utility against epsilon with intervals, fronts, bytes and time; every point
    links to its run.

    Examples:

      fedmrg sweep configs/sweeps/privacy_utility.yaml --plan

      fedmrg sweep configs/sweeps/privacy_utility.yaml --jobs 2

      fedmrg sweep configs/sweeps/privacy_utility.yaml --only epsilon=inf,8 --seeds 1 --json
    """
    from fedmrg_secure.benchmark.sweep import RunsFailed, plan_sweep, run_sweep
    from fedmrg_secure.benchmark.sweep_file import choose_points, load_sweep
    from fedmrg_secure.reports.sweep_page import write_sweep_page

    output = Output(as_json=as_json)
    loaded = load_sweep(config, overrides or (), seeds=seeds)
    points = choose_points(loaded, only or ())
    root = out or Path("runs") / f"sweep-{loaded.file.name}"
    plan = plan_sweep(loaded, points, root, replace=replace or plan_only)
    if plan_only:
        show_runs(output, plan)
        return
    at_once = min(jobs or plan.at_once, max(1, len(plan.todo)))
    done = len(plan.runs) - len(plan.todo)
    output.note(
        f"{len(plan.runs)} runs of {len(points)} points, {done} of them done before; "
        f"{at_once} at a time; results in {root}"
    )
    with TrainingProgress(output, len(plan.runs), len(plan.todo)) as progress:
        summary = run_sweep(
            plan,
            _executor(executor, plan, at_once, progress),
            command=typed_command(),
            executor=executor.value,
            at_once=at_once,
        )
    page = write_sweep_page(root)
    show_points(output, summary)
    output.say(f"page: {page}")
    output.result({**summary, "folder": str(root), "page": str(page)})
    if summary["failed"]:
        for each in summary["failed"]:
            output.note(f"{each['run']} has failed: {each['error']}")
        failed = RunsFailed(
            f"{len(summary['failed'])} of {len(plan.runs)} runs have failed",
            hint="mend what they say; the same command then goes on with them",
        )
        output.note(failed.explain())
        raise typer.Exit(failed.exit_code)


def _executor(
    executor: Executor, plan: SweepPlan, at_once: int, progress: TrainingProgress
) -> Execute:
    from fedmrg_secure.benchmark.executors import run_by_processes, run_by_ray

    do = run_by_processes
    if executor is Executor.ray:
        do = partial(run_by_ray, processes=plan.sites)
    return partial(do, replace=plan.replace, at_once=at_once, on_progress=progress)


def show_runs(output: Output, plan: SweepPlan) -> None:
    """Every run and how far it is."""
    rows = [
        {
            "run": run.name,
            "point": run.point,
            "seed": run.config.seed,
            "state": plan.states[run.name],
            "folder": str(run.folder),
            "command": run.command,
        }
        for run in plan.runs
    ]
    output.table(
        f"{len(plan.runs)} runs of {len(plan.points)} points, {len(plan.todo)} to do; "
        f"{plan.at_once} at a time on this machine",
        ("run", "state", "folder"),
        [(row["run"], _STATES[str(row["state"])], row["folder"]) for row in rows],
    )
    output.result({"runs": rows, "at_once": plan.at_once, "folder": str(plan.root)})


def show_points(output: Output, summary: dict[str, Any]) -> None:
    """A table of points for each table of centres that has figures."""
    from fedmrg_secure.benchmark.tables import TABLES
    from fedmrg_secure.reports.utility import metric_title

    metrics = summary["metrics"]
    found = {(row["point"], row["table"], row["metric"]): row for row in summary["rows"]}
    for table, role in TABLES.items():
        if not any(key[1] == table for key in found):
            continue
        titles = (title for metric in metrics for title in (metric_title(metric), "kept"))
        rows = [
            (
                *point["settings"].values(),
                "inf" if not point["private"] else _number(point["largest_epsilon"]),
                *(
                    cell
                    for metric in metrics
                    for cell in _cells(found.get((point["name"], table, metric)))
                ),
                human_bytes(point["uplink_bytes"]) if point["uplink_bytes"] else "-",
                _number(point["wall_s"], "{:.0f} s"),
                ("epsilon " if table in point["front"]["epsilon"] else "")
                + ("bytes" if table in point["front"]["bytes"] else ""),
            )
            for point in summary["points"]
        ]
        columns = (*summary["axes"], "reached", *titles, "sent", "time", "front")
        output.table(f"{table} ({role} centres, {summary['centre']})", columns, rows)
    output.say(
        f"Mean over {len(summary['seeds'])} seeds ± half of the 95 % interval (Student). Kept: the "
        "share of the gain over the\nuntrained model that training without privacy has. Reached: "
        "the largest epsilon of any site, by its ledger."
    )


def _cells(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return "-", "-"
    interval = "" if row["low"] is None else f" ± {row['mean'] - row['low']:.3f}"
    kept = "-" if row["kept"] is None else f"{100 * row['kept']['share']:.0f} %"
    return f"{row['mean']:.3f}{interval}", kept


def _number(value: float | None, form: str = "{:.3g}") -> str:
    return "-" if value is None else form.format(value)
