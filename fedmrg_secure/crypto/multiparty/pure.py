"""Encrypting and opening blocks with NumPy alone."""

from __future__ import annotations

from typing import Final

import numpy as np

from fedmrg_secure.core.types import FloatVector, IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.noise import noise
from fedmrg_secure.crypto.multiparty.ntt import COLUMNS, ROWS, inverse_float
from fedmrg_secure.crypto.multiparty.ring import Limbs, RingVector, centre, join
from fedmrg_secure.crypto.multiparty.switching import down, up
from fedmrg_secure.crypto.multiparty_budget import RING_DEGREE, RING_MODULUS

_PIECE: Final = 8
"""Blocks at a time: their float64 values stay in the second-level cache."""


def encrypt_blocks(
    reference: RingVector,
    key: RingVector,
    coins: ResidueVector,
    values: IntVector,
    *,
    scale: int,
    wire_bits: int,
) -> ResidueVector:
    """``round((a*s + e + scale*v mod q) * 2^w / q) mod 2^w`` of each block.

    Args:
        reference: transforms of a_k, shape (blocks, N), uint32.
        key: the transform of s, shape (N,), uint32.
        coins: shape (blocks, N), uint64, for `noise`.
        values: v, shape (blocks, N), int64, with ``scale * |v| < q / 2``.
        scale: units of the ring a grid step.
        wire_bits: w.

    Returns:
        Shape (blocks, N), uint64, each below 2^w.
    """
    residues = np.empty(values.shape, dtype=np.uint64)
    limbs = _key_limbs(key)
    for start in range(0, len(values), _PIECE):
        piece = slice(start, start + _PIECE)
        ring = _masks(reference[piece], limbs)
        ring += noise(coins[piece]) + scale * values[piece]
        # Now within +-(q + 21).
        ring += RING_MODULUS * (ring < 0)
        ring -= RING_MODULUS * (ring >= RING_MODULUS)
        residues[piece] = down(ring, wire_bits)
    return residues


def open_blocks(
    reference: RingVector, key: RingVector, residues: ResidueVector, *, scale: int, wire_bits: int
) -> IntVector:
    """``floor((2t + scale) / (2 scale))`` with ``t = centre(up(Y) - a*S)`` of each block.

    Args:
        reference: transforms of a_k, shape (blocks, N), uint32.
        key: the transform of S, shape (N,), uint32.
        residues: Y, shape (blocks, N), uint64, each below 2^w.
        scale: units of the ring a grid step; 1 gives t itself.
        wire_bits: w.

    Returns:
        Shape (blocks, N), int64.
    """
    opened = np.empty(residues.shape, dtype=np.int64)
    limbs = _key_limbs(key)
    for start in range(0, len(residues), _PIECE):
        piece = slice(start, start + _PIECE)
        ring = up(residues[piece], wire_bits)
        ring -= _masks(reference[piece], limbs)
        centre(ring)
        # Exact: a quotient of integers below 2^31 is no nearer to an integer than 2^-31.
        opened[piece] = np.floor((2 * ring + scale) / float(2 * scale))
    return opened


def _key_limbs(key: RingVector) -> Limbs:
    return Limbs.of(key.reshape(ROWS, COLUMNS))


def _masks(reference: RingVector, key: Limbs) -> IntVector:
    """The coefficients of a_k * s, shape (blocks, N), int64, within about +-q/2."""
    x: FloatVector = reference.reshape(-1, ROWS, COLUMNS).astype(np.float64)
    x = inverse_float(join(x * key.high, x * key.low))
    return x.astype(np.int64).reshape(-1, RING_DEGREE)
