"""What sites left in a run's folder: the shared state by round, and each site's own part.

The shared state is the same at every site. A site's own part, its specialized adapter with the
weight it has chosen for it, lies on that site's disk alone; a benchmark has all disks in one.

`root` is everywhere a run's folder, with the sites below ``sites/NAME/``, or the folder of one site
of a federation of machines, with its ``kit/`` and ``state/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import check_party_name

State = Mapping[str, npt.NDArray[np.float32]]

GENERIC_PATH: Final = "generic"
PRIVATE: Final = "private.safetensors"
_OWN: Final = "specialized."


class NoTrainedState(FedmrgError):
    """A run has no shared state on disk."""

    code: ClassVar[str] = "FMRG-6401"


class StateUnreadable(FedmrgError):
    """A file with a shared state is broken."""

    code: ClassVar[str] = "FMRG-6402"


class AnotherBase(FedmrgError):
    """The frozen part of the model is not the one that the run was trained on."""

    code: ClassVar[str] = "FMRG-6403"


class NoOwnPart(FedmrgError):
    """A site has left no specialized part in the run's folder."""

    code: ClassVar[str] = "FMRG-6404"


def path_title(mix: float) -> str:
    """Which way through the decoder a weight of path B means: the word of rows and of the page."""
    return f"specialized mix {mix:g}" if mix else GENERIC_PATH


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


def state_folders(root: Path) -> dict[str, Path]:
    """The state folders here by the name of their site, sorted."""
    if (root / "state").is_dir():
        return {_name_in_kit(root): root / "state"}
    found = sorted(root.glob("sites/*/state"))
    return {folder.parent.name: folder for folder in found if folder.is_dir()}


def _name_in_kit(root: Path) -> str:
    """Whose folder this is; the folder's own name where the kit does not say."""
    try:
        return str(json.loads((root / "kit" / "kit.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, LookupError, TypeError):
        return root.name


def state_files(root: Path, site: str | None = None, *, passes: int = 1) -> dict[int, Path]:
    """The shared states in a run's folder by training round, from `site` or from any site.

    All sites hold the same state after a round, which the protocol checks.

    Args:
        root: the run's folder.
        site: party name.
        passes: of the protocol in a training round; a state in the middle of one is left out.

    Raises:
        InvalidName: `site` is not a party name.
    """
    if site is not None:
        check_party_name(site)
    found = {}
    folders = state_folders(root)
    paths = [
        path
        for name, folder in folders.items()
        if site in (None, name)
        for path in sorted(folder.glob("round-*.safetensors"))
    ]
    for path in paths:
        number = path.stem.removeprefix("round-")
        if number.isdecimal() and int(number) % passes == 0:
            found[int(number) // passes] = path
    return dict(sorted(found.items()))


def read_state(path: Path) -> State:
    """Named tensors from a safetensors file.

    Raises:
        StateUnreadable: the file is not one.
    """
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise StateUnreadable(
            f"not a readable safetensors file: {error}",
            location=str(path),
            hint="another site may hold the same shared state: move this file away to read that",
        ) from error


def newest_state(root: Path, site: str | None = None, *, passes: int = 1) -> tuple[int, State]:
    """The last training round that left a shared state, and that state with the scheme's tensors.

    Args:
        root, site, passes: see `state_files`.

    Raises:
        NoTrainedState: no site has one.
        StateUnreadable: the file is broken.
    """
    files = state_files(root, site, passes=passes)
    if not files:
        of = f" of site {site}" if site else ""
        others = [name for name in state_folders(root) if state_files(root, name, passes=passes)]
        raise NoTrainedState(
            f"{root} holds no trained state{of}",
            hint=f"these sites have one: {', '.join(others)}"
            if others
            else "a state appears when the first round ends",
        )
    number = max(files)
    return number, read_state(files[number])


def sites_with_own_part(root: Path) -> tuple[str, ...]:
    """The sites whose specialized part lies here, sorted."""
    folders = state_folders(root)
    return tuple(name for name, folder in folders.items() if (folder / PRIVATE).exists())


def read_own_part(root: Path, site: str) -> State:
    """A site's specialized part, as `ReportGenerator.load_specialized_state` takes it.

    Raises:
        InvalidName: `site` is not a party name.
        NoOwnPart: the site has none.
        StateUnreadable: the file is broken.
    """
    folder = state_folders(root).get(check_party_name(site))
    own: State = {}
    if folder is not None and (folder / PRIVATE).exists():
        found = read_state(folder / PRIVATE).items()
        own = {name: value for name, value in found if name.startswith(_OWN)}
    if not own:
        others = [name for name in sites_with_own_part(root) if name != site]
        raise NoOwnPart(
            f"{root} holds no specialized part of {site}",
            hint=f"these sites have one: {', '.join(others)}; any other centre may `fedmrg adapt`"
            if others
            else "it is there once a run with model.adapters: dual has ended; leave --site out to "
            "use the shared model",
        )
    return own
