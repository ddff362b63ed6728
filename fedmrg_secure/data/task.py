"""The one door to a task's data, whatever its source."""

from __future__ import annotations

from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.data.phantom.task import describe_phantom, load_phantom_centre, public_corpus
from fedmrg_secure.data.records import CentreData, Task

__all__ = ["describe_task", "load_centre", "public_corpus"]


def describe_task(config: PhantomData) -> Task:
    """The centres of a task and the rows left out of it."""
    return describe_phantom()


def load_centre(config: PhantomData, centre: str) -> CentreData:
    """The records of one centre, by party name; an unseen centre has them all in `test`."""
    return load_phantom_centre(config, centre)
