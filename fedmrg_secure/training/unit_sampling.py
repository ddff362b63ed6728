"""Which patients are in a step: each by a coin of its own that nobody else can know."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Protocol

import numpy as np

from fedmrg_secure.privacy.events import Unit
from fedmrg_secure.privacy.randomness import NoiseStream

_WORD: Final = 1 << 64


class OfPatient(Protocol):
    """What sampling sees of a record."""

    @property
    def record_id(self) -> str:
        """Unique among the site's records."""
        ...

    @property
    def patient_id(self) -> str:
        """The same for all records of one patient."""
        ...


class UnitSampler:
    """Poisson sampling of units, and of at most `max_records` records of each.

    Args:
        records: of one site.
        unit: ``patient``, or ``record``: then every record is a unit of its own.
        sampling_rate: q in (0, 1], public, never worked out from the number of records.
        max_records: of one unit in one step.
        stream: secret; a sample that others know amplifies nothing.

    Guarantee:
        Each unit is in a step with a probability of at most q, above q - 2^-64, independently of
        all other units, of other steps and of the data. Which of a unit's records are taken
        depends on that unit alone. Hence a unit that is added or removed changes nothing in the
        distribution of what others contribute.

    Source:
        Abadi et al. 2016, section 3; the accountant's Poisson-sampled event assumes this sampler,
        and no other (not shuffling, not batches of fixed size).
    """

    def __init__(
        self,
        records: Sequence[OfPatient],
        *,
        unit: Unit,
        sampling_rate: float,
        max_records: int,
        stream: NoiseStream,
    ) -> None:
        if not 0 < sampling_rate <= 1:
            raise ValueError(f"sampling_rate must be in (0, 1], got {sampling_rate}")
        if max_records < 1:
            raise ValueError(f"max_records must be at least 1, got {max_records}")
        by_unit: dict[str, list[int]] = {}
        for index, record in enumerate(records):
            name = record.patient_id if unit == "patient" else record.record_id
            by_unit.setdefault(name, []).append(index)
        self._units = [by_unit[name] for name in sorted(by_unit)]
        self._threshold = int(Fraction(sampling_rate) * _WORD)
        self._max_records, self._stream = max_records, stream

    def draw(self) -> list[list[int]]:
        """One step's units, often none: the record indices of each, at least one."""
        words = self._stream.words(len(self._units))
        chosen = [
            unit
            for unit, word in zip(self._units, words.tolist(), strict=True)
            if word < self._threshold
        ]
        return [self._some(unit) for unit in chosen]

    def _some(self, unit: list[int]) -> list[int]:
        """`max_records` of a unit's records, every choice equally likely."""
        if len(unit) <= self._max_records:
            return unit
        keys = self._stream.words(len(unit))
        return [unit[place] for place in np.argsort(keys, kind="stable")[: self._max_records]]


def microbatches(units: Sequence[Sequence[int]], most_records: int) -> list[list[Sequence[int]]]:
    """Units in groups of at most `most_records` records, none of them parted.

    Args:
        units: record indices of each.
        most_records: of one group; a unit that is larger has a group of its own.
    """
    groups: list[list[Sequence[int]]] = []
    room = 0
    for unit in units:
        if not groups or room < len(unit):
            groups.append([])
            room = most_records
        groups[-1].append(unit)
        room -= len(unit)
    return groups
