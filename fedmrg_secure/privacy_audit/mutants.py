"""Private paths that are broken on purpose, each in one way: the audit must see every one.

They stand here so that nothing that trains can reach them. Each is the real path but for one
thing, which is a mistake that has been made in earnest somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.privacy.grid import SENSITIVITY
from fedmrg_secure.privacy.randomness import KEY_BYTES, NoiseStream
from fedmrg_secure.privacy_audit.worlds import MakePath
from fedmrg_secure.training.private_step import GradientsOf, PrivateSteps, PrivateTraining
from fedmrg_secure.training.private_sum import Part, PrivateSum
from fedmrg_secure.training.unit_sampling import OfPatient, UnitSampler

Released = dict[str, npt.NDArray[np.float32]]

_FAR: Final = 1e3
"""A clip bound that clips nothing, over the one that is claimed."""

_SEED: Final = b"a seed in place of entropy".ljust(KEY_BYTES, b".")


def half_sigma(
    private: PrivateTraining,
    records: Sequence[OfPatient],
    parts: Sequence[Part],
    most_records: int,
) -> PrivateSteps:
    """Draws half of the noise that is accounted for."""
    less = replace(private, noise_multiplier=private.noise_multiplier / 2)
    return PrivateSteps(less, records, parts, most_records)


def no_clip(
    private: PrivateTraining,
    records: Sequence[OfPatient],
    parts: Sequence[Part],
    most_records: int,
) -> PrivateSteps:
    """Sums units as they are, and adds the noise of the bound that is claimed."""
    terms = replace(private.terms, clip_norm=_FAR * private.terms.clip_norm)
    loose = replace(private, terms=terms, noise_multiplier=private.noise_multiplier / _FAR)
    return PrivateSteps(loose, records, parts, most_records)


class NoiseOff(PrivateSteps):
    """Releases the sum as it is."""

    def release(self, total: PrivateSum) -> Released:
        """Without noise, for parameters of one tensor."""
        terms = self.private.terms
        values = total.total * (terms.clip_norm / SENSITIVITY) / terms.expected_batch
        ((name, parameter),) = self.parts[0].items()
        return {name: values.astype(np.float32).reshape(parameter.shape)}


class RecordsClipped(PrivateSteps):
    """Clips each record and not the patient."""

    def total(self, units: Sequence[Sequence[int]], gradients_of: GradientsOf) -> PrivateSum:
        """Each record on its own."""
        return super().total([[index] for unit in units for index in unit], gradients_of)


class PrivateNormaliser(PrivateSteps):
    """Divides by how many units were drawn."""

    def total(self, units: Sequence[Sequence[int]], gradients_of: GradientsOf) -> PrivateSum:
        """The right sum; how many are in it is remembered."""
        self._taken = len(units)
        return super().total(units, gradients_of)

    def release(self, total: PrivateSum) -> Released:
        """Over a number that nobody may know."""
        private = self.private
        return total.release(private.noise_multiplier, max(1, self._taken), private.stream)


class EmptySkipped(PrivateSteps):
    """Takes no noise step where nobody was drawn."""

    def release(self, total: PrivateSum) -> Released:
        """Zeros for a sum of zeros."""
        released = super().release(total)
        return released if total.total.any() else {n: 0 * v for n, v in released.items()}


class NoiseOfStepReused(PrivateSteps):
    """Seeds the noise anew in each step."""

    def release(self, total: PrivateSum) -> Released:
        """With the noise of every other step."""
        private = self.private
        stream = NoiseStream.insecure_from_key(_SEED)
        return total.release(private.noise_multiplier, private.terms.expected_batch, stream)


class NoiseOfRunReused(PrivateSteps):
    """Seeds the noise once a run, with the run's public seed."""

    @cached_property
    def _seeded(self) -> NoiseStream:
        return NoiseStream.insecure_from_key(_SEED)

    def release(self, total: PrivateSum) -> Released:
        """With the noise of the same step of every other run."""
        private = self.private
        return total.release(private.noise_multiplier, private.terms.expected_batch, self._seeded)


class Shuffled(PrivateSteps):
    """Deals all units into batches of one size, epoch after epoch."""

    def __init__(
        self,
        private: PrivateTraining,
        records: Sequence[OfPatient],
        parts: Sequence[Part],
        most_records: int,
    ) -> None:
        super().__init__(private, records, parts, most_records)
        terms = private.terms
        everybody = UnitSampler(
            records,
            unit=terms.unit,
            sampling_rate=1.0,
            max_records=terms.max_records,
            stream=private.stream,
        )
        self._units = everybody.draw()
        self._size = round(terms.sampling_rate * len(self._units))
        self._dealt: list[list[int]] = []

    def draw(self) -> list[list[int]]:
        """The next batch of this epoch."""
        if len(self._dealt) < self._size:
            order = np.argsort(self.private.stream.words(len(self._units)), kind="stable")
            self._dealt = [self._units[place] for place in order]
        batch, self._dealt = self._dealt[: self._size], self._dealt[self._size :]
        return batch


MUTANTS: Final[Mapping[str, MakePath]] = {
    "noise off": NoiseOff,
    "half of sigma": half_sigma,
    "no clip": no_clip,
    "records clipped, not patients": RecordsClipped,
    "divided by the number drawn": PrivateNormaliser,
    "no noise in an empty batch": EmptySkipped,
    "noise reused in each step": NoiseOfStepReused,
    "noise reused in each run": NoiseOfRunReused,
    "shuffled batches": Shuffled,
}
"""By what is wrong with it."""
