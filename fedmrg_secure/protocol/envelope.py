"""The signed envelope around every message.

Signed are, length-prefixed and under a domain-separation tag: version, type, session, round,
sequence, sender, the digest of the request that a reply answers, and the SHA-256 of the payload. No
signature is therefore valid for another type, session, round, sender or question.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import Signer, Verifier
from fedmrg_secure.protocol.checks import HASH_BYTES, MAX_UINT32, check_name
from fedmrg_secure.protocol.codec import (
    Message,
    MessageType,
    canonical_bytes,
    decode_message,
    encode_message,
    message_type,
    parse_canonical,
)
from fedmrg_secure.protocol.errors import (
    BadSignature,
    InvalidMessage,
    UnsupportedVersion,
    WrongSession,
)
from fedmrg_secure.protocol.v1 import transport_pb2

ENVELOPE_TAG: Final = b"fedmrg/envelope/v1"
VERSION: Final = 1
SIGNATURE_BYTES: Final = 64

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it travels. Its signature is only a claim until `open_envelope` says so."""

    type: MessageType
    session: bytes
    """32 bytes; empty only while the sender does not know the session yet"""
    round: int
    sequence: int
    sender: str
    reply_to: bytes
    """`digest` of the request that this answers; empty in a request"""
    payload: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.session) not in (0, HASH_BYTES):
            raise InvalidMessage("session has neither 0 nor 32 bytes")
        if len(self.reply_to) not in (0, HASH_BYTES):
            raise InvalidMessage("reply_to has neither 0 nor 32 bytes")
        if not 0 <= self.round <= MAX_UINT32:
            raise InvalidMessage("round does not fit 32 bits")
        check_name("sender", self.sender)

    def signed_bytes(self) -> bytes:
        """What the sender signs."""
        parts = (
            ENVELOPE_TAG,
            VERSION.to_bytes(4, "big"),
            int(self.type).to_bytes(4, "big"),
            self.session,
            self.round.to_bytes(4, "big"),
            self.sequence.to_bytes(8, "big"),
            self.sender.encode(),
            self.reply_to,
            hashlib.sha256(self.payload).digest(),
        )
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    @property
    def digest(self) -> bytes:
        """SHA-256 of `signed_bytes`, 32 bytes: how a reply names its question."""
        return hashlib.sha256(self.signed_bytes()).digest()

    def to_bytes(self) -> bytes:
        """The canonical protobuf encoding."""
        return canonical_bytes(
            transport_pb2.Envelope(
                version=VERSION,
                type=int(self.type),  # type: ignore[arg-type]
                session=self.session,
                round=self.round,
                sequence=self.sequence,
                sender=self.sender,
                reply_to=self.reply_to,
                payload=self.payload,
                signature=self.signature,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """The envelope that `data` encodes; nothing in it is verified yet.

        Raises:
            InvalidMessage: `data` is not a canonical envelope.
            UnsupportedVersion: its version is not `VERSION`.
        """
        proto = parse_canonical(transport_pb2.Envelope(), data)
        if proto.version != VERSION:
            raise UnsupportedVersion(f"envelope version {proto.version} is not {VERSION}")
        try:
            kind = MessageType(proto.type)
        except ValueError as error:
            raise InvalidMessage(f"there is no message type {proto.type}") from error
        return cls(
            type=kind,
            session=proto.session,
            round=proto.round,
            sequence=proto.sequence,
            sender=proto.sender,
            reply_to=proto.reply_to,
            payload=proto.payload,
            signature=proto.signature,
        )


def seal_envelope(
    signer: Signer,
    message: Message,
    *,
    session: bytes,
    round_number: int = 0,
    sequence: int,
    reply_to: bytes = b"",
) -> Envelope:
    """Sign a message as `signer.party`."""
    unsigned = Envelope(
        type=message_type(message),
        session=session,
        round=round_number,
        sequence=sequence,
        sender=signer.party,
        reply_to=reply_to,
        payload=encode_message(message),
        signature=b"",
    )
    return replace(unsigned, signature=signer.sign(unsigned.signed_bytes()))


def open_envelope(
    envelope: Envelope,
    verifier: Verifier,
    expected: type[M],
    *,
    session: bytes,
    sender: str,
    reply_to: bytes = b"",
) -> M:
    """Verify an envelope and return its message.

    Args:
        expected: the message class that must be inside.
        session: the session it must belong to, or empty where none is known yet.
        sender: the party that must have signed it: from the certificate or from a plan.
        reply_to: digest of the request that it must answer; empty for a request.

    Raises:
        BadSignature: the sender is another party or unknown, or the signature does not verify.
        WrongSession: it belongs to another session.
        InvalidMessage: another type, answers another request, or the payload is not valid.
    """
    if envelope.sender != sender:
        raise BadSignature(f"the envelope is from {envelope.sender}, not from {sender}")
    if len(envelope.signature) != SIGNATURE_BYTES:
        raise BadSignature(f"the signature of {sender} does not have {SIGNATURE_BYTES} bytes")
    try:
        verifier.verify(sender, envelope.signed_bytes(), envelope.signature)
    except FedmrgError as error:
        raise BadSignature(f"the signature of {sender} does not verify") from error
    if envelope.session != session:
        raise WrongSession("the envelope belongs to another session")
    if envelope.reply_to != reply_to:
        raise InvalidMessage("the envelope answers another request")
    message = decode_message(envelope.type, envelope.payload)
    if not isinstance(message, expected):
        raise InvalidMessage(f"{envelope.type.name} came where {expected.__name__} was due")
    return message
