"""Sealing a secret to one party: HPKE (RFC 9180), base mode.

Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. HPKE's base mode says nothing of the
sender: what is sealed travels inside the sender's signed message, and `info` binds it to one
purpose, session, epoch, sender and recipient.
"""

from __future__ import annotations

from typing import ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import check_party_name
from fedmrg_secure.crypto.keys import SecretBytes

KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 48
"""Sealed bytes beyond the plaintext: the encapsulated key (32) and the tag (16)."""

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class SealedKeyInvalid(FedmrgError):
    """A sealed secret cannot be opened: wrong key, wrong context, or changed bytes."""

    code: ClassVar[str] = "FMRG-4521"


class SealingKeyInvalid(FedmrgError):
    """Bytes are not an acceptable X25519 public key."""

    code: ClassVar[str] = "FMRG-4522"


def generate_seal_key() -> SecretBytes:
    """A fresh X25519 private key, 32 bytes."""
    return SecretBytes(X25519PrivateKey.generate().private_bytes_raw())


def seal_public_key(private: SecretBytes) -> bytes:
    """The X25519 public key of a private key, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private.reveal()).public_key().public_bytes_raw()


def sealing_info(purpose: str, *, session: bytes, epoch: int, sender: str, recipient: str) -> bytes:
    """The context that a sealed secret is bound to, 32 bytes.

    Args:
        purpose: what is sealed, such as ``ckks-key``.
        session: the session's id.
        epoch: which key of the session, >= 0.
        sender: the party that sealed it.
        recipient: the only party that may open it.
    """
    return tagged_hash(
        "fedmrg/hpke-info/v1",
        purpose.encode(),
        session,
        epoch.to_bytes(8, "big"),
        check_party_name(sender).encode(),
        check_party_name(recipient).encode(),
    )


def seal(public_key: bytes, plaintext: SecretBytes | bytes, info: bytes) -> bytes:
    """Encrypt a secret to the owner of an X25519 key.

    Args:
        public_key: the recipient's, 32 bytes, from the roster.
        plaintext: any length.
        info: the context, from `sealing_info`.

    Returns:
        The encapsulated key (32 bytes), then ciphertext and tag: `OVERHEAD_BYTES` more than the
        plaintext. Fresh randomness each time.

    Raises:
        SealingKeyInvalid: wrong length, or a point of small order.

    Guarantee:
        Only the private key's holder can open it, and only with the same `info` (IND-CCA2,
        RFC 9180, section 9.1).

    Assumes:
        The sender is authenticated elsewhere: anyone can seal to a public key.
    """
    if len(public_key) != KEY_BYTES:
        raise SealingKeyInvalid(
            f"an X25519 public key has {KEY_BYTES} bytes, not {len(public_key)}"
        )
    recipient = X25519PublicKey.from_public_bytes(public_key)
    content = plaintext.reveal() if isinstance(plaintext, SecretBytes) else plaintext
    try:
        return _SUITE.encrypt(content, recipient, info)
    except (ValueError, InvalidTag):
        raise SealingKeyInvalid("the X25519 public key is of small order") from None


def open_sealed(private_key: SecretBytes, sealed: bytes, info: bytes) -> SecretBytes:
    """Decrypt what was sealed to this key in this context.

    Args:
        private_key: the recipient's X25519 key, 32 bytes.
        sealed: what `seal` returned.
        info: the same context as in `seal`.

    Raises:
        SealedKeyInvalid: another key or context, or bytes changed, missing or added.
    """
    if len(sealed) < OVERHEAD_BYTES:
        raise SealedKeyInvalid(f"a sealed secret of {len(sealed)} bytes is too short")
    key = X25519PrivateKey.from_private_bytes(private_key.reveal())
    try:
        return SecretBytes(_SUITE.decrypt(sealed, key, info))
    except (InvalidTag, ValueError):
        raise SealedKeyInvalid(
            "a sealed secret could not be opened: it is for another key or context, or was changed"
        ) from None
