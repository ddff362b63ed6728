"""Arithmetic modulo q in exact float64, and the roots of unity of the transform.

An integer below 2^53 is exact in float64, and so is every sum and product that stays below. A
factor modulo q is split into two signed limbs of 15 bits, so that a product with a residue has at
most 44 bits, and 64 such products, added in any order by any BLAS, at most 50.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import FloatVector, IntVector
from fedmrg_secure.crypto.multiparty_budget import RING_DEGREE, RING_MODULUS

RingVector = npt.NDArray[np.uint32]
"""Residues modulo q, each below q."""

PSI: Final = 42341
"""The smallest primitive 4096th root of unity modulo q."""

LIMB_BITS: Final = 15
_LIMB: Final = float(1 << LIMB_BITS)
_Q: Final = float(RING_MODULUS)
_INVERSE_Q: Final = 1.0 / RING_MODULUS


@dataclass(frozen=True, slots=True)
class Limbs:
    """Factors modulo q as ``high * 2^15 + low``, both float64 integers within +-2^14."""

    high: FloatVector
    low: FloatVector

    @classmethod
    def of(cls, factors: npt.ArrayLike) -> Limbs:
        """The limbs of residues below q, any shape."""
        centred = np.asarray(factors).astype(np.int64)
        centred = np.where(centred > RING_MODULUS // 2, centred - RING_MODULUS, centred)
        half = 1 << LIMB_BITS - 1
        low = (centred + half) % (1 << LIMB_BITS) - half
        high = (centred - low) >> LIMB_BITS
        return cls(high.astype(np.float64), low.astype(np.float64))


def reduce(values: FloatVector) -> None:
    """Subtract multiples of q in place until each value lies within about +-q/2.

    Args:
        values: float64 integers below 2^52 in absolute value, any shape; changed.
    """
    quotient = values * _INVERSE_Q
    np.rint(quotient, out=quotient)
    quotient *= _Q
    values -= quotient


def join(high: FloatVector, low: FloatVector) -> FloatVector:
    """``high * 2^15 + low`` modulo q, reduced as by `reduce`; `high` is overwritten."""
    reduce(high)
    high *= _LIMB
    high += low
    reduce(high)
    return high


def to_ring(values: FloatVector) -> RingVector:
    """Float64 integers that `reduce` has been at, as residues in [0, q)."""
    return np.where(values < 0, values + _Q, values).astype(np.uint32)


def centre(values: IntVector) -> None:
    """Representatives within +-(q-1)/2 of integers within +-q, in place."""
    half = (RING_MODULUS - 1) // 2
    values -= RING_MODULUS * (values > half)
    values += RING_MODULUS * (values < -half)


def powers(exponents: npt.NDArray[np.int64]) -> IntVector:
    """``PSI^exponents mod q`` for integer exponents of any sign and shape."""
    order = 2 * RING_DEGREE
    table = [1]
    for _ in range(order - 1):
        table.append(table[-1] * PSI % RING_MODULUS)
    return np.array(table, dtype=np.int64)[exponents % order]


def reverse_bits(count: int) -> IntVector:
    """The bit reversal of 0 to count - 1, count a power of two."""
    reversed_: IntVector = np.zeros(1, dtype=np.int64)
    while reversed_.size < count:
        reversed_ = np.concatenate((2 * reversed_, 2 * reversed_ + 1))
    return reversed_
