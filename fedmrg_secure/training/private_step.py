"""A private step from a site's records to the gradient that may be used, whatever the model.

The trainer takes its steps here, and so does the audit of the mechanism: who is drawn, what is
summed, how much noise comes to it and what it is divided by are one and the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fedmrg_secure.core.privacy_terms import PrivacyTerms
from fedmrg_secure.privacy.noise_ahead import NoiseAhead
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.private_sum import Part, PrivateSum, coordinates, noise_of
from fedmrg_secure.training.unit_sampling import OfPatient, UnitSampler, microbatches

GradientsOf = Callable[[Sequence[int]], Mapping[str, Tensor]]
"""From the indices of records to each one's gradient, by name: shape (records, ...)."""


@dataclass(frozen=True, slots=True)
class PrivateTraining:
    """How a site's steps are made private.

    Attributes:
        terms: the public constants of this site.
        noise_multiplier: standard deviation of the noise over the clip bound.
        stream: secret; `NoiseStream.fresh()` outside of tests.
    """

    terms: PrivacyTerms
    noise_multiplier: float
    stream: NoiseStream


class PrivateSteps:
    """The private steps of one site over one set of parameters.

    Args:
        private: constants, noise and stream.
        records: the site's own; none is allowed.
        parts: what gets noise, in the groups that are clipped together.
        most_records: of one call for gradients; a unit with more is not parted.

    Guarantee:
        What `release` gives for the `total` of a `draw` is one output of the Poisson-sampled
        discrete Gaussian mechanism with the terms' sampling rate and the noise multiplier, for
        adding or removing one unit.
    """

    def __init__(
        self,
        private: PrivateTraining,
        records: Sequence[OfPatient],
        parts: Sequence[Part],
        most_records: int,
    ) -> None:
        terms = private.terms
        self.private, self.records = private, records
        self.parts, self.most_records = parts, most_records
        self._noise = noise_of(private.noise_multiplier, coordinates(parts))
        self._ahead: NoiseAhead | None = None
        self._sampler = UnitSampler(
            records,
            unit=terms.unit,
            sampling_rate=terms.sampling_rate,
            max_records=terms.max_records,
            stream=private.stream,
        )

    def draw(self) -> list[list[int]]:
        """One step's units, often none: the record indices of each, at least one."""
        return self._sampler.draw()

    def total(self, units: Sequence[Sequence[int]], gradients_of: GradientsOf) -> PrivateSum:
        """The sum of units, each clipped on its own, before noise: never to leave the site.

        Meanwhile a thread draws the noise of its first release.

        Args:
            units: of one `draw`.
            gradients_of: asked for at most `most_records` records at a time, in order.
        """
        self._ahead = NoiseAhead(self._noise, self.private.stream)
        total = PrivateSum(self.parts, self.private.terms.clip_norm)
        for group in microbatches(units, self.most_records):
            gradients = gradients_of([index for unit in group for index in unit])
            start = 0
            for unit in group:
                total.add(gradients, range(start, start + len(unit)))
                start += len(unit)
            del gradients  # as large as all that is trained, times the records
        return total

    def release(self, total: PrivateSum) -> dict[str, npt.NDArray[np.float32]]:
        """The sum with fresh noise over the public constant; by name, each parameter's shape."""
        private = self.private
        source, self._ahead = self._ahead or private.stream, None
        return total.release(private.noise_multiplier, private.terms.expected_batch, source)
