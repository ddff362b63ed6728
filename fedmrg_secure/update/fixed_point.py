"""Real updates as integers on a grid: what is encrypted, and what the sum means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import FloatVector, IntVector

_PIECE: Final = 1 << 14
"""Values encoded at a time: they stay in the cache."""

_ROUNDER: Final = 1.5 * 2**52
"""A float64 whose last bit is worth 1: adding it rounds to the nearest integer, ties to even."""

_ROUNDER_BITS: Final = np.float64(_ROUNDER).view(np.int64)


class ValueOutOfRange(FedmrgError):
    """A coordinate exceeds the clip bound, or a weight its range."""

    code: ClassVar[str] = "FMRG-4003"


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A grid of step ``clip_norm / 2^precision_bits`` over [-clip_norm, clip_norm].

    A site's weight w in (0, 1] is its share of the largest declared one, public and applied before
    rounding, so that every integer keeps the bound of an unweighted one.

    Attributes:
        clip_norm: the L2 bound C on an update, > 0.
        precision_bits: 8 to 30.

    Guarantee:
        With sum_w the sum of the weights of n sites, each coordinate of `decode` differs from the
        weighted mean of the clipped updates by at most ``n * step / (2 * sum_w)`` plus float64
        rounding; with equal weights of 1 that is half a step. The codec is exact on integers:
        decoding depends on the sum alone, never on the order of adding.
    """

    clip_norm: float
    precision_bits: int

    def __post_init__(self) -> None:
        if not (self.clip_norm > 0 and math.isfinite(self.clip_norm)):
            raise ValueError(f"clip_norm must be positive and finite, got {self.clip_norm}")
        if not 8 <= self.precision_bits <= 30:
            raise ValueError(f"precision_bits must be 8 to 30, got {self.precision_bits}")

    @property
    def step(self) -> float:
        """The distance of neighbouring grid points, in the update's units."""
        return math.ldexp(self.clip_norm, -self.precision_bits)

    @property
    def max_abs_value(self) -> int:
        """The largest absolute value of an encoded coordinate: 2^precision_bits."""
        return 1 << self.precision_bits

    @property
    def max_norm(self) -> int:
        """The L2 norm of a clipped update in steps, before rounding: 2^precision_bits."""
        return 1 << self.precision_bits

    def error_bound(self, sites: int, total_weight: Fraction | int) -> float:
        """The largest error of a coordinate of the mean, in the update's units."""
        return sites * self.step / (2 * float(total_weight))

    def encode(self, update: FloatVector, weight: Fraction | int = 1) -> IntVector:
        """The nearest grid points of ``weight * update``, ties to even.

        Args:
            update: shape (parameters,), float64, each |x| <= clip_norm.
            weight: the site's share of the largest declared weight, in (0, 1].

        Returns:
            Shape (parameters,), int64, each at most `max_abs_value` in absolute value.

        Raises:
            ValueOutOfRange: NaN, infinity, |x| > clip_norm, or a weight outside (0, 1].
        """
        if not 0 < weight <= 1:
            raise ValueOutOfRange(f"a site's weight must be in (0, 1], got {weight}")
        encoded = np.empty(update.shape, dtype=np.int64)
        scaled = encoded.view(np.float64)
        for start in range(0, update.size, _PIECE):
            piece = slice(start, start + _PIECE)
            values = update[piece]
            # NaN passes through min and max and fails both comparisons.
            if not (values.max() <= self.clip_norm and values.min() >= -self.clip_norm):
                raise ValueOutOfRange(
                    f"a coordinate is not finite or exceeds the clip norm {self.clip_norm:g}",
                    hint="clip the update before encoding it",
                )
            np.multiply(values, float(weight) / self.step, out=scaled[piece])
            scaled[piece] += _ROUNDER
            encoded[piece] -= _ROUNDER_BITS
        return encoded

    def decode(self, total: IntVector, total_weight: Fraction | int) -> FloatVector:
        """The weighted mean that a sum of encoded updates stands for.

        Args:
            total: the exact integer sum, shape (parameters,), int64.
            total_weight: the sum of the weights of the sites in it, > 0.

        Returns:
            ``total * step / total_weight``, shape (parameters,), float64.
        """
        if total_weight <= 0:
            raise ValueOutOfRange(f"the total weight must be positive, got {total_weight}")
        return total.astype(np.float64) * (self.step / float(total_weight))
