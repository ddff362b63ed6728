"""Shamir's sharing of a polynomial's coefficients modulo q (Shamir 1979).

Coefficient by coefficient: ``f(x) = s + c_1 x + .. + c_(t-1) x^(t-1) mod q``, holder h, from 1, has
f(h). Sharing is linear: the sum of one holder's shares of several secrets is that holder's share of
the secrets' sum.

The c_m of a sharing come from the AES-256-CTR stream of a key from counter 0 on: words of 4 bytes,
little endian, the low 30 bits count, words at or above q are left out; first the N coefficients of
c_1, then those of c_2, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.crypto.multiparty.ring import Limbs, RingVector, join, reduce, to_ring
from fedmrg_secure.crypto.multiparty.stream import KeyStream
from fedmrg_secure.crypto.multiparty_budget import RING_BITS, RING_DEGREE, RING_MODULUS
from fedmrg_secure.crypto.parameters import MAX_SITES

_TILE_ROWS: Final = 8
_TILE_COLUMNS: Final = 64
_EXACT_TERMS: Final = 256
"""Products that are added between two reductions: 256 of 2^43 are 2^51, half of what is exact."""


def split(secret: RingVector, count: int, threshold: int, *, key: bytes) -> npt.NDArray[np.uint32]:
    """The holders' shares.

    Args:
        secret: shape (N,), uint32, each below q.
        count: holders, 1 to `MAX_SITES`.
        threshold: 1 to count.
        key: 32 secret bytes that make the c_m.

    Returns:
        Shape (count, N), uint32: row h - 1 is holder h's.
    """
    if not 1 <= threshold <= count <= MAX_SITES:
        raise ValueError(f"{count} holders cannot have a threshold of {threshold}")
    polynomial = np.concatenate((secret[None], _coefficients(key, threshold - 1)))
    try:
        return evaluate(polynomial, count)
    finally:
        polynomial[:] = 0


def evaluate(coefficients: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.uint32]:
    """``f(1) .. f(count)`` of ``sum(coefficients[m] x^m)``, shape (count, N)."""
    degrees = range(len(coefficients))
    powers = [[pow(x, m, RING_MODULUS) for m in degrees] for x in range(1, count + 1)]
    return _combinations(powers, coefficients)


def weights(points: Sequence[int], at: int) -> list[int]:
    """Lagrange's weights: ``f(at) = sum(weights[i] * f(points[i])) mod q`` below that degree.

    Args:
        points: different ones, each below q.
        at: where to evaluate.
    """
    result = []
    for point in points:
        over, under = 1, 1
        for other in points:
            if other != point:
                over = over * (at - other) % RING_MODULUS
                under = under * (point - other) % RING_MODULUS
        result.append(over * pow(under, -1, RING_MODULUS) % RING_MODULUS)
    return result


def interpolate(
    points: Sequence[int], shares: Sequence[RingVector], at: Sequence[int] = (0,)
) -> npt.NDArray[np.uint32]:
    """Values of the polynomial of degree below ``len(points)`` through the shares.

    Args:
        points: the holders, all different.
        shares: shape (N,), uint32 each, in the holders' order.
        at: where; 0 gives the secret.

    Returns:
        Shape (len(at), N), uint32.
    """
    return _combinations([weights(points, each) for each in at], np.stack(shares))


def _combinations(
    factors: list[list[int]], vectors: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """``factors @ vectors mod q`` of up to `MAX_SITES` vectors.

    A limb is within 2^14, a centred residue within 2^29, and 256 products within 2^51: so many are
    added, then reduced modulo q, then the next. The product is made of many small ones, for which
    no BLAS starts threads: on a busy machine these would wait for each other far longer than the
    product takes.
    """
    rows = -(-len(factors) // _TILE_ROWS) * _TILE_ROWS
    padded = np.zeros((rows, len(vectors)), dtype=np.int64)
    padded[: len(factors)] = factors
    limbs = Limbs.of(padded.reshape(-1, 1, _TILE_ROWS, len(vectors)))
    centred = vectors.astype(np.float64)
    centred -= RING_MODULUS // 2
    tiles = np.ascontiguousarray(
        centred.reshape(len(vectors), -1, _TILE_COLUMNS).transpose(1, 0, 2)
    )  # (N / columns, vectors, columns)
    values: FloatVector = np.zeros(1)  # (.., N / columns, rows, columns)
    for start in range(0, len(vectors), _EXACT_TERMS):
        terms = slice(start, start + _EXACT_TERMS)
        high, low = (
            limbs.high[..., terms] @ tiles[:, terms],
            limbs.low[..., terms] @ tiles[:, terms],
        )
        values = values + join(high, low)
    # What centring takes off comes back as one number for each row.
    offset = padded.sum(axis=1) % RING_MODULUS * (RING_MODULUS // 2) % RING_MODULUS
    values += offset.reshape(-1, 1, _TILE_ROWS, 1)
    reduce(values)
    return to_ring(values).transpose(0, 2, 1, 3).reshape(rows, -1)[: len(factors)]


def _coefficients(key: bytes, count: int) -> npt.NDArray[np.uint32]:
    """c_1 .. c_count, shape (count, N)."""
    wanted = count * RING_DEGREE
    stream = KeyStream(key)
    drawn = np.empty(0, dtype=np.uint32)
    while drawn.size < wanted:
        # Rejection takes one word in 22,000: mostly one turn.
        words = stream.take(4 * (wanted - drawn.size + wanted // 1024 + 64)).view("<u4")
        words &= np.uint32((1 << RING_BITS) - 1)
        drawn = np.concatenate((drawn, words[words < RING_MODULUS]))
    stream.wipe()
    return drawn[:wanted].reshape(count, RING_DEGREE)
