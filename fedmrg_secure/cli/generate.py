"""``fedmrg generate``: a report for an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output

if TYPE_CHECKING:
    from fedmrg_secure.model.report_generator import ReportGenerator


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


def generate(
    run: Annotated[
        Path,
        typer.Argument(help="A run's folder, or one that fedmrg export made.", show_default=False),
    ],
    image: Annotated[
        Path, typer.Option(help="A chest X-ray: PNG, JPEG or DICOM.", show_default=False)
    ],
    site: Annotated[
        str | None, typer.Option(help="Whose copy of the model.", show_default="any site's")
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(min=1, max=16, help="Width of the search.", show_default="the run's"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report for an image with a trained model. Not for clinical use.

    The image is padded to a square and brought to the model's size; a DICOM file's own window and
    photometric interpretation are applied.

    Examples:

      fedmrg generate runs/quickstart --image chest.dcm

      fedmrg generate runs/quickstart --image chest.png --beams 3 --json
    """
    from fedmrg_secure.data.images import read_image_file

    pixels = read_image_file(image)  # a broken image is told before a model is built

    import torch

    from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
    from fedmrg_secure.data.images import to_square
    from fedmrg_secure.model.report_generator import images_tensor

    torch.set_num_threads(1)
    generator, size, number = _load(run, site)
    batch = images_tensor([to_square(pixels, size)])
    report = generator.generate(batch, beams=beams)[0]
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
    output.note("Not for clinical use.")
    output.result({"report": report, "diagnosis": found, "round": number, "image": image.name})


def _load(folder: Path, site: str | None) -> tuple[ReportGenerator, int, int]:
    """The model, the side of its input, and the round it comes from."""
    from fedmrg_secure.reports.export import is_export, load_export

    if is_export(folder):
        exported = load_export(folder)
        return exported.generator, exported.image_size, exported.after_round

    from fedmrg_secure.core.yaml_source import load_run_config
    from fedmrg_secure.federation.states import newest_state, require_same_base
    from fedmrg_secure.model.report_generator import build_report_generator
    from fedmrg_secure.reports.run_folder import require_run

    require_run(folder)
    config = load_run_config(folder / "config.yaml")
    number, state = newest_state(folder, site)
    size = config.data.image_size
    generator = build_report_generator(
        config.model, config.update, image_size=size, seed=config.seed
    )
    require_same_base(folder, generator.base_hash)
    generator.load_shared_state(state)
    return generator, size, number


def _show(output: Output, found: dict[str, dict[str, Any]]) -> None:
    rows = [
        (name, entry["status"].lower(), f"{entry['probabilities']['POSITIVE']:.3f}")
        for name, entry in found.items()
    ]
    output.table("Diagnosis head", ["finding", "status", "P(positive)"], rows)
