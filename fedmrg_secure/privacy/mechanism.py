"""The discrete Gaussian: noise that is an integer from the start.

Rounded or floating-point Gaussian noise has gaps that depend on what it was added to, and a reader
of the low bits can undo it (Mironov 2012). Noise on the integers, added to integers, has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.privacy.exponential import (
    KNOWN_BITS,
    LazyUniform,
    exp_minus,
    first_undecided,
    geometric_thresholds,
)
from fedmrg_secure.privacy.randomness import NoiseStream

MAX_SIGMA: Final = 1 << 40
MIN_SIGMA: Final = Fraction(1, 1 << 10)
_PROPOSALS: Final = 1 << 14
"""Proposals at a time: their scratch stays in the cache."""


class SigmaOutOfRange(FedmrgError):
    """The standard deviation of the noise is not one that can be sampled."""

    code: ClassVar[str] = "FMRG-4611"


def discrete_gaussian(size: int, sigma: Fraction | float, stream: NoiseStream) -> IntVector:
    """Independent samples of the discrete Gaussian N_Z(0, sigma^2).

    Args:
        size: how many, >= 0.
        sigma: the parameter in grid steps, 2^-10 to 2^40; a float stands for the rational that it
            is. The standard deviation is at most that.
        stream: where the randomness comes from; `NoiseStream.fresh()` outside of tests.

    Returns:
        Shape (size,), int64.

    Raises:
        SigmaOutOfRange: sigma is NaN, infinite or out of range.

    Guarantee:
        P[X = x] is proportional to exp(-x^2 / (2 sigma^2)) for every integer x, exactly, if the
        stream's bits are uniform: every decision is one of integers, or one of float64 whose error
        is bounded and which is made anew in exact integers where the bound does not decide it.

    Assumes:
        Nobody measures how long sampling takes: the number of proposals is random, though
        independent of what the noise is added to.

    Source:
        Canonne, Kamath, Steinke 2020, algorithms 1 to 3. A proposal of theirs is accepted by one
        coin exp(-(a + b)) instead of two, exp(-a) and exp(-b).
    """
    if size < 0:
        raise ValueError(f"size must be at least 0, got {size}")
    law = _Law.of(sigma)
    result = np.empty(size, dtype=np.int64)
    filled = 0
    while filled < size:
        wanted = size - filled
        batch = _accepted(law, min(_PROPOSALS, 3 * wanted + 64), stream)[:wanted]
        result[filled : filled + batch.size] = batch
        filled += batch.size
    return result


@dataclass(frozen=True, slots=True)
class _Law:
    """sigma, and what follows from it: t = floor(sigma) + 1, the scale of the proposals."""

    variance: Fraction
    t: int

    @classmethod
    def of(cls, sigma: Fraction | float) -> _Law:
        if isinstance(sigma, float) and not math.isfinite(sigma):
            raise SigmaOutOfRange(f"sigma must be finite, got {sigma}")
        exact = Fraction(sigma)
        if not MIN_SIGMA <= exact <= MAX_SIGMA:
            raise SigmaOutOfRange(
                f"sigma must be 2^-10 to 2^40 grid steps, got {float(exact):g}",
                hint="choose another grid: noise that is small or huge against its step is useless",
            )
        return cls(exact * exact, math.floor(exact) + 1)

    def exponent(self, offset: int, magnitude: int) -> Fraction:
        """What a proposal |Y| = magnitude = offset + t V is accepted with: exp(-this)."""
        return Fraction(offset, self.t) + (magnitude - self.variance / self.t) ** 2 / (
            2 * self.variance
        )


def _accepted(law: _Law, count: int, stream: NoiseStream) -> IntVector:
    """What remains of `count` proposals, in their order: shape (at most count,), int64.

    A proposal is Y = +-(U + t V): U uniform in 0..t-1, V geometric with exp(-1), a fair sign. The
    coin exp(-U/t) makes U + t V the magnitude of a discrete Laplace variable of scale t, the coin
    exp(-(|Y| - sigma^2/t)^2 / (2 sigma^2)) makes that a discrete Gaussian.
    """
    words = stream.words(3 * count).reshape(3, count)
    t = np.uint64(law.t)
    quotient = words[0] // t
    # The last, incomplete run of t words would favour small remainders.
    fair = quotient <= np.uint64((1 << 64) // law.t - 1)
    offset = np.subtract(words[0], np.multiply(quotient, t, out=quotient), out=quotient)
    offset = offset.view(np.int64)  # below t
    magnitude = _geometric(words[1], stream)
    magnitude *= law.t
    magnitude += offset
    known = (words[2] >> np.uint64(64 - KNOWN_BITS)).view(np.int64)

    exponent = magnitude.astype(np.float64)
    exponent -= float(law.variance / law.t)
    exponent *= exponent
    exponent *= 1 / (2 * float(law.variance))
    exponent += offset / float(law.t)
    accept, undecided = first_undecided(known, exp_minus(exponent))
    for index in undecided.tolist():
        exact = law.exponent(int(offset[index]), int(magnitude[index]))
        accept[index] = LazyUniform(int(known[index]), KNOWN_BITS, stream).below_exp_minus(exact)
    accept &= fair
    accepted = np.flatnonzero(accept)
    signed: IntVector = magnitude[accepted]
    negative = (words[2][accepted] & np.uint64(1)).view(np.int64)
    # Zero has two signs and must not count twice.
    twice = (signed == 0) & (negative == 1)
    signed *= 1 - 2 * negative
    return signed[~twice] if twice.any() else signed


def _geometric(words: npt.NDArray[np.uint64], stream: NoiseStream) -> IntVector:
    """V with P[V >= k] = exp(-k): the k with exp(-k-1) <= u < exp(-k), where u begins with `words`.

    Exact: a word decides unless it is the first 64 bits of some exp(-k), and then more are drawn.
    """
    thresholds = geometric_thresholds()
    smaller_than = np.zeros(words.shape, dtype=np.uint8)
    for threshold in thresholds:
        smaller = words < threshold
        if not smaller.any():
            break
        smaller_than += smaller.view(np.uint8)
    count = smaller_than.astype(np.int64)
    for index in np.flatnonzero(words == thresholds[count]).tolist():
        uniform = LazyUniform(int(words[index]), 64, stream)
        while uniform.below_exp_minus(Fraction(int(count[index]) + 1)):
            count[index] += 1
    return count
