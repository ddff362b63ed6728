"""Shares of a round's keys, their sums, and the sum's key put together from them."""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import numpy as np

from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.errors import (
    KeyUnusable,
    OpeningRefused,
    ResidueOutOfRange,
    ShareInvalid,
    SharesInconsistent,
)
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.multiparty import reed_solomon, shamir
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.secret import PACKED_BYTES, SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS
from fedmrg_secure.crypto.parameters import MAX_SITES

_SHARE_HEADER: Final = struct.Struct(">8sH")
_SHARE_MAGIC: Final = b"FMRGSHR\x01"
_SUM_MAGIC: Final = b"FMRGMPS\x01"
SHARE_BYTES: Final = _SHARE_HEADER.size + PACKED_BYTES
MAX_SUBSETS: Final = 4096
"""Subsets of shares that `combine` tries where nothing better tells the wrong ones."""


class KeyShare:
    """One holder's share of a key, or of a sum of keys: itself a secret.

    Attributes:
        holder: the holder's place in the cohort's order, 1 to `MAX_SITES`.
    """

    def __init__(self, holder: int, secret: SecretPolynomial) -> None:
        if not 1 <= holder <= MAX_SITES:
            raise ShareInvalid(f"a share's holder is 1 to {MAX_SITES}, not {holder}")
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
        wrong_holders: holders whose share sums did not fit the others, in ascending order.
    """

    def __init__(self, secret: SecretPolynomial, wrong_holders: tuple[int, ...] = ()) -> None:
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
    return KeyShare(shares[0].holder, SecretPolynomial(total.astype(np.uint32)))


def combine(
    shares: Sequence[KeyShare],
    threshold: int,
    *,
    check: Callable[[SumKey], None] | None = None,
) -> SumKey:
    """The sum's key from share sums of at least `threshold` holders.

    Args:
        shares: each of another holder.
        threshold: of the sharing.
        check: raises `OpeningRefused` for a key that does not open the sum
            (`CkksMultiparty.check_sum_key` with the last chunk).

    Returns:
        The key, with the holders whose shares were wrong.

    Guarantee:
        With m shares, up to ``(m - threshold) // 2`` wrong ones are found and named without
        opening anything: the right shares are a word of a Reed-Solomon code, which has one nearest
        word. With up to ``m - threshold`` wrong ones the key is found with `check`, by trying
        subsets; who is named then is a hint: wrong holders together can have right ones named.

    Raises:
        SharesInconsistent: too few, a holder twice, or wrong ones that cannot be told.
        OpeningRefused: `check` refuses the key that the shares agree on.
    """
    by_holder = {share.holder: share for share in shares}
    if len(by_holder) != len(shares):
        raise SharesInconsistent("a holder's share is there twice")
    if threshold < 1 or len(shares) < threshold:
        raise SharesInconsistent(f"{len(shares)} shares are fewer than the threshold {threshold}")
    wrong = _nearest_word(by_holder, threshold)
    if wrong is not None:
        key = _key_without(by_holder, wrong, threshold)
        if check is not None:
            check(key)
        return key
    if check is not None and math.comb(len(shares), threshold) <= MAX_SUBSETS:
        for subset in itertools.combinations(by_holder, threshold):
            wrong = _outside(by_holder, subset)
            key = _key_without(by_holder, wrong, threshold)
            try:
                check(key)
            except OpeningRefused:
                key.destroy()
                continue
            return key
    raise SharesInconsistent(
        f"{len(shares)} shares do not lie on one polynomial, and which are wrong cannot be told",
        hint="wait for the share sums of more holders",
    )


def _nearest_word(by_holder: dict[int, KeyShare], threshold: int) -> frozenset[int] | None:
    """The holders of wrong shares, none in the usual case; None if no word is near enough.

    The shares of all N coefficients are decoded as one random combination of them, and the result
    is checked on all coefficients: a wrong share hides in a combination with probability 1/q.
    """
    holders = list(by_holder)
    for _ in range(3):
        mix = np.frombuffer(os.urandom(4 * by_holder[holders[0]].coefficients.size), dtype="<u4")
        word = [_dot(mix, by_holder[holder].coefficients) for holder in holders]
        places = reed_solomon.error_places(holders, word, threshold)
        if places is None:
            return None
        wrong = frozenset(holders[place] for place in places)
        right = [holder for holder in holders if holder not in wrong]
        if _outside(by_holder, right[:threshold]) == wrong:
            return wrong
    return None


def _dot(mix: RingVector, coefficients: RingVector) -> int:
    products = mix.astype(np.uint64) * coefficients % np.uint64(RING_MODULUS)
    return int(products.sum()) % RING_MODULUS


def _outside(by_holder: dict[int, KeyShare], subset: Sequence[int]) -> frozenset[int]:
    """The holders whose shares do not lie on the polynomial through those of `subset`."""
    base = [by_holder[holder].coefficients for holder in subset]
    others = [holder for holder in by_holder if holder not in subset]
    if not others:
        return frozenset()
    expected = shamir.interpolate(subset, base, at=others)
    return frozenset(
        holder
        for holder, share in zip(others, expected, strict=True)
        if not np.array_equal(share, by_holder[holder].coefficients)
    )


def _key_without(by_holder: dict[int, KeyShare], wrong: frozenset[int], threshold: int) -> SumKey:
    right = [holder for holder in by_holder if holder not in wrong][:threshold]
    (secret,) = shamir.interpolate(right, [by_holder[holder].coefficients for holder in right])
    return SumKey(SecretPolynomial(secret), tuple(sorted(wrong)))
