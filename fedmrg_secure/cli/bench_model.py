"""``fedmrg bench model``: the FL-MRG benchmark of methods."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fedmrg_secure.cli.bench_communication import show_communication
from fedmrg_secure.cli.output import (
    JsonOption,
    Output,
    SetOption,
    human_bytes,
    typed_command,
)
from fedmrg_secure.cli.progress import TrainingProgress

_COLUMNS: Final = {
    "ce_rule_f1_macro": "F1 macro",
    "ce_rule_f1_micro": "F1 micro",
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "meteor_exact_stem": "METEOR",
    "cider": "CIDEr",
    "diagnosis_auroc": "AUROC",
}
_SURE: Final = 0.05


class Split(StrEnum):
    """Which records are judged."""

    test = "test"
    validation = "validation"


def bench_model(
    task: Annotated[
        str | None,
        typer.Option(help="phantom, covid-cxr or iu-xray.", show_default="that of --config"),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Names and groups, by commas: baselines, ablations, ranks, factorizations, all."
        ),
    ] = "baselines",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each method.")] = 3,
    config: Annotated[
        Path | None,
        typer.Option(help="Any run's YAML file in place of the task's own.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the task's data.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results.", show_default="runs/bench-TASK")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Trainings at a time.", show_default="one a core"),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="validation: for choices; unseen centres are left out.")
    ] = Split.test,
    curve_every: Annotated[
        int | None,
        typer.Option(
            min=0, help="Rounds between points of the curve; 0: none.", show_default="evaluation's"
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=1, max=100_000, help="Draws of the paired bootstrap.")
    ] = 1000,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train and judge several methods on the same task, each under several seeds.

    Adaptability is what the centres that trained get, generalizability what unseen centres get.
    Every training is a process of its own; its result is kept, and the same command goes on where
    an interrupted one stopped. benchmark.html in the folder shows everything.

    Examples:

      fedmrg bench model --task phantom --methods baselines --seeds 3

      fedmrg bench model --task phantom --methods fedavg,fedmrg,ablations --json

      fedmrg bench model --task covid-cxr --data /data/covid_cxr --methods fedavg,fedmrg

      fedmrg bench model --task phantom --methods moon --split validation
      --set training.moon_weight=5 --out runs/tune-moon-5
    """
    from fedmrg_secure.benchmark.methods import choose_methods
    from fedmrg_secure.benchmark.suite import plan_benchmark, run_benchmark
    from fedmrg_secure.benchmark.tasks import load_task
    from fedmrg_secure.reports.benchmark_page import write_benchmark_page

    output = Output(as_json=as_json)
    chosen = choose_methods([name.strip() for name in methods.split(",") if name.strip()])
    benchmark_task = load_task(task, config=config, data=data, overrides=overrides or ())
    root = out or Path("runs") / f"bench-{benchmark_task.name}"
    plan = plan_benchmark(
        benchmark_task, chosen, root, seeds=seeds, split=split.value, curve_every=curve_every
    )
    at_once = min(jobs or os.cpu_count() or 1, max(1, len(plan.todo)))
    output.note(
        f"{plan.trainings} trainings, {plan.trainings - len(plan.todo)} of them done before; "
        f"{at_once} at a time; results in {root}"
    )
    with TrainingProgress(output, plan.trainings, len(plan.todo)) as progress:
        summary = run_benchmark(
            plan,
            at_once=at_once,
            resamples=resamples,
            command=typed_command(),
            on_progress=progress,
        )
    page = write_benchmark_page(root)
    show(output, summary)
    output.say(f"page: {page}")
    output.result({**summary, "folder": str(root), "page": str(page)})


def show(output: Output, summary: dict[str, Any]) -> None:
    """Both tables of means and what the methods send, for people."""
    for table in ("adaptability", "generalizability"):
        cells = _table(summary, table)
        if cells:
            output.table(f"{table} ({_records(summary, table)})", *cells)
    if summary["reference"]:
        output.say(
            f"F1 is clinical, by rules. Mean ± deviation over {len(summary['seeds'])} seeds;\n"
            f"* differs from {summary['reference']} with p < {_SURE:g} "
            "(paired bootstrap over patients)"
        )
    show_communication(output, summary["communication"])


def _table(
    summary: dict[str, Any], table: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
    rows = [row for row in summary["rows"] if row["table"] == table and row["centre"] == "all"]
    found = {(row["method"], row["metric"]): row for row in rows}
    metrics = [metric for metric in _COLUMNS if any(key[1] == metric for key in found)]
    methods = [method["name"] for method in summary["methods"]]
    if not metrics:
        return None
    columns = ("method", *(_COLUMNS[metric] for metric in metrics), "sent")
    sent = {method["name"]: method["uplink_bytes"] for method in summary["methods"]}
    return columns, [
        (
            method,
            *(_cell(found.get((method, metric))) for metric in metrics),
            human_bytes(sent[method]) if sent[method] else "-",
        )
        for method in methods
    ]


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    level = row["p_value_vs_fedavg"]
    mark = "*" if level is not None and level < _SURE else " "
    figure = f"{row['mean']:.3f}".removeprefix("0")
    spread = f"{row['std']:.3f}".removeprefix("0")
    return f"{figure}±{spread}{mark}"


def _records(summary: dict[str, Any], table: str) -> str:
    role = "participating" if table == "adaptability" else "unseen"
    centres = [centre for centre in summary["centres"] if centre["role"] == role]
    count = sum(centre["records"] for centre in centres)
    return f"{len(centres)} {role} centres, {count} {summary['split']} records"
