"""The integer grid of a noisy sum: what one unit adds, bounded exactly; the noise; and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import FloatVector, IntVector
from fedmrg_secure.privacy.events import GridNoise
from fedmrg_secure.privacy.mechanism import discrete_gaussian
from fedmrg_secure.privacy.noise_ahead import NoiseAhead
from fedmrg_secure.privacy.randomness import NoiseStream

SENSITIVITY: Final = 1 << 32
"""Grid steps a clip norm: so fine that the noise costs what continuous noise costs (`coupling`)."""

MAX_SENSITIVITY: Final = 1 << 40
_HALF: Final = 20
_PIECE: Final = 1 << 13
"""Coordinates at a time: their scratch stays in the cache. A sum of so many rounded squares is off
by 2^-40 of itself at most, in whatever order they are added."""

_ROUNDING: Final = 2.0**-40
"""By how much a unit is clipped too short: twice what the computed norm may be off."""


class UnitNotFinite(FedmrgError):
    """What one patient or record adds to a sum is NaN or infinite."""

    code: ClassVar[str] = "FMRG-4612"


class SensitivityExceeded(FedmrgError):
    """What one patient or record adds to a sum is longer than the noise was made for."""

    code: ClassVar[str] = "FMRG-4613"


@dataclass(frozen=True, slots=True)
class Grid:
    """Integers that stand for multiples of ``clip_norm / sensitivity``.

    Attributes:
        clip_norm: the L2 bound C on what one unit adds, > 0.
        sensitivity: the same bound in grid steps, 2 to 2^40.
    """

    clip_norm: float
    sensitivity: int = SENSITIVITY

    def __post_init__(self) -> None:
        if not 0 < self.clip_norm < math.inf:
            raise ValueError(f"clip_norm must be positive and finite, got {self.clip_norm}")
        if not 2 <= self.sensitivity <= MAX_SENSITIVITY:
            raise ValueError(f"sensitivity must be 2 to 2^40 steps, got {self.sensitivity}")

    @property
    def step(self) -> float:
        """The distance of neighbouring grid points."""
        return self.clip_norm / self.sensitivity

    def encode(self, unit: FloatVector) -> IntVector:
        """Clip what one unit adds to norm C, and round it to the grid towards zero.

        Args:
            unit: shape (coordinates,), finite.

        Returns:
            Shape (coordinates,), int64.

        Guarantee:
            The result's L2 norm is at most `sensitivity`, in exact integers: rounding towards zero
            shortens every coordinate, and the norm is checked without overflow or rounding.

        Raises:
            UnitNotFinite: NaN or infinity.
        """
        largest = _largest(unit)
        if not math.isfinite(largest):
            raise UnitNotFinite(
                "a gradient holds NaN or infinity",
                hint="lower the learning rate, or look for a broken record in the training data",
            )
        encoded = np.zeros(unit.shape, dtype=np.int64)
        if largest == 0.0:
            return encoded
        length = max(self.clip_norm, largest * _relative_norm(unit, largest))
        factor = self.sensitivity / length * (1 - _ROUNDING)
        scratch = np.empty(min(_PIECE, unit.size))
        for piece in _pieces(unit.size):
            scaled = np.multiply(unit[piece], factor, out=scratch[: len(unit[piece])])
            np.copyto(encoded[piece], scaled, casting="unsafe")  # drops the fraction
        check_sensitivity(encoded, self.sensitivity)
        return encoded

    def noise_of(self, noise_multiplier: float, coordinates: int) -> GridNoise:
        """The noise that a multiplier stands for on this grid: sigma is rounded up to a step."""
        exact = Fraction(noise_multiplier) * self.sensitivity
        return GridNoise(Fraction(math.ceil(exact)), Fraction(self.sensitivity), coordinates)

    def decode(self, total: IntVector) -> FloatVector:
        """What an integer sum stands for, shape (coordinates,), float64."""
        return total.astype(np.float64) * self.step


def add_noise(total: IntVector, noise: GridNoise, source: NoiseStream | NoiseAhead) -> IntVector:
    """An integer sum with fresh discrete Gaussian noise on every coordinate.

    Args:
        total: the sum of what the units add, shape (coordinates,), int64; zeros for an empty batch.
        noise: as it is accounted for; its coordinates are those of `total`.
        source: `NoiseStream.fresh()` outside of tests, or the noise that was drawn ahead from one.
    """
    if total.shape != (noise.coordinates,):
        raise ValueError(f"the noise is for {noise.coordinates} coordinates, got {total.shape}")
    if isinstance(source, NoiseAhead):
        return total + source.take(noise)
    return total + discrete_gaussian(total.size, noise.sigma, source)


def check_sensitivity(unit: IntVector, sensitivity: int) -> None:
    """Check, in exact integers, that what one unit adds is no longer than the noise was made for.

    Args:
        unit: shape (coordinates,), int64.
        sensitivity: the bound, up to 2^40 steps.

    Raises:
        SensitivityExceeded: its L2 norm is larger.
    """
    # Whole numbers up to 2^53 are floats without rounding, and no larger one rounds below that.
    if _largest(unit) > sensitivity or _squared_norm(unit) > sensitivity**2:
        raise SensitivityExceeded(
            f"what one patient or record adds is longer than {sensitivity} grid steps",
            hint="it must be clipped before it is summed",
        )


def _pieces(size: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE) for start in range(0, size, _PIECE))


def _largest(vector: FloatVector | IntVector) -> float:
    """The largest magnitude; NaN if there is one, 0 of nothing."""
    if not vector.size:
        return 0.0
    highest, lowest = float(vector.max()), float(vector.min())
    return max(highest, -lowest)


def _relative_norm(vector: FloatVector, largest: float) -> float:
    """||vector|| / largest, off by 2^-41 of itself at most; nothing overflows on the way."""
    scratch = np.empty(min(_PIECE, vector.size))
    squares = []
    for piece in _pieces(vector.size):
        scaled = np.divide(vector[piece], largest, out=scratch[: len(vector[piece])])
        squares.append(float(scaled @ scaled))
    return math.sqrt(math.fsum(squares))


def _squared_norm(vector: IntVector) -> int:
    """The exact squared L2 norm of integers up to 2^40, in halves that cannot overflow."""
    total = 0
    for piece in _pieces(vector.size):
        high, low = vector[piece] >> _HALF, vector[piece] & ((1 << _HALF) - 1)
        total += (
            (int(high @ high) << (2 * _HALF)) + (int(high @ low) << (_HALF + 1)) + int(low @ low)
        )
    return total
