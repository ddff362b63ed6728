"""The one door to a task's data, whatever its source."""

from __future__ import annotations

from fedmrg_secure.core.config import ManifestData, PhantomData
from fedmrg_secure.data.manifest import describe_manifest, load_manifest_centre
from fedmrg_secure.data.phantom.task import describe_phantom, load_phantom_centre, public_corpus
from fedmrg_secure.data.records import CentreData, Task

__all__ = ["describe_task", "load_centre", "public_corpus"]


def describe_task(config: PhantomData | ManifestData) -> Task:
    """The centres of a task and the rows left out of it; a manifest is checked as a whole.

    Raises:
        DataError, ErrorGroup: see `data.manifest`.
    """
    if isinstance(config, ManifestData):
        return describe_manifest(config)
    return describe_phantom()


def load_centre(config: PhantomData | ManifestData, centre: str) -> CentreData:
    """The records of one centre, by party name; an unseen centre has them all in `test`.

    Raises:
        DataError, ErrorGroup: see `data.manifest`; `UnknownCentre` for any source.
    """
    if isinstance(config, ManifestData):
        return load_manifest_centre(config, centre)
    return load_phantom_centre(config, centre)
