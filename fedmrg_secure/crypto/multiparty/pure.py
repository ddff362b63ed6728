"""Encrypting and opening blocks with NumPy alone."""

from __future__ import annotations

import numpy as np

from fedmrg_secure.core.types import FloatVector, IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.noise import noise
from fedmrg_secure.crypto.multiparty.ntt import COLUMNS, ROWS, inverse_float
from fedmrg_secure.crypto.multiparty.ring import Limbs, RingVector, centre, join
from fedmrg_secure.crypto.multiparty.switching import down, up
from fedmrg_secure.crypto.multiparty_budget import RING_DEGREE, RING_MODULUS
from fedmrg_secure.crypto.residues import pack_with_numpy


class Blocks:
    """Blocks under one key; a few blocks a call, so that they stay in the processor's cache."""

    def __init__(self, key: RingVector, *, scale: int, wire_bits: int) -> None:
        """Args:
        key: the transform of s or S, shape (N,), uint32.
        scale: units of the ring a grid step.
        wire_bits: w.
        """
        self._key = Limbs.of(key.reshape(ROWS, COLUMNS))
        self._scale = scale
        self._wire_bits = wire_bits

    def encrypt(
        self,
        reference: RingVector,
        coins: ResidueVector,
        values: IntVector,
        packed: ResidueVector,
    ) -> None:
        """``round((a*s + e + scale*v mod q) * 2^w / q) mod 2^w`` of each block, packed.

        Args:
            reference: shape (blocks, at least N), uint32: in each row first the transform of a_k.
            coins: shape (blocks, N), uint64, for `noise`.
            values: v, shape (blocks, N), int64, with ``scale * |v| < q / 2``.
            packed: the result as `residues.pack` lays it out, which makes whole words of a block:
                shape (blocks, N w / 64), uint64; written.
        """
        ring = self._masks(reference)
        ring += noise(coins) + self._scale * values
        # Now within +-(q + 21).
        ring += RING_MODULUS * (ring < 0)
        ring -= RING_MODULUS * (ring >= RING_MODULUS)
        residues = down(ring, self._wire_bits).reshape(-1)
        packed.reshape(-1)[:] = np.frombuffer(pack_with_numpy(residues, self._wire_bits), "<u8")

    def open(self, reference: RingVector, residues: ResidueVector, opened: IntVector) -> None:
        """``floor((2t + scale) / (2 scale))`` with ``t = centre(up(Y) - a*S)`` of each block.

        Args:
            reference: as in `encrypt`.
            residues: Y, shape (blocks, N), uint64, each below 2^w.
            opened: the result, shape (blocks, N), int64; written. With scale 1 it is t itself.
        """
        ring = up(residues, self._wire_bits)
        ring -= self._masks(reference)
        centre(ring)
        # Exact: a quotient of integers below 2^31 is no nearer to an integer than 2^-31.
        opened[:] = np.floor((2 * ring + self._scale) / float(2 * self._scale))

    def wipe(self) -> None:
        """Overwrite what was worked out from the key."""
        self._key.high[:] = 0
        self._key.low[:] = 0

    def _masks(self, reference: RingVector) -> IntVector:
        """The coefficients of a_k * s, shape (blocks, N), int64, within about +-q/2."""
        transforms = reference[:, :RING_DEGREE].reshape(-1, ROWS, COLUMNS)
        x: FloatVector = transforms.astype(np.float64)
        x = inverse_float(join(x * self._key.high, x * self._key.low))
        return x.astype(np.int64).reshape(-1, RING_DEGREE)
