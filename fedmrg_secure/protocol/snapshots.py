"""Messages of snapshots: one site seals the public state to another, the coordinator carries it.

As in `protocol.messages`: one dataclass a protobuf message, checked when it is made. A snapshot is
the values of the public state (`SPEC.md`, R-411) in chunks of `CHUNK_BYTES`, each encrypted under
one fresh key; the key is HPKE output, opaque to the coordinator like the chunks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.protocol.checks import (
    MAX_CHUNKS,
    MAX_COHORT,
    MAX_UINT32,
    check_chunks,
    check_hash,
    check_length,
    check_name,
    check_range,
)
from fedmrg_secure.protocol.errors import InvalidMessage
from fedmrg_secure.protocol.messages import RoundPlan

CHUNK_BYTES: Final = 1 << 20
"""Of the state in one chunk; the last one may be shorter."""
CHUNK_OVERHEAD_BYTES: Final = 16
"""What encryption adds to a chunk: the tag of AES-GCM."""
SEALED_KEY_BYTES: Final = 32 + 48
"""A key of AES-256, as HPKE seals it."""
_MAX_OFFER_BYTES: Final = 48 * MAX_CHUNKS
_MAX_ACKNOWLEDGEMENT_BYTES: Final = 512
_SEALED_BYTES_PER_S: Final = 20_000_000
"""What a helper is at least given credit for; a slow disk writes more."""
_VALUE_BYTES: Final = 4
MAX_STATE_VALUES: Final = MAX_CHUNKS * CHUNK_BYTES // _VALUE_BYTES
_CODE: Final = re.compile(r"FMRG-\d{4}")


@dataclass(frozen=True, slots=True)
class SnapshotSize:
    """How large a snapshot of a state is, exactly.

    Attributes:
        chunks: encrypted chunks.
        total_bytes: of all of them.
    """

    chunks: int
    total_bytes: int

    @classmethod
    def of(cls, values: int) -> SnapshotSize:
        """The size for a state of so many float32 values, >= 1."""
        state_bytes = _VALUE_BYTES * values
        chunks = -(-state_bytes // CHUNK_BYTES)
        return cls(chunks, state_bytes + CHUNK_OVERHEAD_BYTES * chunks)

    def helper_patience_s(self, site_timeout_ms: int) -> float:
        """How long nothing may come of a site that is asked to help, seconds.

        It seals the whole state before it sends the first chunk.
        """
        return site_timeout_ms / 1000 + self.total_bytes / _SEALED_BYTES_PER_S

    def chunk_bytes(self, index: int) -> int:
        """The length of one encrypted chunk: full but for the last."""
        full = CHUNK_BYTES + CHUNK_OVERHEAD_BYTES
        return full if index < self.chunks - 1 else self.total_bytes - full * (self.chunks - 1)


@dataclass(frozen=True, slots=True)
class RequestSnapshot:
    """The sender is behind the envelope's round, a closed one, and asks for the state after it."""


@dataclass(frozen=True, slots=True)
class OfferSnapshot:
    """The state after the envelope's round, sealed by the sender to one site."""

    recipient: str
    pass_number: int
    """how many closed rounds lead to the state"""
    plan_hash: bytes
    """of the envelope's round"""
    model_hash: bytes
    """of the state"""
    transcript: bytes
    """of the history up to it, as the sender has computed it for itself"""
    sealed_key: bytes
    chunk_hashes: tuple[bytes, ...]
    """RFC 6962 leaf hash of each encrypted chunk"""
    merkle_root: bytes
    total_bytes: int
    """sum of the encrypted chunks' lengths"""

    def __post_init__(self) -> None:
        check_name("recipient", self.recipient)
        check_range("pass_number", self.pass_number, 1, MAX_UINT32)
        check_hash("plan_hash", self.plan_hash)
        check_hash("model_hash", self.model_hash)
        check_hash("transcript", self.transcript)
        check_length("sealed_key", self.sealed_key, SEALED_KEY_BYTES, SEALED_KEY_BYTES)
        check_chunks(self.chunk_hashes, self.merkle_root, self.total_bytes)


@dataclass(frozen=True, slots=True)
class GetOfferStatus:
    """Asks what of the caller's offer to a site is stored; `UploadStatus` answers."""

    recipient: str

    def __post_init__(self) -> None:
        check_name("recipient", self.recipient)


@dataclass(frozen=True, slots=True)
class GetSnapshot:
    """Asks for the snapshot that the caller has requested."""


@dataclass(frozen=True, slots=True)
class SnapshotDelivery:
    """The snapshot for the caller, or how far it is."""

    offer: bytes
    """the sender's `OfferSnapshot` envelope, byte for byte; empty until all of it is there"""
    stored: int
    """chunks so far"""

    def __post_init__(self) -> None:
        check_length("offer", self.offer, 0, _MAX_OFFER_BYTES)
        check_range("stored", self.stored, 0, MAX_CHUNKS)


@dataclass(frozen=True, slots=True)
class DownloadSnapshot:
    """Asks for the chunks of the offer with this digest from `first_chunk` on."""

    offer: bytes
    first_chunk: int

    def __post_init__(self) -> None:
        check_hash("offer", self.offer)
        check_range("first_chunk", self.first_chunk, 0, MAX_CHUNKS - 1)


@dataclass(frozen=True, slots=True)
class SettleSnapshot:
    """The caller has applied the offer with this digest, or refuses it."""

    offer: bytes
    refusal: str
    """code of what is wrong with it; empty: applied"""

    def __post_init__(self) -> None:
        check_hash("offer", self.offer)
        if self.refusal and not _CODE.fullmatch(self.refusal):
            raise InvalidMessage("refusal is not an error code")


@dataclass(frozen=True, slots=True)
class GetClosure:
    """Asks what the envelope's round, a closed one, was planned as."""

    acknowledgements: bool
    """whether the sites' acknowledgements are wanted too"""


@dataclass(frozen=True, slots=True)
class Closure:
    """A closed round's plan, and who has acknowledged which model."""

    plan: RoundPlan
    acknowledgements: tuple[bytes, ...]
    """`Acknowledge` envelopes, byte for byte"""

    def __post_init__(self) -> None:
        check_range("length of acknowledgements", len(self.acknowledgements), 0, MAX_COHORT)
        for one in self.acknowledgements:
            check_length("acknowledgements", one, 1, _MAX_ACKNOWLEDGEMENT_BYTES)


Message = (
    RequestSnapshot
    | OfferSnapshot
    | GetOfferStatus
    | GetSnapshot
    | SnapshotDelivery
    | DownloadSnapshot
    | SettleSnapshot
    | GetClosure
    | Closure
)
