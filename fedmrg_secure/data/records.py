"""Records, centres and tasks: the values that every source of data gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import Status

FloatImage = npt.NDArray[np.float32]
"""A grayscale image, shape (height, width), float32 in [0, 1]; 1 is white, which is dense."""


class ImageSource(Protocol):
    """Where a record's image comes from."""

    def load(self, image_size: int) -> FloatImage:
        """The image as a square of `image_size` pixels, shape (image_size, image_size)."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """One study: an image, its report and what the report says of each class.

    Attributes:
        record_id: unique within its task.
        patient_id: records of one patient are always in one split of one centre.
        centre: the centre's party name.
        report: the reference report, not empty.
        labels: the status of each of `CHEXPERT_CLASSES`, in that order.
        image: reads or renders the image when asked.
    """

    record_id: str
    patient_id: str
    centre: str
    report: str
    labels: tuple[Status, ...]
    image: ImageSource

    def load_image(self, image_size: int) -> FloatImage:
        """The image, shape (image_size, image_size), float32 in [0, 1], white = dense.

        Raises:
            DataError: the image file is missing, broken or refused.
        """
        return self.image.load(image_size)


@dataclass(frozen=True, slots=True)
class CentreData:
    """All records of one centre. An unseen centre has them all in `test`."""

    name: str
    title: str
    train: tuple[Record, ...]
    validation: tuple[Record, ...]
    test: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that was left out, and why."""

    row: int
    record_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Task:
    """The centres of a task, by party name, and the rows that were left out of it."""

    participating: tuple[str, ...]
    unseen: tuple[str, ...]
    titles: Mapping[str, str]
    skipped: tuple[Skipped, ...]
