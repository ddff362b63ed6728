"""The one door to a task's data, whatever its source."""

from __future__ import annotations

from fedmrg_secure.core.config import DataConfig, IuXrayData, ManifestData, MimicCxrData
from fedmrg_secure.data.iu_xray import describe_iu_xray, load_iu_xray_centre
from fedmrg_secure.data.manifest import describe_manifest, load_manifest_centre
from fedmrg_secure.data.mimic_cxr import describe_mimic_cxr, load_mimic_cxr_centre
from fedmrg_secure.data.phantom.task import (
    describe_phantom,
    load_phantom_centre,
    public_corpus,
    public_studies,
)
from fedmrg_secure.data.records import CentreData, Task

__all__ = ["describe_task", "load_centre", "public_corpus", "public_studies"]


def describe_task(config: DataConfig) -> Task:
    """The centres of a task and the rows left out of it; the source is checked as a whole.

    Raises:
        DataError, ErrorGroup: see `data.assembly` and the source's own module.
    """
    match config:
        case ManifestData():
            return describe_manifest(config)
        case IuXrayData():
            return describe_iu_xray(config)
        case MimicCxrData():
            return describe_mimic_cxr(config)
        case _:
            return describe_phantom()


def load_centre(config: DataConfig, centre: str) -> CentreData:
    """The records of one centre, by party name; an unseen centre has them all in `test`.

    Raises:
        DataError, ErrorGroup: as `describe_task`; `UnknownCentre` for any source.
    """
    match config:
        case ManifestData():
            return load_manifest_centre(config, centre)
        case IuXrayData():
            return load_iu_xray_centre(config, centre)
        case MimicCxrData():
            return load_mimic_cxr_centre(config, centre)
        case _:
            return load_phantom_centre(config, centre)
