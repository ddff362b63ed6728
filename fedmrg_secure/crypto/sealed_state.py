"""A state encrypted to one recipient: AES-256-GCM in chunks under a fresh key, the key with HPKE.

Chunk i of n has the nonce i (12 bytes, big endian) and is bound to its context, i and n as
associated data, so that no chunk can be moved, dropped or taken from another state. The key is made
for one state and sealed once its chunks' Merkle root is known, to which it is bound with the rest:
nobody can hand it on with other chunks. It is never stored.

Source:
    NIST SP 800-38D (GCM); RFC 9180 (HPKE); RFC 6962, section 2.1 (Merkle trees).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import check_party_name
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.seal_key import open_sealed, seal, sealing_info

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_CHUNK_TAG: Final = "fedmrg/snapshot-chunk/v1"
_PURPOSE: Final = "snapshot"


class SealedStateInvalid(FedmrgError):
    """An encrypted chunk cannot be opened: another key, place or context, or changed bytes."""

    code: ClassVar[str] = "FMRG-4523"


@dataclass(frozen=True, slots=True)
class StateContext:
    """What a sealed state is bound to.

    Attributes:
        session: the session's id, 32 bytes.
        round: the closed round whose state it is.
        sender, recipient: who seals it, and who alone may open it.
        model_hash: of the state, 32 bytes.
    """

    session: bytes
    round: int
    sender: str
    recipient: str
    model_hash: bytes

    def chunk_data(self, index: int, count: int) -> bytes:
        """The associated data of one chunk, 32 bytes."""
        return tagged_hash(
            _CHUNK_TAG,
            self.session,
            self.round.to_bytes(4, "big"),
            check_party_name(self.sender).encode(),
            check_party_name(self.recipient).encode(),
            self.model_hash,
            index.to_bytes(4, "big"),
            count.to_bytes(4, "big"),
        )

    def key_info(self, merkle_root: bytes) -> bytes:
        """What the sealed key is bound to, 32 bytes: the context and the chunks' root."""
        return sealing_info(
            f"{_PURPOSE}/{self.model_hash.hex()}/{merkle_root.hex()}",
            session=self.session,
            epoch=self.round,
            sender=self.sender,
            recipient=self.recipient,
        )


class StateSealer:
    """Encrypts one state under a key of its own.

    Guarantee:
        Only the recipient's private key opens what comes out, and only in the same context, all
        chunks in their places (AES-256-GCM; a nonce occurs once under the key).

    Use:
        ``sealer = StateSealer(context, count)``; every chunk through `encrypt`, in order; then
        `seal_key`, which ends the key.
    """

    def __init__(self, context: StateContext, count: int) -> None:
        self._context = context
        self._count = count
        self._key = SecretBytes.random(KEY_BYTES)
        self._begun = False

    def encrypt(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Each chunk encrypted, `TAG_BYTES` longer.

        Raises:
            ValueError: there are more or fewer than the count, or it is called twice.
        """
        if self._begun:
            raise ValueError("a state's key encrypts one state, once")
        self._begun = True
        cipher, done = AESGCM(self._key.reveal()), 0
        for index, chunk in enumerate(chunks):
            if index >= self._count:
                raise ValueError("more chunks came than were announced")
            yield cipher.encrypt(_nonce(index), chunk, self._context.chunk_data(index, self._count))
            done += 1
        if done != self._count:
            raise ValueError("fewer chunks came than were announced")

    def seal_key(self, public_key: bytes, merkle_root: bytes) -> bytes:
        """The key, sealed to the recipient and bound to the chunks; then it is wiped.

        Args:
            public_key: the recipient's X25519 key, from the roster.
            merkle_root: RFC 6962 root over the encrypted chunks.
        """
        sealed = seal(public_key, self._key, self._context.key_info(merkle_root))
        self._key.wipe()
        return sealed


def open_state(
    private_key: SecretBytes,
    sealed_key: bytes,
    chunks: Iterable[bytes],
    context: StateContext,
    *,
    merkle_root: bytes,
    count: int,
) -> Iterator[bytes]:
    """The chunks of a sealed state in the clear, one by one, each authenticated first.

    Args:
        private_key: the recipient's X25519 key.
        sealed_key: what `StateSealer.seal_key` gave.
        chunks: encrypted, in order.
        merkle_root: root over all of them, from what the sender has signed.
        count: how many there are, from there too.

    Raises:
        SealedKeyInvalid: the key is for another recipient or context, or was changed.
        SealedStateInvalid: a chunk is, or there are more or fewer than `count`.
    """
    key = open_sealed(private_key, sealed_key, context.key_info(merkle_root))
    if len(key) != KEY_BYTES:
        raise SealedStateInvalid(f"the state's key does not have {KEY_BYTES} bytes")
    cipher, done = AESGCM(key.reveal()), 0
    for index, chunk in enumerate(chunks):
        if index >= count:
            raise SealedStateInvalid("the sealed state has more chunks than its sender signed")
        try:
            yield cipher.decrypt(_nonce(index), chunk, context.chunk_data(index, count))
        except (InvalidTag, ValueError):
            raise SealedStateInvalid(
                f"chunk {index} of the sealed state could not be opened: it is for another key, "
                "place or context, or was changed"
            ) from None
        done += 1
    if done != count:
        raise SealedStateInvalid(f"the sealed state has {done} chunks, its sender signed {count}")


def _nonce(index: int) -> bytes:
    return index.to_bytes(_NONCE_BYTES, "big")
