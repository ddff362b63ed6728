"""The negacyclic number-theoretic transform in NumPy: four steps, two of them matrix products.

Order: the transform of ``x_0 .. x_(N-1)`` holds at place i the value of the polynomial at
``PSI^(2 r(i) + 1)`` where r reverses the 11 bits of i. This is SEAL's order. Multiplying two
transforms place by place multiplies the polynomials modulo X^N + 1 and q.

With i = 64 i1 + i0 and j = 64 j1 + j0, ``r(i) = r5(i1) + 32 r6(i0)``, so that the exponent
``(2 r(i) + 1) j`` is, modulo 2N, the sum of three: ``64 (2 r5(i1) + 1) j1`` for a product with a
matrix of 32 x 32, ``(2 r5(i1) + 1) j0`` for factors place by place, and ``64 r6(i0) j0`` for a
product with a matrix of 64 x 64 (Bailey 1990).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from fedmrg_secure.core.types import FloatVector, IntVector
from fedmrg_secure.crypto.multiparty.ring import (
    Limbs,
    RingVector,
    join,
    powers,
    reverse_bits,
    to_ring,
)
from fedmrg_secure.crypto.multiparty_budget import RING_DEGREE, RING_MODULUS

ROWS: Final = 32
COLUMNS: Final = 64


def forward(polynomials: RingVector) -> RingVector:
    """The transforms of polynomials.

    Args:
        polynomials: coefficients, shape (count, N), uint32, each below q.

    Returns:
        Shape (count, N), uint32, each below q, in the order above.
    """
    rows, twiddles, columns = _tables(1)
    x = polynomials.reshape(-1, ROWS, COLUMNS).astype(np.float64)
    x = join(rows.high @ x, rows.low @ x)
    x = join(x * twiddles.high, x * twiddles.low)
    x = join(x @ columns.high, x @ columns.low)
    return to_ring(x).reshape(-1, RING_DEGREE)


def inverse(transforms: RingVector) -> RingVector:
    """The polynomials of transforms; shapes as in `forward`."""
    x = transforms.reshape(-1, ROWS, COLUMNS).astype(np.float64)
    return to_ring(inverse_float(x)).reshape(-1, RING_DEGREE)


def inverse_float(x: FloatVector) -> FloatVector:
    """`inverse` on float64 integers.

    Args:
        x: transforms, shape (count, 32, 64), each below 2^30 in absolute value.

    Returns:
        Shape (count, 32, 64), reduced as by `ring.reduce`.
    """
    rows, twiddles, columns = _tables(-1)
    x = join(x @ columns.high, x @ columns.low)
    x = join(x * twiddles.high, x * twiddles.low)
    return join(rows.high @ x, rows.low @ x)


@cache
def _tables(direction: int) -> tuple[Limbs, Limbs, Limbs]:
    """Row matrix (32, 32), twiddles (32, 64) and column matrix (64, 64) of one direction."""
    odd = 2 * reverse_bits(ROWS)[:, None] + 1  # of i1
    rows: IntVector = powers(direction * COLUMNS * odd * np.arange(ROWS))  # (i1, j1)
    twiddles = powers(direction * odd * np.arange(COLUMNS))  # (i1, j0)
    columns = powers(direction * COLUMNS * np.arange(COLUMNS)[:, None] * reverse_bits(COLUMNS))
    if direction > 0:
        return Limbs.of(rows), Limbs.of(twiddles), Limbs.of(columns)  # columns: (j0, i0)
    rows = rows.T * pow(RING_DEGREE, -1, RING_MODULUS) % RING_MODULUS  # (j1, i1)
    return Limbs.of(rows), Limbs.of(twiddles), Limbs.of(np.ascontiguousarray(columns.T))
