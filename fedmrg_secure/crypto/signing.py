"""Ed25519 signatures of a party (RFC 8032)."""

from __future__ import annotations

from typing import ClassVar, Final, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import check_party_name
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_FIELD_PRIME: Final = 2**255 - 19
_ORDER_EIGHT_Y: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y: Final = frozenset(
    {0, 1, _FIELD_PRIME - 1, _ORDER_EIGHT_Y, _FIELD_PRIME - _ORDER_EIGHT_Y}
)
"""y coordinates of the points of order 1, 2, 4 and 8 of edwards25519."""


class SignatureInvalid(FedmrgError):
    """A signature is not the stated party's over these bytes."""

    code: ClassVar[str] = "FMRG-4511"


class PublicKeyInvalid(FedmrgError):
    """Bytes are not an acceptable Ed25519 public key."""

    code: ClassVar[str] = "FMRG-4512"


class SigningKey:
    """One party's Ed25519 key; implements `core.types.Signer`.

    Args:
        party: whose key it is.
        seed: the 32 secret bytes of RFC 8032.
    """

    __slots__ = ("_key", "_party", "_public_key")

    def __init__(self, party: str, seed: SecretBytes) -> None:
        self._party = check_party_name(party)
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self._public_key = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, party: str) -> SigningKey:
        """A fresh key from the operating system's randomness."""
        return cls(party, SecretBytes.random(32))

    @property
    def party(self) -> str:
        return self._party

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes."""
        return self._public_key

    def seed(self) -> SecretBytes:
        """The secret seed, 32 bytes: for storing the key."""
        return SecretBytes(self._key.private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of `message`, 64 bytes.

        Assumes:
            `message` begins with what separates its domain from all others that this key signs.
        """
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(party={self._party!r}, public_key={self._public_key.hex()})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("a signing key cannot be pickled or copied")


def check_public_key(public_key: bytes) -> bytes:
    """Return `public_key` if it is 32 bytes naming a curve point that binds its owner.

    Raises:
        PublicKeyInvalid: wrong length, non-canonical, or of small order (such a key accepts one
            signature for many messages).
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise PublicKeyInvalid(
            f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}"
        )
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    if y >= _FIELD_PRIME or y in _SMALL_ORDER_Y:
        raise PublicKeyInvalid("the Ed25519 public key is not canonical or of small order")
    return public_key


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Return if `signature` (64 bytes) is by the owner of `public_key` (32 bytes); else raise.

    Raises:
        PublicKeyInvalid: the key is not acceptable.
        SignatureInvalid: the signature is not valid.
    """
    check_public_key(public_key)
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid(
            f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(signature)}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        raise SignatureInvalid("the signature does not verify") from None
