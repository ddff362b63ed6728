"""From the ring to the wire and back: rounding to fewer bits (Brakerski and Vaikuntanathan 2011).

``down`` sends c in [0, q) to ``round(c * 2^w / q) mod 2^w``; q is odd, so no c lies half way.
``up`` sends Y in [0, 2^w) to ``round(Y * q / 2^w)``, half way upwards, which is below q for each w.
"""

from __future__ import annotations

import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS


def down(ring: IntVector, wire_bits: int) -> ResidueVector:
    """Residues modulo q as residues modulo 2^w.

    Args:
        ring: int64, each in [0, q), any shape.
        wire_bits: w, one of `multiparty_budget.WIRE_BITS`.
    """
    scaled = ring.astype(np.uint64)
    scaled <<= np.uint64(wire_bits + 1)
    scaled += np.uint64(RING_MODULUS)
    scaled //= np.uint64(2 * RING_MODULUS)
    scaled &= np.uint64((1 << wire_bits) - 1)
    return scaled


def up(wire: ResidueVector, wire_bits: int) -> IntVector:
    """Residues modulo 2^w as int64 in [0, q)."""
    scaled = wire * np.uint64(RING_MODULUS)
    scaled += np.uint64(1 << wire_bits - 1)
    scaled >>= np.uint64(wire_bits)
    return scaled.astype(np.int64)
