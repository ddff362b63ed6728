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

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.stream import AES_BLOCK_BYTES, key_stream
from fedmrg_secure.crypto.multiparty_budget import RING_BITS, RING_DEGREE, RING_MODULUS
from fedmrg_secure.crypto.parameters import MAX_SITES

_Q = np.uint64(RING_MODULUS)


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
    return evaluate(np.concatenate((secret[None], _coefficients(key, threshold - 1))), count)


def evaluate(coefficients: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.uint32]:
    """``f(1) .. f(count)`` of ``coefficients[m] x^m``, shape (count, N), by Horner's rule."""
    points = np.arange(1, count + 1, dtype=np.uint64)[:, None]
    values = np.zeros((count, coefficients.shape[1]), dtype=np.uint64)
    for coefficient in coefficients[::-1]:
        values *= points
        values += coefficient
        values %= _Q
    return values.astype(np.uint32)


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


def interpolate(points: Sequence[int], shares: Sequence[RingVector], at: int = 0) -> RingVector:
    """The value at `at` of the polynomial of degree below ``len(points)`` through the shares.

    Args:
        points: the holders, all different.
        shares: shape (N,), uint32 each, in the holders' order.
        at: 0 gives the secret.
    """
    total: ResidueVector = np.zeros(RING_DEGREE, dtype=np.uint64)
    for weight, share in zip(weights(points, at), shares, strict=True):
        total += share.astype(np.uint64) * np.uint64(weight) % _Q
    total %= _Q
    return total.astype(np.uint32)


def _coefficients(key: bytes, count: int) -> npt.NDArray[np.uint32]:
    """c_1 .. c_count, shape (count, N)."""
    wanted = count * RING_DEGREE
    drawn = np.empty(0, dtype=np.uint32)
    counter = 0
    while drawn.size < wanted:
        # Two tail words in a thousand are more than rejection takes: mostly one turn.
        size = -(-4 * (wanted - drawn.size + wanted // 512 + 64) // AES_BLOCK_BYTES)
        stream = key_stream(key, counter, size * AES_BLOCK_BYTES)
        counter += size
        words = np.frombuffer(stream, dtype="<u4") & np.uint32((1 << RING_BITS) - 1)
        drawn = np.concatenate((drawn, words[words < RING_MODULUS]))
    return drawn[:wanted].reshape(count, RING_DEGREE)
