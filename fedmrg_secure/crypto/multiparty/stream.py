"""Key streams: AES-256 in counter mode (NIST SP 800-38A, section 6.5)."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

AES_BLOCK_BYTES: Final = 16
_ZEROS: Final = bytes(1 << 16)


def key_stream(key: bytes, counter: int, size: int) -> memoryview:
    """Bytes of the stream of one key.

    Args:
        key: 32 bytes.
        counter: of the first AES block, which encrypts it as 16 bytes, big endian; each further
            AES block encrypts one more.
        size: how many bytes.
    """
    cipher = Cipher(AES256(key), CTR(counter.to_bytes(AES_BLOCK_BYTES, "big"))).encryptor()
    stream = memoryview(bytearray(size + AES_BLOCK_BYTES))
    for start in range(0, size, len(_ZEROS)):
        count = min(len(_ZEROS), size - start)
        cipher.update_into(memoryview(_ZEROS)[:count], stream[start : start + count + 15])
    return stream[:size]
