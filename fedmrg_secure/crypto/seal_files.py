"""The bytes of SEAL's files: built from pinned parameters, read only where SEAL here wrote them.

SEAL's parser is not safe for a peer's bytes, so a peer's bytes never reach it: residues and seeds
of exact length and range are put into files whose every other byte is ours. Formats of SEAL 4.x
(native/src/seal: serialization.h, ciphertext.cpp, plaintext.cpp, dynarray.h, randomgen.cpp), all
little endian::

    file       header 16 (magic 0xA15E, header size, major, minor, compression, 0, 0, size 8) | body
    array      header 16 | count 8 | count * 8
    ciphertext parms_id 32 | is_ntt 1 | polynomials 8 | N 8 | primes 8 | scale 8 | correction 8
               | array of c0 | generator
    generator  header 16 | type 1 | seed 64
    secret key parms_id 32 | coefficients 8 | scale 8 | array
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import zstandard

from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.errors import SealUnavailable
from fedmrg_secure.crypto.parameters import SEED_BYTES

_HEADER: Final = struct.Struct("<HBBBBHQ")
_MAGIC: Final = 0xA15E
_UNCOMPRESSED: Final = 0
_ZSTD: Final = 2
_BLAKE2XB: Final = 1
_CIPHERTEXT: Final = struct.Struct("<32sBQQQdQ")
_SECRET_KEY: Final = struct.Struct("<32sQd")
_COUNT: Final = struct.Struct("<Q")
_WORD: Final = 8
_DECOMPRESSOR: Final = zstandard.ZstdDecompressor()


class MemoryFile:
    """An anonymous file in memory with a path, for an interface that takes only paths.

    Raises:
        SealUnavailable: the system has no memfd (it is Linux's).
    """

    _descriptor = -1

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create"):
            raise SealUnavailable(
                "this system has no anonymous files in memory (memfd)",
                hint="run sites on Linux",
            )
        self._descriptor = os.memfd_create("fedmrg", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self._descriptor}"

    def read(self, limit: int) -> bytes:
        """The content, at most `limit` bytes."""
        return os.pread(self._descriptor, limit, 0)

    def write(self, data: bytes | bytearray | memoryview, offset: int = 0) -> None:
        """Put `data` at `offset`."""
        os.pwrite(self._descriptor, data, offset)

    def close(self) -> None:
        """Overwrite the content with zeros and release it."""
        if self._descriptor >= 0:
            os.pwrite(self._descriptor, bytes(os.fstat(self._descriptor).st_size), 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> MemoryFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class SealFormat:
    """The files of one SEAL version, ring and scale.

    Attributes:
        major, minor: SEAL's version as its own headers say it.
        parms_id: SEAL's hash of the encryption parameters, 32 bytes, computed by SEAL here.
        ring_degree: N.
        scale: of the ciphertexts.
    """

    major: int
    minor: int
    parms_id: bytes
    ring_degree: int
    scale: float

    @property
    def array_offset(self) -> int:
        """Where c0 begins in an uncompressed ciphertext file."""
        return _HEADER.size + _CIPHERTEXT.size + _HEADER.size + _COUNT.size

    @property
    def array_bytes(self) -> int:
        """Length of c0 in such a file."""
        return _WORD * self.ring_degree

    @property
    def seed_offset(self) -> int:
        """Where the seed begins in an uncompressed ciphertext file."""
        return self.array_offset + self.array_bytes + _HEADER.size + 1

    @property
    def ciphertext_bytes(self) -> int:
        """Length of an uncompressed file of a seeded ciphertext."""
        return self.seed_offset + SEED_BYTES

    def seeded_ciphertext(self, c0: ResidueVector, seed: bytes) -> bytes:
        """The file of a ciphertext (c0, expand(seed)).

        Args:
            c0: shape (N,), uint64, each below the modulus, in SEAL's NTT order.
            seed: 64 bytes.
        """
        members = _CIPHERTEXT.pack(self.parms_id, 1, 2, self.ring_degree, 1, self.scale, 1)
        generator = self._file(bytes((_BLAKE2XB,)) + seed)
        return self._file(members + self._array(c0) + generator)

    def split_ciphertext(self, file: bytes) -> tuple[ResidueVector, bytes]:
        """c0 and the seed of a file that SEAL in this process saved.

        Raises:
            SealUnavailable: this SEAL writes another format than the one above.
        """
        body = _body(file, self.ciphertext_bytes - _HEADER.size)
        start, end = self.array_offset - _HEADER.size, self.seed_offset - _HEADER.size
        before, between = self._ciphertext_frame
        if body[:start] != before or body[end - len(between) : end] != between:
            raise SealUnavailable("this SEAL writes ciphertexts in an unknown format")
        return np.frombuffer(body, np.uint64, self.ring_degree, start), body[end:]

    @cached_property
    def _ciphertext_frame(self) -> tuple[bytes, bytes]:
        """What stands before c0, after the file's header, and between c0 and the seed."""
        file = self.seeded_ciphertext(np.zeros(self.ring_degree, np.uint64), bytes(SEED_BYTES))
        end = self.array_offset + self.array_bytes
        return file[_HEADER.size : self.array_offset], file[end : self.seed_offset]

    def secret_key(self, residues: ResidueVector) -> bytes:
        """The file of a secret key, shape (N,), uint64, in SEAL's NTT order."""
        members = _SECRET_KEY.pack(self.parms_id, self.ring_degree, 1.0)
        return self._file(members + self._array(residues))

    def split_secret_key(self, file: bytes) -> ResidueVector:
        """The residues of a key file that SEAL in this process saved."""
        start = _SECRET_KEY.size + _HEADER.size + _COUNT.size
        body = _body(file, start + self.array_bytes)
        residues = np.frombuffer(body, np.uint64, self.ring_degree, start)
        if self.secret_key(residues)[_HEADER.size :] != body:
            raise SealUnavailable("this SEAL writes secret keys in an unknown format")
        return residues

    def _array(self, values: ResidueVector) -> bytes:
        return self._file(_COUNT.pack(values.size) + values.tobytes())

    def _file(self, body: bytes) -> bytes:
        size = _HEADER.size + len(body)
        header = _HEADER.pack(_MAGIC, _HEADER.size, self.major, self.minor, _UNCOMPRESSED, 0, size)
        return header + body


def read_version(file: bytes) -> tuple[int, int]:
    """SEAL's major and minor version, from a file that SEAL in this process saved."""
    magic, size, major, minor, *_ = _HEADER.unpack(file[: _HEADER.size])
    if magic != _MAGIC or size != _HEADER.size or major != 4:
        raise SealUnavailable("this SEAL writes files of an unknown version")
    return major, minor


def _body(file: bytes, size: int) -> bytes:
    """The body of a file saved here, exactly `size` bytes, decompressed if compressed."""
    compression = file[5]
    if compression == _UNCOMPRESSED:
        body = file[_HEADER.size :]
    elif compression == _ZSTD:
        body = _DECOMPRESSOR.decompress(file[_HEADER.size :], max_output_size=size)
    else:
        raise SealUnavailable(f"this SEAL compresses files in an unknown way ({compression})")
    if len(body) != size:
        raise SealUnavailable("this SEAL writes files of an unexpected length")
    return body
