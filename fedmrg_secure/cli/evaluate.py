"""``fedmrg evaluate``: judge a run's model at every centre."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Judge each round as it appears, until the run ends; a line a round and role.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge the untrained and the trained model at participating and unseen centres.

    Adaptability: at participating centres every site writes with its specialized adapter in the mix
    it has chosen, on patients that it did not train on. Generalizability: at unseen centres the
    generic adapter writes alone. The JSON has the generic adapter's figures at participating
    centres too.

    Reads the test records of all centres, which only a benchmark on one machine can. Adds rows to
    RUN/metrics.jsonl, and writes RUN/samples and the evaluation's part of RUN/summary.json.

    Examples:

      fedmrg evaluate runs/quickstart

      fedmrg evaluate runs/quickstart --json
    """
    from fedmrg_secure.reports.run_folder import require_run

    require_run(run)
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        _evaluate(run, follow=follow, stop=stop, output=Output(as_json=as_json))
    finally:
        signal.signal(signal.SIGTERM, before)


def _evaluate(run: Path, *, follow: bool, stop: threading.Event, output: Output) -> None:
    import torch

    from fedmrg_secure.evaluation.judging import Metrics
    from fedmrg_secure.federation.evaluator import evaluate_run

    torch.set_num_threads(1)

    def judged(number: int, role: str, means: Metrics, specialized: bool) -> None:
        what = f"after round {number}" if number else "untrained"
        if number and role == "participating":
            path = " with their own adapters" if specialized else " by the generic adapter"
        else:
            path = ""
        output.say(
            f"{what}, {role} centres: BLEU-4 {means['bleu4']:.3f}, "
            f"clinical F1 {means['ce_rule_f1_macro']:.3f}{path}"
        )

    result = evaluate_run(run, follow=follow, stopped=stop.is_set, on_judged=judged)
    if result is None:
        output.note("stopped before the end; what was judged is in metrics.jsonl")
        return
    if not follow:
        _show(output, result.mean)
    output.result(
        {
            "folder": str(run),
            "round": result.round,
            "untrained": dict(result.untrained),
            "final": dict(result.final),
            "mean": dict(result.mean),
            "pooled": dict(result.pooled),
            "paths": dict(result.paths),
            "generic": dict(result.generic),
        }
    )


_TABLES = {
    "participating": "Adaptability: means of participating centres",
    "unseen": "Generalizability: means of unseen centres",
}


def _show(output: Output, mean: Any) -> None:
    for role, metrics in mean.items():
        rows = [
            (metric, f"{pair['untrained']:.3f}", f"{pair['final']:.3f}")
            for metric, pair in metrics.items()
        ]
        output.table(_TABLES[role], ["metric", "untrained", "trained"], rows)
