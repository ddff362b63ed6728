"""What other federated-learning frameworks do with TenSEAL, for measuring beside our schemes.

Not a scheme: nothing here ever carries an update. ``ts.ckks_vector`` with N = 8192, primes of 60,
40 and 40 bits, scale 2^40 and a symmetric key, real slots only, TenSEAL's own serialised form.
"""

from __future__ import annotations

from typing import Any, Final

import tenseal as ts

from fedmrg_secure.core.types import FloatVector

RING_DEGREE: Final = 8192
PRIME_BITS: Final = (60, 40, 40)
SCALE_BITS: Final = 40
VECTOR_VALUES: Final = RING_DEGREE // 2


class TensealVectors:
    """One party that holds the key, encrypting vectors of up to `VECTOR_VALUES` values."""

    def __init__(self) -> None:
        self._context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            RING_DEGREE,
            coeff_mod_bit_sizes=list(PRIME_BITS),
            encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
        )
        self._context.global_scale = 2**SCALE_BITS

    def encrypt(self, values: FloatVector) -> bytes:
        """One serialised vector."""
        return bytes(ts.ckks_vector(self._context, values).serialize())

    def load(self, ciphertext: bytes) -> Any:
        """TenSEAL's vector of bytes made here."""
        return ts.ckks_vector_from(self._context, ciphertext)

    def open(self, ciphertext: bytes) -> list[float]:
        """The values of a serialised vector."""
        values: list[float] = self.load(ciphertext).decrypt()
        return values
