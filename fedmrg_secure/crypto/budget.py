"""The noise budget of ``ckks-shared`` and the table of safe parameters.

docs/secure-aggregation.md has the derivation:

* d integers of a site share one real coordinate as digits, ``u = sum(v_k * base^k)``, where
  ``base = 2 * sites * max_abs_value + 1`` keeps the digits of a sum apart.
* A block is N coordinates, two to a complex slot. They become coefficients
  ``m = round(scale * embedding(u))`` with ``|m_j| <= scale * ||u||_2 / sqrt(N / 2)``.
* A fresh symmetric encryption adds e with N independent coefficients of variance
  ``NOISE_VARIANCE`` (SEAL's centred binomial, 21 coin pairs) and the rounding above at most 1/2.
* Decoding the sum of n sites gives ``scale * sum(u) + noise`` in each real coordinate, noise of
  variance ``(n * NOISE_VARIANCE + n^2 / 12) * N / 2``: encryption noise is independent, the
  encoder's rounding is the same where sites send the same.
* The scale puts half a grid step at `MARGIN_SIGMAS` standard deviations, so that rounding
  ``decoded / scale`` gives the exact integer sum; a centred binomial is sub-Gaussian, so a
  coordinate fails with probability below ``2 exp(-MARGIN_SIGMAS^2 / 2) < 4e-22``.
* The sum fits while ``scale * n * ||u||_2 / sqrt(N / 2) + 22 * n < modulus / 2``.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from fedmrg_secure.crypto.errors import UnsafeParameters

MAX_MODULUS_BITS: Final = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438}
"""Ring degree -> largest log2 q for 128-bit classical security with a ternary secret.

Source: Albrecht et al., Homomorphic Encryption Security Standard (2018), table 1.
"""

NOISE_VARIANCE: Final = Fraction(21, 2)
"""Of a coefficient of SEAL's encryption noise, a centred binomial of 21 coin pairs."""

MAX_NOISE: Final = 21
MARGIN_SIGMAS: Final = 10
_ROUNDING_VARIANCE: Final = Fraction(1, 12)


def check_security(ring_degree: int, modulus: int) -> None:
    """Refuse a ring outside the HE standard's 128-bit table.

    Raises:
        UnsafeParameters: an unknown ring degree, or a modulus too large for it.
    """
    allowed = MAX_MODULUS_BITS.get(ring_degree)
    if allowed is None:
        raise UnsafeParameters(
            f"ring degree {ring_degree} is not in the HE standard's table",
            hint=f"choose one of {', '.join(map(str, MAX_MODULUS_BITS))}",
        )
    if modulus.bit_length() > allowed:
        raise UnsafeParameters(
            f"a modulus of {modulus.bit_length()} bits at ring degree {ring_degree} is below "
            f"128-bit security, which allows {allowed} bits"
        )


def required_scale(ring_degree: int, sites: int) -> int:
    """The smallest scale that keeps a sum's noise `MARGIN_SIGMAS` below half a grid step."""
    return math.ceil(2 * MARGIN_SIGMAS * math.sqrt(noise_variance(ring_degree, sites)))


def required_modulus(
    ring_degree: int, scale: int, digits: int, *, sites: int, max_abs_value: int, max_norm: int
) -> int:
    """The smallest modulus in which the coefficients of a sum of `sites` vectors do not wrap."""
    block_norm = max_block_norm(ring_degree * digits, max_abs_value, max_norm)
    # ||sum(v_k base^k)|| <= sum(||v_k|| base^k), each ||v_k|| at most the block's norm.
    base = digit_base(sites, max_abs_value)
    worth: int = sum(base**k for k in range(digits))
    # A single site counts as two: SEAL's encoder wants one bit more than the sum needs.
    embedded = -(-max(sites, 2) * scale * worth * block_norm // math.isqrt(ring_degree // 2))
    return 2 * (embedded + (MAX_NOISE + 1) * sites) + 1


def digit_base(sites: int, max_abs_value: int) -> int:
    """What one digit is worth in the next: no digit of a sum reaches half of it."""
    return 2 * sites * max_abs_value + 1


def max_block_norm(block_values: int, max_abs_value: int, max_norm: int) -> int:
    """Bound on the L2 norm of one site's integers in one block, rounding to the grid included.

    Rounding moves each of `block_values` by at most 1/2, the norm by at most half the root.
    """
    root = math.isqrt(block_values - 1) + 1
    return min(max_norm + root // 2 + 1, max_abs_value * root)


def noise_variance(ring_degree: int, sites: int) -> float:
    """Variance of the decoded noise in a real coordinate of a sum, squared residue units."""
    return float((sites * NOISE_VARIANCE + sites**2 * _ROUNDING_VARIANCE) * ring_degree / 2)
