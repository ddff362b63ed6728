"""Handing a trained model on: an ordinary PEFT adapter folder, the other parts, a model card.

::

    adapter_config.json, adapter_model.safetensors   the decoder's adapter, for `PeftModel`
    report_generator.safetensors                     all that was trained together
    specialized.safetensors                          one site's own part, where it was asked for
    report_generator.json                            how to build the whole model around them
    base/                                            the frozen decoder, when it is the built-in one
    README.md                                        the model card

The generic model's adapter is path A. A site's model reads path B, whose two adapters are written
as one of twice the rank, so that any program that reads PEFT folders gets path B exactly.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedmrg_secure.core.config import ModelConfig, UpdateConfig
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.model.adapters import ReadingPath
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.reports.fields import Fields, parse_json, read_text
from fedmrg_secure.reports.model_card import model_card
from fedmrg_secure.reports.run import Run

FORMAT: Final = "fedmrg-report-generator/2"
CONFIG: Final = "report_generator.json"
PARTS: Final = "report_generator.safetensors"
OWN: Final = "specialized.safetensors"
_ADAPTER: Final = "adapter_model.safetensors"

State = Mapping[str, npt.NDArray[np.float32]]


class OutputNotEmpty(InputError):
    """The folder to export into is already there."""

    code: ClassVar[str] = "FMRG-6503"


class ExportBroken(FedmrgError):
    """An exported folder is incomplete, damaged or of another version."""

    code: ClassVar[str] = "FMRG-6504"


def export_run(
    run: Run,
    state: State,
    out: Path,
    *,
    after_round: int,
    site: str | None = None,
    own: State | None = None,
) -> None:
    """Write a trained model as a folder that others can load.

    Args:
        run: the run that trained it; the model card draws on it.
        state: the shared state to export.
        out: absent or an empty folder; appears complete or not at all.
        after_round: the round that `state` comes from.
        site: whose model it is; None: the one that all share.
        own: that site's specialized part.

    Raises:
        OutputNotEmpty: `out` holds something.
        ExportBroken: the run was trained on another frozen model than the one built here.
        StateMismatch: a state does not fit the run's configuration.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputNotEmpty(f"{out} is not empty", hint="name a folder that does not exist yet")
    config = run.config
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    if run.session.get("base_hash", generator.base_hash) != generator.base_hash:
        raise _another_base(run.root)
    generator.load_shared_state(state)
    if own is not None:
        generator.load_specialized_state(own)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(out.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    generator.save_adapter(scratch, ReadingPath.A if own is None else ReadingPath.B)
    save_file(generator.shared_state(), scratch / PARTS, metadata={"format": FORMAT})
    if own is not None:
        save_file(dict(own), scratch / OWN, metadata={"format": FORMAT})
    weights = {path.name: _file_hash(path) for path in sorted(scratch.glob("*.safetensors"))}
    description = _description(run, generator, after_round) | {"site": site, "sha256": weights}
    (scratch / CONFIG).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    builtin = config.model.decoder == "builtin"
    if builtin:
        generator.save_base(scratch / "base")
    card = model_card(
        run,
        generator.parameter_counts,
        after_round=after_round,
        has_base=builtin,
        site=site,
        mix=None if own is None else float(generator.mix),
    )
    (scratch / "README.md").write_text(card, encoding="utf-8")
    if out.exists():
        out.rmdir()
    scratch.rename(out)


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A model read back from an exported folder.

    Attributes:
        generator: ready to generate.
        image_size: side of its input, pixels.
        after_round: the round that its shared state comes from.
        site: whose model it is; empty for the one that all share.
        mix: weight of path B that this model writes with.
    """

    generator: ReportGenerator
    image_size: int
    after_round: int
    site: str
    mix: float


def is_export(folder: Path) -> bool:
    """Whether `folder` looks like one that `export_run` made."""
    return (folder / CONFIG).is_file()


def load_export(folder: Path) -> ExportedModel:
    """Build the model of an exported folder; needs no run and no site.

    Raises:
        ExportBroken: a file is missing, damaged or not what the description says.
        FedmrgError: the decoder that it builds on cannot be loaded.
    """
    fields = Fields(parse_json(_text(folder / CONFIG), str(folder / CONFIG)), str(folder / CONFIG))
    if fields.text("format") != FORMAT:
        raise ExportBroken(f"{CONFIG} is not of the format {FORMAT}", location=str(folder))
    try:
        model = ModelConfig.model_validate(fields.mapping("model"))
        update = UpdateConfig.model_validate(fields.mapping("update"))
    except ValidationError as error:
        raise ExportBroken(f"{CONFIG} does not describe a model: {error}") from error
    size, site = fields.integer("image_size"), fields.text("site", "")
    generator = build_report_generator(model, update, image_size=size, seed=fields.integer("seed"))
    if generator.base_hash != fields.text("base_hash"):
        raise _another_base(folder)
    hashes = fields.scalars("sha256")
    for name in (PARTS, _ADAPTER, *([OWN] if site else [])):
        _check_hash(folder / name, hashes.get(name, ""))
    generator.load_shared_state(_tensors(folder / PARTS))
    mix = 0.0
    if site:
        generator.load_specialized_state(_tensors(folder / OWN))
        mix = float(generator.mix)
    return ExportedModel(generator, size, fields.integer("round"), site, mix)


def _another_base(folder: Path) -> ExportBroken:
    return ExportBroken(
        "the frozen model built here is not the one that was trained on",
        hint="install the same version of fedmrg_secure, and name the same decoder",
        location=str(folder),
    )


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(path: Path, wanted: str) -> None:
    try:
        found = _file_hash(path)
    except OSError as error:
        raise ExportBroken(f"{path.name} cannot be read", location=str(path.parent)) from error
    if found != wanted:
        raise ExportBroken(
            f"{path.name} is not the file that was exported",
            hint="export the run again; to use a changed adapter, load it with PEFT",
            location=str(path.parent),
        )


def _description(run: Run, generator: ReportGenerator, after_round: int) -> dict[str, object]:
    config = run.config
    return {
        "format": FORMAT,
        "run": run.manifest.name,
        "round": after_round,
        "software": run.manifest.version,
        "image_size": config.data.image_size,
        "seed": config.seed,
        "model": config.model.model_dump(mode="json"),
        "update": config.update.model_dump(mode="json"),
        "base_hash": generator.base_hash,
        "tokenizer_hash": generator.tokenizer_hash,
    }


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise ExportBroken(f"{path.name} cannot be read", location=str(path.parent)) from error


def _tensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise ExportBroken(f"{path.name} cannot be read", location=str(path.parent)) from error
