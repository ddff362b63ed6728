"""Where the records of a centre come from that adapts to a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from pydantic import ValidationError

from fedmrg_secure.core.config import DataConfig, ManifestData, RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import party_name
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.data.records import CentreData
from fedmrg_secure.data.task import describe_task, load_centre
from fedmrg_secure.federation.adaptation import OWN_SPLITS, own_splits

_CONFIGS: Final = (".yaml", ".yml")
_MANIFESTS: Final = (".jsonl", ".csv")


class DataNotFound(InputError):
    """What ``--data`` names is no manifest, no folder with one and no configuration."""

    code: ClassVar[str] = "FMRG-6431"


class CentreTookPart(InputError):
    """A centre that trained in the run has its specialized adapter already."""

    code: ClassVar[str] = "FMRG-6432"


def load_new_centre(run: RunConfig, data: Path | None, centre: str) -> CentreData:
    """The centre's records in three splits by patient, see `adaptation.own_splits`.

    Args:
        run: configuration of the run; fixes the images' size and the split of unseen centres.
        data: a manifest, a folder that holds one, or a run's configuration; None: the run's own
            data, of which unseen centres can adapt.
        centre: its title or party name.

    Raises:
        DataNotFound, CentreTookPart, TooFewPatients: see there.
        DataError, ErrorGroup: the records cannot be read.
    """
    name = party_name(centre)
    section = run.data if data is None else _section(data, centre)
    if data is None and name in describe_task(section).participating:
        raise CentreTookPart(
            f"{name} trained in this run: it has a specialized adapter already",
            hint=f"use it: fedmrg generate RUN --image FILE --site {name}",
        )
    section = section.model_copy(update={"image_size": run.data.image_size})
    return own_splits(load_centre(section, name), section.seed)


def _section(path: Path, centre: str) -> DataConfig:
    if path.suffix in _CONFIGS and path.is_file():
        return load_run_config(path).data
    manifest = _manifest(path)
    try:
        return ManifestData(
            source="manifest",
            root=manifest.parent,
            manifest=manifest.name,
            participating=[centre],
            splits=OWN_SPLITS,
        )
    except ValidationError as error:
        raise DataNotFound(f"{path} cannot be used: {error}") from error


def _manifest(path: Path) -> Path:
    if path.is_file() and path.suffix in _MANIFESTS:
        return path
    found = [p for p in sorted(path.glob("*")) if p.suffix in _MANIFESTS] if path.is_dir() else []
    usual = [p for p in found if p.name == "pairs.jsonl"]
    if len(usual or found) == 1:
        return (usual or found)[0]
    raise DataNotFound(
        f"{path} holds {len(found)} manifests" if found else f"{path} is no manifest",
        hint="name a JSONL or CSV file, a folder with one of them, or a configuration (.yaml)",
    )
