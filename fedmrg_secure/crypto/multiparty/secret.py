"""A secret element of the ring: redacted, never pickled, overwritten after use."""

from __future__ import annotations

import os
import threading
from typing import Final, NoReturn

import numpy as np

from fedmrg_secure.crypto.errors import ResidueOutOfRange
from fedmrg_secure.crypto.keys import SecretUnavailable
from fedmrg_secure.crypto.multiparty import ntt
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty_budget import RING_BITS, RING_DEGREE, RING_MODULUS
from fedmrg_secure.crypto.residues import pack, unpack

PACKED_BYTES: Final = RING_DEGREE * RING_BITS // 8
"""7,680: coefficient j in bits [30 j, 30 j + 30) of a little-endian bit string."""


class SecretPolynomial:
    """N coefficients modulo q, and their transform where it was asked for.

    Guarantee:
        No text form, traceback of this class or pickle shows a coefficient.

    Assumes:
        NumPy may have left copies of intermediate results in freed memory; `wipe` overwrites what
        this object holds.
    """

    __slots__ = ("__coefficients", "__lock", "__transform")

    def __init__(self, coefficients: RingVector) -> None:
        """Args: coefficients: shape (N,), uint32, each below q; taken over, not copied."""
        self.__coefficients: RingVector | None = coefficients
        self.__transform: RingVector | None = None
        self.__lock = threading.Lock()

    @classmethod
    def uniform(cls) -> SecretPolynomial:
        """Coefficients uniform modulo q from `os.urandom`, by rejection of 30-bit words."""
        coefficients = np.empty(RING_DEGREE, dtype=np.uint32)
        missing = np.arange(RING_DEGREE)
        while missing.size:
            drawn = np.frombuffer(bytearray(os.urandom(4 * missing.size)), dtype="<u4")
            drawn &= np.uint32((1 << RING_BITS) - 1)
            coefficients[missing] = drawn
            missing = missing[drawn >= RING_MODULUS]
            drawn[:] = 0
        return cls(coefficients)

    @classmethod
    def unpack(cls, packed: bytes) -> SecretPolynomial:
        """The inverse of `pack`.

        Raises:
            ResidueOutOfRange: a coefficient is not below q; does not say which value.
        """
        residues = unpack(packed, RING_DEGREE, RING_BITS)
        if int(residues.max()) >= RING_MODULUS:
            raise ResidueOutOfRange("a coefficient of a secret polynomial is not below q")
        return cls(residues.astype(np.uint32))

    def pack(self) -> bytes:
        """`PACKED_BYTES` bytes."""
        return pack(self.coefficients.astype(np.uint64), RING_BITS)

    @property
    def coefficients(self) -> RingVector:
        """Shape (N,), uint32; not a copy, so that it is gone after `wipe`.

        Raises:
            SecretUnavailable: it was wiped.
        """
        if self.__coefficients is None:
            raise SecretUnavailable("this secret has been wiped")
        return self.__coefficients

    @property
    def transform(self) -> RingVector:
        """The number-theoretic transform, shape (N,), uint32; not a copy."""
        with self.__lock:
            coefficients = self.coefficients
            if self.__transform is None:
                self.__transform = ntt.forward(coefficients[None])[0]
            return self.__transform

    @property
    def is_alive(self) -> bool:
        """False after `wipe`."""
        return self.__coefficients is not None

    def wipe(self) -> None:
        """Overwrite everything with zeros."""
        with self.__lock:
            for held in (self.__coefficients, self.__transform):
                if held is not None:
                    held[:] = 0
            self.__coefficients = self.__transform = None

    def __repr__(self) -> str:
        return "SecretPolynomial(<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("a secret cannot be pickled or copied")
