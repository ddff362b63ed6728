"""The source of the noise: ChaCha20 with a key from the operating system.

A generator that can be predicted takes the guarantee away, and one that can be seeded will be.
There is no seed here: a stream is keyed by `os.urandom` and dies with its process.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import ClassVar, Final, NoReturn

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedmrg_secure.core.errors import FedmrgError

KEY_BYTES: Final = 32
SEGMENT_BYTES: Final = 1 << 36
"""Bytes under one nonce: a quarter of what the 32-bit block counter of RFC 8439 can count."""

_NONCE_BYTES: Final = 12
_COUNTER_BYTES: Final = 4


class StreamCrossedFork(FedmrgError):
    """A stream of noise was used by a process that did not make it."""

    code: ClassVar[str] = "FMRG-4601"


class NoiseStream:
    """An endless stream of random bits for noise and sampling.

    Guarantee:
        Nobody who sees any part of the stream can tell the rest from uniform bits without breaking
        ChaCha20 or the operating system's generator. No two streams made by `fresh` or `branch`
        share a key, and no part of one stream is given twice: not to two threads, and not to two
        processes, because a stream refuses to work in a child of the process that made it.

    Assumes:
        `os.urandom` is seeded, which Linux waits for (getrandom(2)).

    Source:
        RFC 8439, section 2.4: the key stream of ChaCha20; nonces count segments from 0.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, got {len(key)}")
        self._key = key
        self._owner = os.getpid()
        self._lock = Lock()
        self._segment = 0
        self._left = SEGMENT_BYTES
        self._cipher = self._begin_segment()

    @classmethod
    def fresh(cls) -> NoiseStream:
        """A stream that nobody has seen a bit of: the only way to noise that protects."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def insecure_from_key(cls, key: bytes) -> NoiseStream:
        """A stream that whoever knows `key` can repeat: for tests and known answers alone.

        Args:
            key: 32 bytes.
        """
        return cls(key)

    def branch(self) -> NoiseStream:
        """A stream of its own, keyed by the next 32 bytes of this one: for another thread's work.

        What either gives afterwards does not depend on how much is read from the other.

        Raises:
            StreamCrossedFork: see `read`.
        """
        return NoiseStream(self.read(KEY_BYTES))

    def read(self, count: int) -> bytes:
        """The next bytes of the stream.

        Args:
            count: how many, 0 to `SEGMENT_BYTES`.

        Raises:
            StreamCrossedFork: this process was forked from the one that made the stream.
        """
        if not 0 <= count <= SEGMENT_BYTES:
            raise ValueError(f"can give 0 to {SEGMENT_BYTES} bytes at once, asked for {count}")
        if os.getpid() != self._owner:
            raise StreamCrossedFork(
                "a stream of noise was used in a child process, where it would repeat its parent's",
                hint="make a fresh stream in each process",
            )
        with self._lock:
            if count > self._left:
                self._segment += 1
                self._left = SEGMENT_BYTES
                self._cipher = self._begin_segment()
            self._left -= count
            return self._cipher.update(bytes(count))

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """Independent uniform 64-bit words.

        Args:
            count: how many.

        Returns:
            Shape (count,), uint64, read-only.
        """
        return np.frombuffer(self.read(8 * count), dtype="<u8").view(np.uint64)

    def bits(self, count: int) -> int:
        """A uniform integer of `count` bits, 0 <= result < 2^count."""
        return int.from_bytes(self.read(-(-count // 8)), "little") & ((1 << count) - 1)

    def __repr__(self) -> str:
        return "NoiseStream(key=<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream of noise cannot be copied or pickled: it would repeat itself")

    def _begin_segment(self) -> CipherContext:
        nonce = self._segment.to_bytes(_NONCE_BYTES, "little")
        return Cipher(ChaCha20(self._key, bytes(_COUNTER_BYTES) + nonce), mode=None).encryptor()
