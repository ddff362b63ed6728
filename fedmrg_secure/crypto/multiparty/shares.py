"""Shares of a round's keys, their sums, and the sum's key; `combining` makes it from them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NoReturn

import numpy as np

from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.errors import (
    KeyUnusable,
    ResidueOutOfRange,
    ShareInvalid,
    SharesInconsistent,
)
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.secret import PACKED_BYTES, SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS
from fedmrg_secure.crypto.parameters import MAX_SITES

_SHARE_HEADER: Final = struct.Struct(">8sH")
_SHARE_MAGIC: Final = b"FMRGSHR\x01"
_SUM_MAGIC: Final = b"FMRGMPS\x01"
SHARE_BYTES: Final = _SHARE_HEADER.size + PACKED_BYTES


class KeyShare:
    """One holder's share of a key, or of a sum of keys: itself a secret.

    Attributes:
        holder: the holder's place in the cohort's order, 1 to `MAX_SITES`.
    """

    def __init__(self, holder: int, secret: SecretPolynomial) -> None:
        _check_holder(holder)
        self.holder = holder
        self._secret = secret

    @classmethod
    def from_bytes(cls, data: bytes) -> KeyShare:
        """The share in a peer's bytes.

        Args:
            data: from anybody; `SHARE_BYTES` bytes: ``"FMRGSHR" | version 1 | holder 2, big endian
                | coefficients, 7,680``, each 30 bits of a little-endian bit string.

        Raises:
            ShareInvalid: anything else; quotes no coefficient.
        """
        if len(data) != SHARE_BYTES:
            raise ShareInvalid(f"a share has {SHARE_BYTES} bytes, got {len(data)}")
        magic, holder = _SHARE_HEADER.unpack_from(data)
        if magic != _SHARE_MAGIC:
            raise ShareInvalid("these bytes are no share of this version")
        _check_holder(holder)
        try:
            return cls(holder, SecretPolynomial.unpack(data[_SHARE_HEADER.size :]))
        except ResidueOutOfRange:
            raise ShareInvalid("a coefficient of a share is not below q") from None

    def to_bytes(self) -> bytes:
        """`SHARE_BYTES` secret bytes, to be sealed to whoever may have them."""
        return _SHARE_HEADER.pack(_SHARE_MAGIC, self.holder) + self._secret.pack()

    @property
    def coefficients(self) -> RingVector:
        """Shape (N,), uint32; not a copy."""
        return self._secret.coefficients

    def destroy(self) -> None:
        """Overwrite the share."""
        self._secret.wipe()

    def __repr__(self) -> str:
        return f"KeyShare(holder={self.holder}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("a share cannot be pickled or copied")


class SumKey:
    """The key S of a sum: the sum of the included sites' keys of one round.

    Attributes:
        wrong_holders: holders whose share sums were wrong, in ascending order; None where some
            were, and whose they are cannot be told for certain (`combining.combine`).
    """

    def __init__(
        self, secret: SecretPolynomial, wrong_holders: tuple[int, ...] | None = ()
    ) -> None:
        self.wrong_holders = wrong_holders
        self._secret = secret

    @classmethod
    def from_secret_bytes(cls, stored: SecretBytes) -> SumKey:
        """The inverse of `to_secret_bytes`.

        Raises:
            KeyUnusable: another length or version.
        """
        revealed = stored.reveal()
        if len(revealed) != len(_SUM_MAGIC) + PACKED_BYTES or not revealed.startswith(_SUM_MAGIC):
            raise KeyUnusable("these bytes are no key of a sum")
        try:
            return cls(SecretPolynomial.unpack(revealed[len(_SUM_MAGIC) :]))
        except ResidueOutOfRange:
            raise KeyUnusable("a coefficient of the sum's key is not below q") from None

    def to_secret_bytes(self) -> SecretBytes:
        """``"FMRGMPS" | version 1 | S, 7,680``, for a file of mode 0600."""
        return SecretBytes(_SUM_MAGIC + self._secret.pack())

    def transform(self) -> RingVector:
        """The transform of S, shape (N,), uint32; not a copy."""
        return self._secret.transform

    def destroy(self) -> None:
        """Overwrite the key."""
        self._secret.wipe()

    def __repr__(self) -> str:
        return "SumKey(<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("a sum's key cannot be pickled or copied")


def add_shares(shares: Sequence[KeyShare]) -> KeyShare:
    """One holder's share of the sum of several sites' keys.

    Args:
        shares: that holder's shares of the keys of exactly the included sites, each once.

    Raises:
        SharesInconsistent: none, or of several holders.
    """
    if len({share.holder for share in shares}) != 1:
        raise SharesInconsistent("one holder adds its own shares, at least one")
    total: ResidueVector = np.zeros(shares[0].coefficients.size, dtype=np.uint64)
    for share in shares:
        total += share.coefficients
    total %= np.uint64(RING_MODULUS)
    reduced = total.astype(np.uint32)
    total[:] = 0
    return KeyShare(shares[0].holder, SecretPolynomial(reduced))


def _check_holder(holder: int) -> None:
    if not 1 <= holder <= MAX_SITES:
        raise ShareInvalid(f"a share's holder is 1 to {MAX_SITES}, not {holder}")
