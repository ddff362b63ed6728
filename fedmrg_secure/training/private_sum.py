"""The noised sum of units' clipped gradients: the one thing of a private step that may be used.

Everything that bounds what a patient can change stands here and in `privacy.grid`, in integers:
clip, round, add, noise. What follows, from the optimiser to the encrypted update, is
post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedmrg_secure.core.types import FloatVector, IntVector
from fedmrg_secure.privacy.events import GridNoise
from fedmrg_secure.privacy.grid import SENSITIVITY, Grid, UnitNotFinite, add_noise
from fedmrg_secure.privacy.noise_ahead import NoiseAhead
from fedmrg_secure.privacy.randomness import NoiseStream

Part = Mapping[str, nn.Parameter]


class PrivateSum:
    """A step's sum over units, in integers on a grid.

    A *part* is a group of tensors that are clipped together. With n parts each has the bound
    C / sqrt(n): C_G^2 + C_S^2 = C^2.

    Args:
        parts: parameters by name, in one group or more; no parameter twice.
        clip_norm: C, > 0, in the gradient's units.

    Guarantee:
        The sums of any two sets of units, of which one has one unit more, differ by at most
        `sensitivity` in L2 norm, in exact integers (`Grid.encode` clips and checks each unit).

    Assumes:
        A record's gradient does not depend on other records. In exact arithmetic it does not
        (`private_checks` tries it); in float32 its last bits may change with the padding of a
        batch, which this account does not cover.

    Edge cases:
        ===========================  ==================================
        no unit                      the sum is zero; noise comes to it
        NaN or infinity in a unit    the unit counts as zero
        ===========================  ==================================
    """

    sensitivity = SENSITIVITY

    def __init__(self, parts: Sequence[Part], clip_norm: float) -> None:
        bound = math.isqrt(SENSITIVITY**2 // len(parts))
        grid = Grid(clip_norm * (bound / SENSITIVITY), bound)
        self._shapes = {n: tuple(part[n].shape) for part in parts for n in sorted(part)}
        self._grid = grid
        self._parts = [tuple(sorted(part)) for part in parts]
        self._total = np.zeros(coordinates(parts), dtype=np.int64)

    def add(self, gradients: Mapping[str, Tensor], rows: Sequence[int]) -> None:
        """Sum one unit's records, clip, round and add.

        Args:
            gradients: of each record of a batch, by name, shape (records, ...).
            rows: which of the records are this unit's; all of them are in this batch.
        """
        try:
            encoded = [
                self._grid.encode(_unit_sum([gradients[name] for name in part], rows))
                for part in self._parts
            ]
        except UnitNotFinite:
            return  # to raise would tell that there is such a unit
        start = 0
        for each in encoded:
            self._total[start : start + each.size] += each
            start += each.size

    def release(
        self, noise_multiplier: float, divisor: float, source: NoiseStream | NoiseAhead
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The sum with fresh noise, over a public constant: this step's gradient.

        Args:
            noise_multiplier: standard deviation of each coordinate's noise over C.
            divisor: public: the expected number of units, never their number.
            source: `NoiseStream.fresh()` outside of tests, or noise drawn ahead from one.

        Returns:
            By name, each of its parameter's shape, float32.
        """
        noised = add_noise(self._total, noise_of(noise_multiplier, self._total.size), source)
        values = self._grid.decode(noised) / divisor
        released, start = {}, 0
        for name, shape in self._shapes.items():
            end = start + math.prod(shape)
            with np.errstate(over="ignore"):  # infinity, which the trainer finds
                released[name] = values[start:end].astype(np.float32).reshape(shape)
            start = end
        return released

    @property
    def total(self) -> IntVector:
        """The sum before noise, of a site's own patients: never to leave it; shape (size,)."""
        return self._total.copy()


def coordinates(parts: Sequence[Part]) -> int:
    """How many values of all parts get noise."""
    return sum(parameter.numel() for part in parts for parameter in part.values())


def noise_of(noise_multiplier: float, size: int) -> GridNoise:
    """The noise of a step over `size` values, whatever the parts: as `release` draws it."""
    return Grid(1.0, SENSITIVITY).noise_of(noise_multiplier, size)


@torch.no_grad()
def _unit_sum(gradients: Sequence[Tensor], rows: Sequence[int]) -> FloatVector:
    """Shape (coordinates,), float64, of records' gradients of shape (records, ...)."""
    size = sum(each[0].numel() for each in gradients)
    total = torch.empty(size, dtype=torch.float64, device=gradients[0].device)
    parts = total.split([each[0].numel() for each in gradients])
    for part, each in zip(parts, gradients, strict=True):
        part.copy_(each[rows[0]].flatten())
        for row in rows[1:]:
            part.add_(each[row].flatten())
    return total.cpu().numpy()
