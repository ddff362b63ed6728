"""``fedmrg generate``: a report for an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output

if TYPE_CHECKING:
    from fedmrg_secure.reports.export import ExportedModel


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


def generate(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run's folder, a site's own, or one that fedmrg export made.",
            show_default=False,
        ),
    ],
    image: Annotated[
        Path, typer.Option(help="A chest X-ray: PNG, JPEG or DICOM.", show_default=False)
    ],
    site: Annotated[
        str | None,
        typer.Option(
            help="A participating site: write with its specialized adapter, mixed as it chose.",
            show_default="the generic adapter alone",
        ),
    ] = None,
    adapted: Annotated[
        Path | None,
        typer.Option(
            help="A folder that fedmrg adapt made: write with that centre's adapter.",
            show_default=False,
        ),
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(min=1, max=16, help="Width of the search.", show_default="the run's"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report for an image with a trained model. Not for clinical use.

    Without --site and --adapted the generic adapter writes, which is meant for centres that never
    trained. A site that took part writes better in its own words with --site; a new centre makes
    an adapter of its own with fedmrg adapt and names it with --adapted.

    The image is padded to a square and brought to the model's size; a DICOM file's own window and
    photometric interpretation are applied.

    Examples:

      fedmrg generate runs/quickstart --image chest.dcm

      fedmrg generate runs/quickstart --image chest.png --site cedar-valley-clinic

      fedmrg generate runs/quickstart --image chest.png --adapted adapted/moorland --json
    """
    if site is not None and adapted is not None:
        raise typer.BadParameter("--site and --adapted name two adapters; give one of them")
    from fedmrg_secure.data.images import read_image_file

    pixels = read_image_file(image)  # a broken image is told before a model is built

    import torch

    from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
    from fedmrg_secure.data.images import to_square
    from fedmrg_secure.federation.states import path_title
    from fedmrg_secure.model.report_generator import images_tensor

    torch.set_num_threads(1)
    model = _load(run, site, adapted)
    generator = model.generator
    batch = images_tensor([to_square(pixels, model.image_size)])
    report = generator.generate(batch, beams=beams, mix=model.mix)[0]
    diagnosis = generator.diagnose(batch)
    found = {
        CHEXPERT_CLASSES[column]: {
            "status": Status(int(status)).name,
            "probabilities": {kind.name: round(float(probabilities[kind]), 6) for kind in Status},
        }
        for column, status, probabilities in zip(
            generator.class_columns, diagnosis.statuses[0], diagnosis.probabilities[0], strict=True
        )
    }
    output = Output(as_json=as_json)
    if not as_json:
        output.say(report or "(the model wrote nothing)")
        output.say()
    _show(output, found)
    output.note(f"Written by the path: {path_title(model.mix)}. Not for clinical use.")
    output.result(
        {
            "report": report,
            "diagnosis": found,
            "round": model.after_round,
            "path": path_title(model.mix),
            "image": image.name,
        }
    )


def _load(folder: Path, site: str | None, adapted: Path | None) -> ExportedModel:
    """The model of a run or of an export, with the specialized part that was asked for."""
    from fedmrg_secure.federation.adapted_folder import read_adapted
    from fedmrg_secure.federation.states import read_own_part
    from fedmrg_secure.federation.trained_model import load_trained_model
    from fedmrg_secure.reports.export import ExportedModel, is_export, load_export

    if is_export(folder):
        if site is not None:
            raise typer.BadParameter(
                "an exported folder is of one site or of all; leave out --site"
            )
        model = load_export(folder)
    else:
        trained = load_trained_model(folder)
        size = trained.config.data.image_size
        model = ExportedModel(trained.generator, size, trained.training_round, "", 0.0)
    if site is not None:
        own = read_own_part(folder, site)
    elif adapted is not None:
        own = read_adapted(adapted, model.generator)
    else:
        return model
    model.generator.load_specialized_state(own)
    return replace(model, mix=float(model.generator.mix))


def _show(output: Output, found: dict[str, dict[str, Any]]) -> None:
    rows = [
        (name, entry["status"].lower(), f"{entry['probabilities']['POSITIVE']:.3f}")
        for name, entry in found.items()
    ]
    output.table("Diagnosis head", ["finding", "status", "P(positive)"], rows)
