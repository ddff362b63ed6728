"""Signed checkpoints: a log's size and root in C2SP's tlog-checkpoint and signed-note forms.

    fedmrg/FEDERATION/PARTY
    42
    base64(root)

    — fedmrg/FEDERATION/PARTY base64(key id (4 bytes) | Ed25519 signature (64 bytes))

The first line keeps checkpoints apart from everything else that the same key signs.

Source:
    https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedmrg_secure.core.canonical import HASH_BYTES
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import check_party_name

_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NOTE: Final = re.compile(
    r"(?P<text>(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,15})\n(?P<root>[A-Za-z0-9+/=]+)\n)\n"
    r"— (?P<name>[^\n +]+) (?P<signature>[A-Za-z0-9+/=]+)\n"
)


class CheckpointInvalid(FedmrgError):
    """A checkpoint is malformed, of another log, or not signed by the log's key."""

    code: ClassVar[str] = "FMRG-7021"


class LogSigner(Protocol):
    """A party's Ed25519 key (`crypto.signing.SigningKey`)."""

    @property
    def party(self) -> str: ...

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head.

    Args:
        origin: which log, from `log_origin`.
        size: entries, >= 0.
        root: RFC 6962 root over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()


def log_origin(federation: str, party: str) -> str:
    """The name of a party's log: ``fedmrg/FEDERATION/PARTY``."""
    return f"fedmrg/{check_party_name(federation)}/{check_party_name(party)}"


def key_id(name: str, public_key: bytes) -> bytes:
    """The 4 bytes by which a signed note names an Ed25519 key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_BYTES]


def sign_checkpoint(checkpoint: Checkpoint, signer: LogSigner) -> str:
    """The checkpoint as a signed note; the key's name is the log's origin."""
    signature = key_id(checkpoint.origin, signer.public_key) + signer.sign(checkpoint.text)
    encoded = base64.b64encode(signature).decode()
    return f"{checkpoint.text.decode()}\n— {checkpoint.origin} {encoded}\n"


def read_checkpoint(note: str, origin: str, public_key: bytes) -> Checkpoint:
    """The checkpoint in a signed note.

    Args:
        note: what `sign_checkpoint` made.
        origin: the log that it must be of.
        public_key: the Ed25519 key that must have signed, 32 bytes.

    Raises:
        CheckpointInvalid: malformed, of another log, by another key, or a bad signature.
    """
    match = _NOTE.fullmatch(note)
    if match is None:
        raise CheckpointInvalid("the checkpoint is not a signed note")
    if match["origin"] != origin or match["name"] != origin:
        raise CheckpointInvalid(f"the checkpoint is not of the log {origin}")
    root, signature = _decode(match["root"]), _decode(match["signature"])
    if len(root) != HASH_BYTES:
        raise CheckpointInvalid("the checkpoint's root is not 32 bytes")
    if signature[:_KEY_ID_BYTES] != key_id(origin, public_key):
        raise CheckpointInvalid("the checkpoint is signed with a key that is not the roster's")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            signature[_KEY_ID_BYTES:], match["text"].encode()
        )
    except (InvalidSignature, ValueError):
        raise CheckpointInvalid("the checkpoint's signature does not verify") from None
    return Checkpoint(origin, int(match["size"]), root)


def _decode(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    # One encoding each: trailing bits must be zero, or two notes would say the same.
    if base64.b64encode(decoded).decode() != text:
        raise CheckpointInvalid("the checkpoint is not canonical base64")
    return decoded
