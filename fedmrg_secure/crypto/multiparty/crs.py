"""The common reference string: public polynomials a_k that nobody chooses.

Byte by byte, for a second implementation:

1. ``key = SHA-256(be64(13) | "fedmrg/crs/v1" | be64(32) | plan hash)``, where be64 is a length as 8
   bytes, big endian (`core.canonical.tagged_hash`).
2. Block k of the vector (from 0) owns the 8,256 bytes of the AES-256-CTR stream of this key that
   begin at AES counter 516 k: 2,064 words of 4 bytes, little endian.
3. Of each word the low 30 bits count. A word at or above q is left out.
4. The first 2,048 words that are left are the transform of a_k, in the order of `ntt`.

With fewer than 2,048 words left there is no a_k. This takes 17 of 2,064 words at or above q, whose
share is 2^-14.4: probability below 2^-100 a block.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedmrg_secure.core.canonical import HASH_BYTES, tagged_hash
from fedmrg_secure.crypto.errors import KeyUnusable
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.stream import AES_BLOCK_BYTES, KeyStream
from fedmrg_secure.crypto.multiparty_budget import RING_BITS, RING_DEGREE, RING_MODULUS

TAG: Final = "fedmrg/crs/v1"
BLOCK_WORDS: Final = RING_DEGREE + 16
_COUNTERS_PER_BLOCK: Final = 4 * BLOCK_WORDS // AES_BLOCK_BYTES
_MASK: Final = np.uint32((1 << RING_BITS) - 1)


def crs_key(plan_hash: bytes) -> bytes:
    """The AES key of a round's reference string, 32 bytes.

    Args:
        plan_hash: of the round's plan, 32 bytes; the plan holds a fresh nonce of each site.
    """
    if len(plan_hash) != HASH_BYTES:
        raise ValueError(f"a plan's hash has {HASH_BYTES} bytes, got {len(plan_hash)}")
    return tagged_hash(TAG, plan_hash)


class ReferenceString:
    """The a_k of consecutive blocks, taken piece by piece."""

    def __init__(self, key: bytes, first: int) -> None:
        """Args: key: from `crs_key`. first: the first block's index k in the vector."""
        self._stream = KeyStream(key, first * _COUNTERS_PER_BLOCK)

    def take(self, count: int) -> RingVector:
        """The next blocks' words, in a buffer that the next call overwrites.

        Returns:
            Shape (count, 2064), uint32; the first N of a row are the transform of its a_k, each
            below q.
        """
        words: RingVector = self._stream.take(4 * BLOCK_WORDS * count).view("<u4")
        words = words.reshape(count, BLOCK_WORDS)
        words &= _MASK
        for row in np.flatnonzero(words.max(axis=1) >= RING_MODULUS):
            words[row, :RING_DEGREE] = sift(words[row])
        return words


def sift(words: RingVector) -> RingVector:
    """The first N words below q.

    Raises:
        KeyUnusable: there are too few.
    """
    accepted = words[words < RING_MODULUS]
    if accepted.size < RING_DEGREE:
        raise KeyUnusable("this plan's hash gives no reference string", hint="make a new plan")
    return accepted[:RING_DEGREE]
