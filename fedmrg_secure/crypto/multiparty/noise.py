"""The error of an encryption: a centred binomial of 21 coin pairs, standard deviation 3.24.

A coefficient takes 8 bytes, little endian, of which the low 42 bits count: ``e = ones - 21``. As
``ones`` of 42 fair bits has the same distribution as ``ones(A) + 21 - ones(B)`` of two halves, this
is the difference of 21 coin pairs, as in SEAL and in NIST FIPS 203, section 4.2.2.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.stream import key_stream
from fedmrg_secure.crypto.multiparty_budget import MAX_NOISE, RING_DEGREE

COIN_BITS: Final = 2 * MAX_NOISE
COIN_MASK: Final = np.uint64((1 << COIN_BITS) - 1)
WORD_BYTES: Final = 8


def noise_words(key: bytes, blocks: int) -> ResidueVector:
    """Coins of whole blocks from the AES-256-CTR stream of `key` from counter 0 on.

    Args:
        key: 32 secret bytes, used for one chunk only.
        blocks: how many.

    Returns:
        Shape (blocks, N), uint64, uniform.
    """
    stream = key_stream(key, 0, WORD_BYTES * RING_DEGREE * blocks)
    return np.frombuffer(stream, dtype="<u8").reshape(blocks, RING_DEGREE)


def noise(words: ResidueVector) -> IntVector:
    """The errors that words of coins stand for, the same shape, int64, within +-21."""
    ones: IntVector = np.bitwise_count(words & COIN_MASK).astype(np.int64)
    return ones - MAX_NOISE
