"""The public constants and the noise budget of ``ckks-multiparty``.

This module loads neither tenseal nor torch nor anything that can open: the coordinator uses it.
docs/crypto-spec.md has the derivation:

* A coefficient of a site is ``c = (a*s)_j + e_j + scale*v_j mod q``, ``|e_j| <= MAX_NOISE``, with
  ``(a*s)_j`` exactly uniform modulo q over the choice of s, independent of e and v.
* On the wire is ``y = round(c * 2^w / q) mod 2^w``. The rounding error is exactly uniform on a
  symmetric grid within +-1/2, and independent between sites.
* Opening lifts the sum Y to ``round(Y * q / 2^w)``, which errs by at most 1/2, and takes a*S off.
  What is left is ``scale * sum(v) + T`` with ``T = sum(e) + (q/2^w) * sum(rounding) + lift``.
* Both parts are strictly sub-Gaussian, so ``|T|`` exceeds `TAIL_SIGMAS` standard deviations with
  probability below ``2 exp(-TAIL_SIGMAS^2 / 2)``: 2^-61 over 5e7 coefficients together.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

RING_DEGREE: Final = 2048
RING_MODULUS: Final = 1073692673
"""q: the largest prime below 2^30 that is 1 modulo 4096."""

RING_BITS: Final = 30
"""Bits of a packed residue modulo q, as in shares and keys."""

WIRE_BITS: Final = (16, 20, 24, 30)
"""Allowed widths w of a residue on the wire."""

DEFAULT_WIRE_BITS: Final = 20
CHECK_VALUES: Final = 64
"""Zeros at the end of a vector's last polynomial."""

MAX_NOISE: Final = 21
NOISE_VARIANCE: Final = Fraction(21, 2)
"""Of a coefficient of the error, a centred binomial of 21 coin pairs."""

TAIL_SIGMAS: Final = 11
"""``5e7 * 2 exp(-11^2 / 2) < 2^-60``."""


def wire_unit(wire_bits: int) -> Fraction:
    """What one step on the wire is worth, q / 2^w units of the ring."""
    return Fraction(RING_MODULUS, 1 << wire_bits)


def noise_variance(sites: int, wire_bits: int) -> Fraction:
    """Variance of T, squared units of the ring; the lift's 1/12 included."""
    rounding = wire_unit(wire_bits) ** 2 / 12
    return sites * (NOISE_VARIANCE + rounding) + Fraction(1, 12)


def noise_bound(sites: int, wire_bits: int) -> int:
    """A bound on |T| of a sum of `sites`, units of the ring, rounded up.

    The smaller of what can happen at all and of `TAIL_SIGMAS` standard deviations.
    """
    always = sites * (MAX_NOISE + wire_unit(wire_bits) / 2) + Fraction(1, 2)
    # The lift's error is no random variable of the sites: it counts in full beside the tail.
    tail = TAIL_SIGMAS * math.sqrt(noise_variance(sites, wire_bits)) + 0.5
    return min(math.ceil(always), math.ceil(tail))


def largest_scale(sites: int, max_abs_value: int, wire_bits: int) -> int:
    """The largest scale with which a sum of `sites` never wraps around q; below 1: none does."""
    room = (RING_MODULUS - 1) // 2 - noise_bound(sites, wire_bits)
    return room // (sites * max_abs_value)


def required_ring_modulus(sites: int, max_abs_value: int, scale: int, wire_bits: int) -> int:
    """The smallest odd modulus that holds the sum of `sites` with its noise, both signs."""
    return 2 * (sites * max_abs_value * scale + noise_bound(sites, wire_bits)) + 1


def sum_error_bound(sites: int, scale: int, wire_bits: int) -> int:
    """A bound on ``|opened - exact|`` in grid steps: 0 where the noise is below half a step."""
    # opened = floor((t + scale/2) / scale), so |opened - exact| = k needs |T| >= k*scale - scale/2.
    return (2 * noise_bound(sites, wire_bits) + scale) // (2 * scale)


def sum_error_rms(sites: int, scale: int, wire_bits: int) -> float:
    """The root mean square of ``opened - exact`` in grid steps, rounding to the grid included.

    0 where `sum_error_bound` is 0; else the noise and a grid step's rounding, which is what it
    comes to where the noise is no smaller than a step, and an upper bound where it is.
    """
    if sum_error_bound(sites, scale, wire_bits) == 0:
        return 0.0
    return math.sqrt(float(noise_variance(sites, wire_bits)) / scale**2 + 1 / 12)
