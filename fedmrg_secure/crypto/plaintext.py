"""``insecure-plaintext``: no encryption at all, the oracle for tests and for measuring cost.

Same integers, same frames, same adding as the real schemes; the residues are the integers modulo
the modulus, so everybody reads everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.parameters import INSECURE_PLAINTEXT, SchemeParameters
from fedmrg_secure.crypto.scheme import EncryptedChunk, check_sum, to_blocks


@dataclass(frozen=True, slots=True)
class InsecurePlaintext:
    """Protects nothing. See `crypto.scheme.Scheme` for the methods' contracts."""

    parameters: SchemeParameters

    def __post_init__(self) -> None:
        if self.parameters.scheme != INSECURE_PLAINTEXT:
            raise ValueError(f"these are parameters of {self.parameters.scheme}")

    @property
    def is_concurrent(self) -> bool:
        """True: chunks share nothing."""
        return True

    def encrypt_chunk(self, index: int, values: IntVector) -> EncryptedChunk:
        """The integers modulo the modulus; no opener."""
        blocks = to_blocks(values, self.parameters)
        residues = blocks.astype(np.uint64).reshape(-1)
        # Modulo 2^64 a negative value is huge, and small with the modulus more.
        np.minimum(residues, residues + np.uint64(self.parameters.modulus), out=residues)
        return EncryptedChunk.of(residues, b"", self.parameters)

    def open_chunk(
        self, index: int, residues: ResidueVector, openers: Sequence[bytes], value_count: int
    ) -> IntVector:
        """The sum, from residues centred around zero."""
        if any(openers):
            raise OpeningRefused("insecure-plaintext has no openers")
        modulus = self.parameters.modulus
        signed = residues.astype(np.int64)
        total = np.where(signed > modulus // 2, signed - modulus, signed)
        check_sum(total.reshape(-1, self.parameters.block_values), len(openers), self.parameters)
        return total[:value_count]
