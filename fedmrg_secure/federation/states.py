"""Shared states that sites left in a run's folder: find them by round, read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import check_party_name

State = Mapping[str, npt.NDArray[np.float32]]


class NoTrainedState(FedmrgError):
    """A run has no shared state on disk."""

    code: ClassVar[str] = "FMRG-6401"


class StateUnreadable(FedmrgError):
    """A file with a shared state is broken."""

    code: ClassVar[str] = "FMRG-6402"


class AnotherBase(FedmrgError):
    """The frozen part of the model is not the one that the run was trained on."""

    code: ClassVar[str] = "FMRG-6403"


def require_same_base(root: Path, base_hash: str) -> None:
    """Return if a run's session pins this frozen model, or if the folder has no session.

    Args:
        root: the run's folder.
        base_hash: of the model built here, hex.

    Raises:
        AnotherBase: they differ, or the session cannot be read.
    """
    path = root / "coordinator" / "session.json"
    if not path.exists():
        return
    try:
        session = json.loads(path.read_text(encoding="utf-8"))
        pinned = session["base_hash"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AnotherBase("the run's session cannot be read", location=str(path)) from error
    if pinned != base_hash:
        raise AnotherBase(
            "the frozen model built here is not the one that the run was trained on",
            hint="use the version of fedmrg_secure that run.json names, and the same decoder",
            location=str(path),
        )


def state_files(root: Path, site: str | None = None) -> dict[int, Path]:
    """The shared states in a run's folder by round, from `site` or from any site.

    All sites hold the same state after a round, which the protocol checks.

    Raises:
        InvalidName: `site` is not a party name.
    """
    if site is not None:
        check_party_name(site)
    found = {}
    pattern = f"sites/{site or '*'}/state/round-*.safetensors"
    for path in sorted(root.glob(pattern)):
        number = path.stem.removeprefix("round-")
        if number.isdecimal():
            found[int(number)] = path
    return dict(sorted(found.items()))


def read_state(path: Path) -> State:
    """A shared state from its safetensors file.

    Raises:
        StateUnreadable: the file is not one.
    """
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise StateUnreadable(
            f"not a readable safetensors file: {error}",
            location=str(path),
            hint="another site may hold the same state: name it with --site",
        ) from error


def newest_state(root: Path, site: str | None = None) -> tuple[int, State]:
    """The last round that left a shared state, and that state.

    Raises:
        NoTrainedState: no site has one.
        StateUnreadable: the file is broken.
    """
    files = state_files(root, site)
    if not files:
        of = f" of site {site}" if site else ""
        others = sorted({path.parents[1].name for path in root.glob("sites/*/state/round-*")})
        raise NoTrainedState(
            f"{root} holds no trained state{of}",
            hint=f"these sites have one: {', '.join(others)}"
            if others
            else "a state appears under sites/NAME/state when the first round ends",
        )
    number = max(files)
    return number, read_state(files[number])
