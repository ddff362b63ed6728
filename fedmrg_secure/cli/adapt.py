"""``fedmrg adapt``: a new centre trains a specialized adapter of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output

if TYPE_CHECKING:
    from fedmrg_secure.federation.adaptation import Adaptation, Tried


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("adapt")(adapt)


def adapt(
    run: Annotated[
        Path, typer.Argument(help="A run's folder, or a site's own.", show_default=False)
    ],
    centre: Annotated[
        str, typer.Option(help="The centre that adapts, by its title.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(help="The folder to make; must not hold anything.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Its records: a manifest (JSONL, CSV), a folder with one, or a configuration.",
            show_default="the run's own data, for a centre that the run left unseen",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Optimiser steps at most; validation ends it sooner.",
            show_default="as many as a site takes in the run",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a trained model to a new centre by training its specialized adapter alone.

    A centre that took no part in a run writes with the generic adapter. Here it gets, on its own
    machine and from its own records, what participating sites have: a specialized adapter that
    knows its way of writing. Nothing that is shared changes, and nothing is sent to anybody.

    Records are split by patient: the adapter learns from one part, validation on the second
    chooses when to stop and how to mix the two adapters, and the figures shown are of the third. A
    centre whose records come without splits gets 60, 20 and 20 % of its patients, the same ones in
    every call. When adapting does not help, the validation chooses the generic adapter, and the
    command says so.

    OUT holds the adapter (private.safetensors, and as a PEFT folder) and adaptation.json with the
    figures. It was trained on patients: keep it at the centre.

    Examples:

      fedmrg adapt runs/quickstart --centre moorland-royal-hospital --out adapted/moorland

      fedmrg adapt runs/quickstart --data /data/chest --centre "St. Anna" --out adapted/st-anna

      fedmrg generate runs/quickstart --image chest.png --adapted adapted/st-anna
    """
    from fedmrg_secure.federation.adaptation import require_dual
    from fedmrg_secure.federation.adapted_folder import require_free, write_adapted
    from fedmrg_secure.federation.new_centre import load_new_centre
    from fedmrg_secure.federation.trained_model import load_config, load_trained_model

    output = Output(as_json=as_json)
    require_free(out)
    config = load_config(run)
    require_dual(config)
    records = load_new_centre(config, data, centre)  # mistakes are told before a model is built

    import torch

    from fedmrg_secure.federation.adaptation import adapt_centre

    torch.set_num_threads(config.training.threads)
    model = load_trained_model(run)

    def tell(tried: Tried) -> None:
        what = f"after {tried.steps} steps" if tried.steps else "the shared model"
        output.say(f"{what}: validation loss {tried.loss:.4f} with mix {tried.mix:g}")

    if not as_json:
        parts = (records.train, records.validation, records.test)
        learn, choose, judge = (len(part) for part in parts)
        output.say(
            f"{records.title}: {learn} records to learn from, {choose} to choose by, "
            f"{judge} to judge on"
        )
    adaptation = adapt_centre(
        model.generator,
        records,
        config.training,
        image_size=config.data.image_size,
        seed=config.seed,
        most_steps=steps or config.training.rounds * config.training.local_steps,
        on_validated=tell,
    )
    write_adapted(
        out,
        model.generator,
        adaptation,
        run=config.name,
        centre=records.name,
        after_round=model.training_round,
    )
    _show(output, adaptation, out)
    output.result(_result(adaptation, out, records.name, model.training_round))


def _show(output: Output, adaptation: Adaptation, out: Path) -> None:
    from fedmrg_secure.federation.adapted_folder import SHOWN

    rows = [
        (
            metric,
            f"{adaptation.before[metric]:.3f}",
            f"{adaptation.after[metric]:.3f}",
            f"{adaptation.differences[metric].p_value:.3f}",
        )
        for metric in SHOWN
        if metric in adaptation.after and metric in adaptation.differences
    ]
    count = adaptation.records["test"]
    output.table(
        f"{count} records of {adaptation.patients['test']} held-out patients",
        ["metric", "generic", "adapted", "p"],
        rows,
    )
    if adaptation.chosen.mix == 0:
        output.note("adapting did not help on the validation records: the generic adapter stays")
    output.note(f"the shared model is unchanged; the centre's own part is in {out}")


def _result(adaptation: Adaptation, out: Path, centre: str, after_round: int) -> dict[str, Any]:
    from dataclasses import asdict

    from fedmrg_secure.federation.states import path_title

    return {
        "folder": str(out),
        "centre": centre,
        "round": after_round,
        "path": path_title(adaptation.chosen.mix),
        **asdict(adaptation),
    }
