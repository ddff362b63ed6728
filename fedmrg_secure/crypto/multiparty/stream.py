"""Key streams: AES-256 in counter mode (NIST SP 800-38A, section 6.5)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

AES_BLOCK_BYTES: Final = 16
_ZEROS: Final = memoryview(bytes(1 << 18))


class KeyStream:
    """The stream of one key from one AES block on, read piece by piece into one buffer."""

    def __init__(self, key: bytes, counter: int = 0) -> None:
        """Args:
        key: 32 bytes.
        counter: of the first AES block, which encrypts it as 16 bytes, big endian; each
            further AES block encrypts one more.
        """
        counter_bytes = counter.to_bytes(AES_BLOCK_BYTES, "big")
        self._cipher = Cipher(AES256(key), CTR(counter_bytes)).encryptor()
        self._buffer = np.empty(0, dtype=np.uint8)

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """The next `size` bytes, in a buffer that the next call overwrites."""
        if self._buffer.size < size + AES_BLOCK_BYTES:
            self._buffer = np.empty(size + AES_BLOCK_BYTES, dtype=np.uint8)
        for start in range(0, size, len(_ZEROS)):
            count = min(len(_ZEROS), size - start)
            # OpenSSL wants room for one block more than it writes.
            room = self._buffer[start : start + count + AES_BLOCK_BYTES - 1]
            self._cipher.update_into(_ZEROS[:count], room.data)
        return self._buffer[:size]

    def wipe(self) -> None:
        """Overwrite what was taken last."""
        self._buffer[:] = 0
