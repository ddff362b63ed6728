"""Records of a site as batches of tensors, in an order that a seed fixes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedmrg_secure.data.records import Record
from fedmrg_secure.model.decoder import ReportTokens
from fedmrg_secure.model.report_generator import ReportGenerator, images_tensor

FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, ready for the model.

    Attributes:
        images: shape (batch, 1, H, H), float32 in [0, 1].
        reports: token ids.
        statuses: shape (batch, C), int64.
    """

    images: Tensor
    reports: ReportTokens
    statuses: Tensor


class ImageCache:
    """Loaded images of one site, kept over rounds up to a bound.

    Args:
        image_size: side of the images in pixels.
        limit_bytes: memory for pixels; the image used longest ago goes first.
    """

    def __init__(self, image_size: int, limit_bytes: int = 256 * 2**20) -> None:
        self.image_size = image_size
        self._room = max(1, limit_bytes // (4 * image_size * image_size))
        self._images: OrderedDict[str, FloatImage] = OrderedDict()

    def load(self, record: Record) -> FloatImage:
        """The record's image, shape (H, H), float32 in [0, 1]."""
        if record.record_id in self._images:
            self._images.move_to_end(record.record_id)
            return self._images[record.record_id]
        image = record.load_image(self.image_size)
        self._images[record.record_id] = image
        if len(self._images) > self._room:
            self._images.popitem(last=False)
        return image


def make_batch(records: Sequence[Record], images: ImageCache, generator: ReportGenerator) -> Batch:
    """Load and tokenise some records for a model."""
    columns = generator.class_columns
    return Batch(
        images=images_tensor([images.load(record) for record in records]),
        reports=generator.tokens.encode([record.report for record in records]),
        statuses=torch.tensor(
            [[int(record.labels[column]) for column in columns] for record in records]
        ),
    )


def shuffled_indices(
    count: int, batch_size: int, steps: int, random: np.random.Generator
) -> Iterator[list[int]]:
    """Indices of `steps` batches: pass after pass over all records, each pass in a new order.

    A batch may reach over two passes; with fewer records than `batch_size` it is all of them.
    """
    size = min(batch_size, count)
    waiting: list[int] = []
    for _ in range(steps):
        if len(waiting) < size:
            waiting += random.permutation(count).tolist()
        yield waiting[:size]
        waiting = waiting[size:]
