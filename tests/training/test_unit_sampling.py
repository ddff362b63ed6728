"""Poisson sampling of patients: who is drawn, and that nothing else depends on who there is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.records import Record
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.unit_sampling import UnitSampler, microbatches


class _NoImage:
    def load(self, image_size: int) -> np.ndarray:
        raise AssertionError("sampling reads no image")


def _records(studies: list[int]) -> list[Record]:
    """Patient n with studies[n] records, in an order that mixes patients."""
    return [
        Record(f"r{patient}-{study}", f"p{patient:03d}", "c", "Old.", _LABELS, _NoImage())
        for study in range(max(studies, default=0))
        for patient, count in enumerate(studies)
        if study < count
    ]


_LABELS = tuple(Status.BLANK for _ in CHEXPERT_CLASSES)


def _sampler(records: list[Record], key: int = 1, **changes: object) -> UnitSampler:
    options: dict[str, object] = {"unit": "patient", "sampling_rate": 0.3, "max_records": 2}
    stream = NoiseStream.insecure_from_key(bytes([key] * 32))
    return UnitSampler(records, **{**options, **changes}, stream=stream)  # type: ignore[arg-type]


def _patients(records: list[Record], units: list[list[int]]) -> set[str]:
    for unit in units:
        assert len({records[index].patient_id for index in unit}) == 1
        assert len(set(unit)) == len(unit) > 0
    names = [records[unit[0]].patient_id for unit in units]
    assert len(set(names)) == len(names), "a patient is one unit"
    return set(names)


def test_each_patient_is_drawn_at_the_rate_and_independently() -> None:
    records = _records([1, 3, 2, 1, 5, 1, 2, 1])
    sampler = _sampler(records)
    steps = 20_000
    single: Counter[str] = Counter()
    pairs = sizes = 0
    for _ in range(steps):
        drawn = _patients(records, sampler.draw())
        single.update(drawn)
        pairs += {"p001", "p004"} <= drawn
        sizes += not drawn
    deviation = (0.3 * 0.7 / steps) ** 0.5
    for patient in range(8):
        assert abs(single[f"p{patient:03d}"] / steps - 0.3) < 5 * deviation
    assert abs(pairs / steps - 0.09) < 5 * (0.09 * 0.91 / steps) ** 0.5
    assert abs(sizes / steps - 0.7**8) < 5 * (0.7**8 / steps) ** 0.5, "empty batches do occur"


def test_a_rate_of_one_takes_everybody_and_the_rate_is_never_exceeded() -> None:
    records = _records([1, 2, 1])
    assert len(_sampler(records, sampling_rate=1.0).draw()) == 3
    sampler = _sampler(records, sampling_rate=2.0**-70)
    assert all(sampler.draw() == [] for _ in range(1000))
    for wrong in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="sampling_rate"):
            _sampler(records, sampling_rate=wrong)


def test_records_of_a_patient_are_chosen_afresh_and_evenly() -> None:
    records = _records([4])
    sampler = _sampler(records, sampling_rate=1.0, max_records=2)
    seen: Counter[frozenset[int]] = Counter()
    for _ in range(6000):
        (unit,) = sampler.draw()
        assert len(unit) == 2
        seen[frozenset(unit)] += 1
    assert len(seen) == 6
    assert all(abs(count - 1000) < 5 * (6000 / 6) ** 0.5 for count in seen.values())


def test_with_records_as_units_every_record_stands_alone() -> None:
    records = _records([3, 1])
    units = _sampler(records, unit="record", sampling_rate=1.0, max_records=1).draw()
    assert sorted(units) == [[0], [1], [2], [3]]


def test_a_patient_more_changes_nobody_elses_chance() -> None:
    """The batch of the others has the same distribution with and without the last patient."""
    few, many = _records([1, 2, 1, 2]), _records([1, 2, 1, 2, 9])
    counts: list[Counter[frozenset[str]]] = []
    for key, records in enumerate((few, many), start=3):
        sampler = _sampler(records, key=key)
        counter: Counter[frozenset[str]] = Counter()
        for _ in range(20_000):
            counter[frozenset(_patients(records, sampler.draw()) - {"p004"})] += 1
        counts.append(counter)
    assert counts[0].keys() == counts[1].keys()
    for subset in counts[0]:
        a, b = counts[0][subset], counts[1][subset]
        assert abs(a - b) < 5 * (a + b) ** 0.5


def test_nobody_is_parted_by_the_bound_on_records() -> None:
    units = [[0, 1], [2], [3, 4, 5], [6], [7, 8], [9, 10, 11, 12]]
    groups = microbatches(units, 3)
    assert [unit for group in groups for unit in group] == units
    assert [sum(map(len, group)) for group in groups] == [3, 3, 3, 4]
    assert microbatches([], 3) == []
