"""The error of an encryption: a centred binomial of 21 coin pairs, standard deviation 3.24.

A coefficient takes 8 bytes, little endian, of which the low 42 bits count: ``e = ones - 21``. As
``ones`` of 42 fair bits has the same distribution as ``ones(A) + 21 - ones(B)`` of two halves, this
is the difference of 21 coin pairs, as in SEAL and in NIST FIPS 203, section 4.2.2.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.stream import KeyStream
from fedmrg_secure.crypto.multiparty_budget import MAX_NOISE, RING_DEGREE

COIN_BITS: Final = 2 * MAX_NOISE
COIN_MASK: Final = np.uint64((1 << COIN_BITS) - 1)
WORD_BYTES: Final = 8


class Coins:
    """Coins of consecutive blocks from the AES-256-CTR stream of a key from counter 0 on."""

    def __init__(self, key: bytes) -> None:
        """Args: key: 32 secret bytes, used for one chunk only."""
        self._stream = KeyStream(key)

    def take(self, blocks: int) -> ResidueVector:
        """The next blocks' coins, in a buffer that the next call overwrites.

        Returns:
            Shape (blocks, N), uint64, uniform.
        """
        words: ResidueVector = self._stream.take(WORD_BYTES * RING_DEGREE * blocks).view("<u8")
        return words.reshape(blocks, RING_DEGREE)

    def wipe(self) -> None:
        """Overwrite the coins that were taken last."""
        self._stream.wipe()


def noise(words: ResidueVector) -> IntVector:
    """The errors that words of coins stand for, the same shape, int64, within +-21."""
    ones: IntVector = np.bitwise_count(words & COIN_MASK).astype(np.int64)
    return ones - MAX_NOISE
