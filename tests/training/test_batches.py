from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.batches import ImageCache, make_batch, shuffled_indices


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 20),
    steps=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_every_record_has_its_turn(count: int, size: int, steps: int, seed: int) -> None:
    def draw() -> list[list[int]]:
        return list(shuffled_indices(count, size, steps, np.random.default_rng(seed)))

    batches = draw()
    assert batches == draw()
    assert [len(batch) for batch in batches] == [min(size, count)] * steps
    turns = Counter(chain.from_iterable(batches))
    assert set(turns) <= set(range(count))
    least = min(turns[index] for index in range(count))
    assert max(turns.values()) - least <= 1


def test_a_batch_holds_what_the_records_hold(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    batch = make_batch(records[:3], ImageCache(32), generator)
    assert batch.images.shape == (3, 1, 32, 32)
    assert batch.images.dtype == torch.float32
    assert batch.statuses.tolist() == [[int(s) for s in record.labels] for record in records[:3]]
    assert batch.statuses.shape == (3, len(CHEXPERT_CLASSES))
    rows = [
        row[mask.bool()].tolist()[:-1]
        for row, mask in zip(batch.reports.targets, batch.reports.mask, strict=True)
    ]
    assert generator.tokens.decode(rows) == [record.report for record in records[:3]]


def test_the_cache_keeps_to_its_bound(records: tuple[Record, ...]) -> None:
    cache = ImageCache(32, limit_bytes=2 * 4 * 32 * 32)
    first = cache.load(records[0])
    assert cache.load(records[0]) is first
    cache.load(records[1])
    cache.load(records[0])
    cache.load(records[2])  # the second goes
    assert cache.load(records[0]) is first
    again = cache.load(records[1])
    assert np.array_equal(again, records[1].load_image(32))
