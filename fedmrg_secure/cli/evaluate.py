"""``fedmrg evaluate``: judge a run's model at every centre."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedmrg_secure.cli.output import JsonOption, Output

if TYPE_CHECKING:
    from fedmrg_secure.evaluation.judging import Scorer

_PAUSE_S: Final = 15.0
"""Between two lines about how far the judging is."""


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
    semantic: Annotated[
        bool,
        typer.Option("--semantic", help="Similarity of meaning too, by MiniLM where installed."),
    ] = False,
    clinical: Annotated[
        Path | None,
        typer.Option(
            help="CheXbert and RadGraph too: a Python interpreter that has radeval.",
            metavar="PYTHON",
            show_default=False,
        ),
    ] = None,
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

      fedmrg evaluate runs/quickstart --semantic --clinical radeval-env/bin/python
    """
    from fedmrg_secure.reports.run_folder import require_run

    require_run(run)
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    output = Output(as_json=as_json)
    try:
        with ExitStack() as opened:
            scorers = _scorers(opened, run, semantic, clinical, output)
            _evaluate(run, follow=follow, stop=stop, output=output, scorers=scorers)
    finally:
        signal.signal(signal.SIGTERM, before)


def _scorers(
    opened: ExitStack, run: Path, semantic: bool, clinical: Path | None, output: Output
) -> list[Scorer]:
    """The further metrics that were asked for; what is missing is said."""
    scorers: list[Scorer] = []
    if semantic:
        from fedmrg_secure.evaluation.semantic import METRIC, load_semantic_similarity

        similarity = load_semantic_similarity()
        if similarity is None:
            output.note(f"{METRIC} is left out: pip install 'fedmrg-secure[semantic]'")
        else:
            scorers.append(similarity)
    if clinical is not None:
        from fedmrg_secure.core.yaml_source import load_run_config
        from fedmrg_secure.evaluation.clinical_models import ClinicalModels

        allow_hub = load_run_config(run / "config.yaml").model.allow_hub
        models = opened.enter_context(ClinicalModels(clinical, allow_hub=allow_hub))
        output.note(f"CheXbert and RadGraph by radeval {models.version}")
        scorers.append(models)
    return scorers


def _evaluate(
    run: Path,
    *,
    follow: bool,
    stop: threading.Event,
    output: Output,
    scorers: Sequence[Scorer],
) -> None:
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

    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done < total and time.monotonic() - told >= _PAUSE_S:
            told = time.monotonic()
            output.say(f"judging: {done} of {total} records")

    result = evaluate_run(
        run,
        follow=follow,
        stopped=stop.is_set,
        on_judged=judged,
        on_records=progress,
        scorers=scorers,
    )
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
    from fedmrg_secure.reports.utility import metric_title

    for role, metrics in mean.items():
        rows = [
            (metric_title(metric), f"{pair['untrained']:.3f}", f"{pair['final']:.3f}")
            for metric, pair in metrics.items()
        ]
        output.table(_TABLES[role], ["metric", "untrained", "trained"], rows)
