"""Coin flips with probability exp(-x), decided without a rounding error.

A uniform real u in [0, 1) is known by its first bits; further bits are drawn when they are needed.
The comparison u < exp(-x) is made in float64 where the known bits decide it whatever the rounding
errors were, which these functions bound, and in exact integers otherwise. Only additions,
multiplications, divisions and table look-ups of float64 are used: IEEE 754 fixes each of them to
the last bit, no mathematical library is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import FloatVector, IntVector
from fedmrg_secure.privacy.randomness import NoiseStream

KNOWN_BITS: Final = 53
"""Bits of u that the float64 comparison looks at."""

ERROR: Final = 2.0**-46
"""What `exp_minus` may be away from exp(-x), in all: 16 times the bound that is proved there."""

_LARGEST: Final = 46.0
"""Above this exp(-x) is below `ERROR`."""

_PARTS: Final = 64
_COEFFICIENTS: Final = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)
"""1 / k! from k = 6 to 0: of the series of exp(-r)."""

_LOG2: Final = Decimal("0.69314718055994530941723212145817656807550013436025525412068")


def exp_minus(x: FloatVector) -> FloatVector:
    """exp(-x) for x >= 0, from single IEEE 754 operations.

    Args:
        x: shape (n,), float64, >= 0; infinity is allowed.

    Returns:
        Shape (n,), float64.

    Guarantee:
        Each value is within 2^-50 of exp(-x). With m = floor(64 x / ln 2) and r = x - m ln2 / 64,
        exp(-x) = 2^(-m/64) exp(-r), where r is in [-2^-40, 0.0109]: ln 2 / 64 is subtracted in two
        parts, of which the first has 32 bits, so that its product with m < 2^13 is exact; what is
        lost is below 2^-57. The polynomial of degree 6 misses exp(-r) by less than r^7 / 5040 <
        2^-57, its seven roundings by less than 2^-51 with that of the table and of the product.
    """
    bounded = np.minimum(x, _LARGEST)
    table, per_part, high, low = _table()
    part = bounded * per_part
    np.floor(part, out=part)
    scratch = part * high
    r = np.subtract(bounded, scratch, out=bounded)
    r -= np.multiply(part, low, out=scratch)
    series = np.multiply(r, _COEFFICIENTS[0], out=scratch)
    for coefficient in _COEFFICIENTS[1:-1]:
        np.subtract(coefficient, series, out=series)
        series *= r
    np.subtract(_COEFFICIENTS[-1], series, out=series)
    series *= table[part.astype(np.intp)]
    return series


@dataclass(slots=True)
class LazyUniform:
    """A uniform real u in [0, 1), of which the first bits are known: the slow, exact path.

    Attributes:
        bits: the known bits, as an integer.
        known: how many.
        stream: gives further ones.
    """

    bits: int
    known: int
    stream: NoiseStream

    def below_exp_minus(self, x: Fraction) -> bool:
        """Whether u < exp(-x), for a rational x >= 0: draws bits of u until that is decided."""
        if x == 0:
            return True
        while True:
            low, high = exp_minus_bounds(x, self.known + 8)
            if self.bits + 1 <= low * 2**self.known:
                return True
            if self.bits >= high * 2**self.known:
                return False
            self.bits = self.bits << 32 | self.stream.bits(32)
            self.known += 32


def exp_minus_bounds(x: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """Rationals below and above exp(-x), at most 2^-bits apart.

    Args:
        x: >= 0.
        bits: >= 1.
    """
    halvings = max(0, (x.numerator // x.denominator).bit_length() + 1)
    # exp(-x) = exp(-x / 2^h)^(2^h); squaring doubles an absolute error at most, as values are <= 1.
    working = bits + 2 * halvings + 8
    one = 1 << working
    y = x / 2**halvings
    term, total, order = one, one, 0
    while term:
        order += 1
        # Rounded towards zero: at most one unit lost a term.
        term = term * y.numerator // (y.denominator * order)
        total += -term if order % 2 else term
    error = order + 2
    low, high = max(total - error, 0), min(total + error, one)
    for _ in range(halvings):
        low, high = low * low >> working, -(-high * high >> working)
    return Fraction(low, one), Fraction(high, one)


@cache
def geometric_thresholds() -> npt.NDArray[np.uint64]:
    """floor(2^64 exp(-k)) for k = 1 to 45, the last of which is 0; shape (45,), uint64."""
    with localcontext() as context:
        context.prec = 60
        return np.array(
            [int(Decimal(2) ** 64 * (-Decimal(k)).exp()) for k in range(1, 46)], dtype=np.uint64
        )


@cache
def _table() -> tuple[FloatVector, float, float, float]:
    """2^(-m/64) for m >= 0; 64 / ln 2; and ln 2 / 64 as a sum of 32 and 53 bits."""
    with localcontext() as context:
        context.prec = 60
        step = _LOG2 / _PARTS
        high = float(int(step * 2**38)) / 2**38
        low = float(step - Decimal(high))
        size = int(Decimal(_LARGEST) / step) + 2
        ratio, value, values = (-step).exp(), Decimal(1), []
        for _ in range(size):
            values.append(float(value))
            value *= ratio
        return np.array(values), float(1 / step), high, low


def first_undecided(
    known: IntVector, probability: FloatVector
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Compare the first 53 bits of u with exp(-x), and say which comparisons remain open.

    Args:
        known: the bits, shape (n,), int64, each below 2^53.
        probability: from `exp_minus`, shape (n,).

    Returns:
        Whether u < exp(-x), shape (n,), right except at the indices of the second array.
    """
    margin = known * 2.0**-KNOWN_BITS
    margin -= probability
    below = margin < 0
    return below, np.flatnonzero(np.abs(margin, out=margin) <= ERROR)
