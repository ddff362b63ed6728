"""Examples for the report: images as PNG with reference, untrained and generated text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.records import FloatImage, Record
from fedmrg_secure.evaluation.judging import Centre
from fedmrg_secure.federation.states import GENERIC_PATH, path_title
from fedmrg_secure.model.report_generator import FloatArray, ReportGenerator, images_tensor

_NO_FINDING = CHEXPERT_CLASSES.index("No Finding")


def write_samples(
    folder: Path,
    generator: ReportGenerator,
    centres: Sequence[Centre],
    untrained: Mapping[str, FloatArray],
    trained: Mapping[str, FloatArray],
    *,
    own: Mapping[str, Mapping[str, FloatArray]],
    per_centre: int,
    image_size: int,
) -> None:
    """Write ``samples.json`` and a PNG for each example; what was in `folder` is replaced.

    Examples are chosen before anything is generated: the first record of a centre, in judging
    order, whose reference has a finding, then the first ones of the rest.

    Args:
        folder: made when absent.
        generator: its shared state is `trained` afterwards.
        centres: from `judging.load_centres`.
        untrained: shared state before training.
        trained: shared state to show.
        own: specialized part by centre, of those that write with it; the others by the generic
            path.
        per_centre: examples of a centre; 0 leaves an empty list.
        image_size: side of the model's input, pixels.
    """
    chosen = [(centre, record) for centre in centres for record in choose(centre, per_centre)]
    images = [record.load_image(image_size) for _, record in chosen]
    before, _ = _write_reports(generator, untrained, images)
    after, positive = _write_reports(generator, trained, images)
    generic = list(after)
    paths = [GENERIC_PATH] * len(chosen)
    for name, part in own.items():
        generator.load_specialized_state(part)
        mix = float(generator.mix)
        mine = [at for at, (centre, _) in enumerate(chosen) if centre.name == name]
        for at in mine:
            after[at] = generator.generate(images_tensor([images[at]]), mix=mix)[0]
            paths[at] = path_title(mix)
    scratch = folder.with_name(folder.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    names = [CHEXPERT_CLASSES[column] for column in generator.class_columns]
    entries = []
    for at, (centre, record) in enumerate(chosen):
        picture = f"{at + 1:02d}-{centre.name}.png"
        _write_png(scratch / picture, images[at])
        entries.append(
            {
                "centre": centre.name,
                "role": centre.role,
                "record_id": record.record_id,
                "image": picture,
                "reference": record.report,
                "untrained": before[at],
                "generated": after[at],
                "generic": generic[at],
                "path": paths[at],
                "statuses": {
                    name: round(float(p), 4) for name, p in zip(names, positive[at], strict=True)
                },
            }
        )
    text = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    (scratch / "samples.json").write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def choose(centre: Centre, count: int) -> list[Record]:
    """The records of a centre that are shown."""
    with_finding = [record for record in centre.records if _has_finding(record)][:1]
    rest = [record for record in centre.records if record not in with_finding]
    return [*with_finding, *rest][:count]


def _has_finding(record: Record) -> bool:
    return any(
        status is Status.POSITIVE
        for column, status in enumerate(record.labels)
        if column != _NO_FINDING
    )


def _write_reports(
    generator: ReportGenerator, state: Mapping[str, FloatArray], images: Sequence[FloatImage]
) -> tuple[list[str], list[FloatArray]]:
    """Reports and POSITIVE probabilities, shape (classes,) each, of a state."""
    generator.load_shared_state(state)
    if not images:
        return [], []
    batch = images_tensor(images)
    probabilities = generator.diagnose(batch).probabilities[:, :, Status.POSITIVE]
    return generator.generate(batch), list(probabilities.numpy())


def _write_png(path: Path, image: FloatImage) -> None:
    pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, optimize=True)
