"""The folder that ``fedmrg adapt`` makes: one centre's own part, for its own disk.

::

    private.safetensors                              the specialized part and the mix, by name
    adapter_config.json, adapter_model.safetensors   path B as one PEFT adapter of twice the rank
    adaptation.json                                  what was done and what it brought
    README.md                                        the same for people
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

from safetensors.numpy import save_file

from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.federation.adaptation import Adaptation, hash_shared
from fedmrg_secure.federation.run_folder import write_json
from fedmrg_secure.federation.states import PRIVATE, State, path_title, read_state
from fedmrg_secure.model.adapters import ReadingPath
from fedmrg_secure.model.report_generator import ReportGenerator

FORMAT: Final = "fedmrg-adaptation/1"
REPORT: Final = "adaptation.json"
SHOWN: Final = ("bleu4", "rouge_l", "ce_rule_f1_macro", "ce_rule_f1_micro")
"""Metrics that people are shown; the JSON has all."""


class AdaptedFolderInUse(InputError):
    """The folder to write an adapted centre into already holds something."""

    code: ClassVar[str] = "FMRG-6421"


class AdaptedFolderBroken(FedmrgError):
    """A folder is not one that ``fedmrg adapt`` made, or is damaged."""

    code: ClassVar[str] = "FMRG-6422"


class AdaptedToAnother(FedmrgError):
    """A centre's own part was trained beside another shared model than this one."""

    code: ClassVar[str] = "FMRG-6423"


def require_free(out: Path) -> None:
    """Return if `out` is absent or an empty folder.

    Raises:
        AdaptedFolderInUse: it is not.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AdaptedFolderInUse(f"{out} is not empty", hint="name a folder that does not exist")


def write_adapted(
    out: Path,
    generator: ReportGenerator,
    adaptation: Adaptation,
    *,
    run: str,
    centre: str,
    after_round: int,
) -> None:
    """Write an adapted centre's folder; it appears complete or not at all, for its owner alone.

    Args:
        out: absent or empty.
        generator: holds the chosen specialized part.
        adaptation: what `adapt_centre` gave.
        run: name of the run that trained the shared model.
        centre: party name.
        after_round: the training round that the shared model comes from.
    """
    require_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(out.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    save_file(generator.specialized_state(), scratch / PRIVATE)
    generator.save_adapter(scratch, ReadingPath.B)
    content = {
        "format": FORMAT,
        "run": run,
        "round": after_round,
        "centre": centre,
        "base_hash": generator.base_hash,
        "path": path_title(adaptation.chosen.mix),
        **asdict(adaptation),
    }
    write_json(scratch / REPORT, content)
    (scratch / "README.md").write_text(_readme(content), encoding="utf-8")
    if out.exists():
        out.rmdir()
    scratch.rename(out)


def read_adapted(folder: Path, generator: ReportGenerator) -> State:
    """A centre's own part, as `ReportGenerator.load_specialized_state` takes it.

    Args:
        folder: that `write_adapted` made.
        generator: in the shared state that the part is to be read beside.

    Raises:
        AdaptedFolderBroken: a file is missing or is not of this format.
        AdaptedToAnother: the part was trained beside another shared state.
        StateUnreadable: the weights are damaged.
    """
    try:
        content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        known, shared = content["format"] == FORMAT, content["shared_hash"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AdaptedFolderBroken(
            f"{folder} holds no readable {REPORT}",
            hint="name the folder that `fedmrg adapt --out` made",
        ) from error
    if not known or not (folder / PRIVATE).is_file():
        raise AdaptedFolderBroken(f"{folder} is not of the format {FORMAT}, or not whole")
    if shared != hash_shared(generator):
        raise AdaptedToAnother(
            f"{folder} was adapted to another shared model",
            hint="name the run that it was adapted to, or adapt again: fedmrg adapt",
        )
    return read_state(folder / PRIVATE)


def _readme(content: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {content['before'][name]:.3f} | {content['after'][name]:.3f} "
        f"| {content['differences'][name]['p_value']:.3f} |"
        for name in SHOWN
        if name in content["after"] and name in content["differences"]
    )
    records, patients = content["records"], content["patients"]
    return f"""# {content["centre"]}, adapted to the run {content["run"]}

**Not for clinical use. Keep this folder at the centre:** its adapter was trained on the centre's
own patients, without differential privacy.

The shared model after round {content["round"]} was left as it is: its hash was
`{content["shared_hash"][:16]}` before and after. The centre's specialized adapter was trained for
{content["chosen"]["steps"]} steps on {records["train"]} records of {patients["train"]} patients.
Steps and mix were chosen by {records["validation"]} records of {patients["validation"]} others.
It writes by the path *{content["path"]}*.

On {records["test"]} records of {patients["test"]} patients that took no part in either (p of no
difference: paired bootstrap over records):

| metric | generic path | adapted | p |
|---|---:|---:|---:|
{rows}

    fedmrg generate RUN --image FILE --adapted THIS_FOLDER

`adapter_model.safetensors` is path B, the generic and the specialized adapter as one PEFT adapter
of twice the rank. A mix below 1 cannot be held by one adapter; `fedmrg generate` computes it.
"""
