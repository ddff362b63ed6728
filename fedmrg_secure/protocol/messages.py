"""The protocol's messages as frozen values, each checked when it is made.

One dataclass a protobuf message of `messages.proto`, with the same field names; `protocol.codec`
converts. A value that violates a range of `SPEC.md` cannot exist: its constructor raises
`InvalidMessage`. Hashes, nonces and roots are 32 bytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.protocol.checks import (
    HASH_BYTES,
    MAX_CHUNKS,
    MAX_UINT32,
    check_chunks,
    check_hash,
    check_key,
    check_length,
    check_name,
    check_range,
    check_sorted_names,
)
from fedmrg_secure.protocol.errors import InvalidMessage
from fedmrg_secure.protocol.phases import Presence, RoundPhase, SessionPhase

MAX_SEALED_BYTES: Final = 1 << 20
MAX_WEIGHT: Final = 1 << 32
_MAX_SNAPSHOT_REQUEST_BYTES: Final = 512
NO_TRANSCRIPT: Final = bytes(HASH_BYTES)
"""What stands for the previous transcript in a session's first plan."""


@dataclass(frozen=True, slots=True)
class GetSession:
    """Asks for the session's manifest; its envelope carries an empty session."""


@dataclass(frozen=True, slots=True)
class SessionDelivery:
    """The manifest's RFC 8785 bytes, as the operator pinned them."""

    manifest: bytes

    def __post_init__(self) -> None:
        check_length("manifest", self.manifest, 2, 1 << 20)


@dataclass(frozen=True, slots=True)
class AcceptSession:
    """The site takes part: its signature binds it to the session, hence to the manifest's hash."""

    weight: int
    """what the site multiplies its update with, 1 up to its cap in the manifest"""

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 1, MAX_WEIGHT)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Done and recorded."""


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Asks how the session stands."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Says that the site is at work."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The short answer to a heartbeat."""

    session_phase: SessionPhase
    round: int
    round_phase: RoundPhase
    snapshot_request: bytes
    """a site's `RequestSnapshot` envelope that the caller is to answer; empty: none"""

    def __post_init__(self) -> None:
        check_range("round", self.round, 0, MAX_UINT32)
        check_length("snapshot_request", self.snapshot_request, 0, _MAX_SNAPSHOT_REQUEST_BYTES)


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """One expected site."""

    site: str
    presence: Presence

    def __post_init__(self) -> None:
        check_name("site", self.site)


@dataclass(frozen=True, slots=True)
class CohortMember:
    """One site of a round's cohort."""

    site: str
    nonce: bytes
    weight: int

    def __post_init__(self) -> None:
        check_name("site", self.site)
        check_hash("nonce", self.nonce)
        check_range("weight", self.weight, 1, MAX_WEIGHT)


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Who takes part in a round and what it starts from. Its hash is `hashes.plan_hash`."""

    round: int
    base_state_hash: bytes
    cohort: tuple[CohortMember, ...]
    """sorted by name, no name twice"""
    key_epoch: int
    """counts the federation's keys from 1; 0 when the scheme has no shared key"""
    key_maker: str
    """the cohort's site that makes (or made) the epoch's key; empty when `key_epoch` is 0"""
    previous_transcript: bytes
    """transcript hash of the last closed round; `NO_TRANSCRIPT` before the first"""

    def __post_init__(self) -> None:
        check_range("round", self.round, 1, MAX_UINT32)
        check_hash("base_state_hash", self.base_state_hash)
        check_key(self.key_epoch, self.key_maker)
        check_hash("previous_transcript", self.previous_transcript)
        check_sorted_names("cohort", [member.site for member in self.cohort])
        if self.key_epoch and self.key_maker not in self.sites:
            raise InvalidMessage("key_maker is not in the cohort")

    @property
    def sites(self) -> tuple[str, ...]:
        """The cohort's names, sorted."""
        return tuple(member.site for member in self.cohort)


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """How the session stands, as seen by the site that asks."""

    session_phase: SessionPhase
    reason: str
    """why the session failed or the latest round was aborted; else empty"""
    round: int
    """the latest round, 0 before the first"""
    round_phase: RoundPhase
    state_hash: bytes
    """what a site's shared state must hash to before it announces itself to the next round"""
    closed_rounds: tuple[int, ...]
    """closed rounds in order: whoever adds their aggregates in this order reaches `state_hash`"""
    plan: RoundPlan | None
    """of round `round`, once it is made"""
    key_available: bool
    """the plan's key, sealed to this site, can be fetched"""
    announced: bool
    uploaded: bool
    acknowledged: bool
    """what this site has already done in round `round`"""
    sites: tuple[SiteStatus, ...]
    committed: bool
    """this site's commitment to round `round` is recorded"""
    opening_available: bool
    """enough share sums are there to open the sum of round `round`"""

    def __post_init__(self) -> None:
        if len(self.reason) > 500:
            raise InvalidMessage("reason is longer than 500 characters")
        check_range("round", self.round, 0, MAX_UINT32)
        check_hash("state_hash", self.state_hash)
        for earlier, later in itertools.pairwise(self.closed_rounds):
            if earlier >= later:
                raise InvalidMessage("closed_rounds do not ascend")
        for number in self.closed_rounds:
            check_range("closed_rounds", number, 1, max(self.round, 1))
        if self.plan is not None and self.plan.round != self.round:
            raise InvalidMessage("plan is of another round")


@dataclass(frozen=True, slots=True)
class Announce:
    """The site is ready for the envelope's round."""

    nonce: bytes
    """32 fresh random bytes: nobody else chooses what the plan's hash seeds"""
    state_hash: bytes
    """hash of the shared state that the site will start from"""

    def __post_init__(self) -> None:
        check_hash("nonce", self.nonce)
        check_hash("state_hash", self.state_hash)


@dataclass(frozen=True, slots=True)
class PublishKey:
    """The epoch's key, sealed by its maker to one recipient; opaque to the coordinator."""

    epoch: int
    recipient: str
    sealed: bytes

    def __post_init__(self) -> None:
        check_range("epoch", self.epoch, 1, MAX_UINT32)
        check_name("recipient", self.recipient)
        check_length("sealed", self.sealed, 1, MAX_SEALED_BYTES)


@dataclass(frozen=True, slots=True)
class FetchKey:
    """Asks for the epoch's key sealed to the caller."""

    epoch: int

    def __post_init__(self) -> None:
        check_range("epoch", self.epoch, 1, MAX_UINT32)


@dataclass(frozen=True, slots=True)
class KeyDelivery:
    """The maker's signed `PublishKey` envelope, byte for byte; empty when it is not there yet."""

    envelope: bytes

    def __post_init__(self) -> None:
        check_length("envelope", self.envelope, 0, MAX_SEALED_BYTES + 1024)


@dataclass(frozen=True, slots=True)
class GetUploadStatus:
    """Asks what of the caller's upload to the envelope's round is stored."""


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """What of an upload is stored."""

    begun: bool
    """an upload manifest of this site is recorded; another one will be refused"""
    complete: bool
    stored: tuple[int, ...]
    """indexes of stored chunks, ascending"""

    def __post_init__(self) -> None:
        for index in self.stored:
            check_range("stored", index, 0, MAX_CHUNKS - 1)


@dataclass(frozen=True, slots=True)
class UploadManifest:
    """What a site is about to upload; signed, so that every chunk is bound to its sender."""

    plan_hash: bytes
    chunk_hashes: tuple[bytes, ...]
    """RFC 6962 leaf hash of each frame"""
    merkle_root: bytes
    """RFC 6962 root over `chunk_hashes`"""
    total_bytes: int
    """sum of the frames' lengths"""

    def __post_init__(self) -> None:
        check_hash("plan_hash", self.plan_hash)
        check_chunks(self.chunk_hashes, self.merkle_root, self.total_bytes)


@dataclass(frozen=True, slots=True)
class GetAggregate:
    """Asks what the envelope's round was summed to."""


@dataclass(frozen=True, slots=True)
class IncludedSite:
    """One site whose upload is in an aggregate."""

    site: str
    weight: int
    upload_root: bytes
    """`UploadManifest.merkle_root` of the upload that was added"""

    def __post_init__(self) -> None:
        check_name("site", self.site)
        check_range("weight", self.weight, 1, MAX_WEIGHT)
        check_hash("upload_root", self.upload_root)


@dataclass(frozen=True, slots=True)
class AggregateInfo:
    """The sum of one round's uploads. Its hash is `hashes.aggregate_hash`."""

    round: int
    plan_hash: bytes
    included: tuple[IncludedSite, ...]
    """sorted by name; openers stand in aggregate frames in this order"""
    chunk_hashes: tuple[bytes, ...]
    merkle_root: bytes
    total_bytes: int
    key_epoch: int
    key_maker: str
    """the plan's: what a site that was away needs to open the sum"""
    inclusion_hash: bytes
    """of the certified included set; empty unless the scheme has round keys"""

    def __post_init__(self) -> None:
        check_range("round", self.round, 1, MAX_UINT32)
        if self.inclusion_hash:
            check_hash("inclusion_hash", self.inclusion_hash)
        check_hash("plan_hash", self.plan_hash)
        check_key(self.key_epoch, self.key_maker)
        check_sorted_names("included", [entry.site for entry in self.included])
        check_chunks(self.chunk_hashes, self.merkle_root, self.total_bytes)

    @property
    def sites(self) -> tuple[str, ...]:
        """The included sites' names, sorted."""
        return tuple(entry.site for entry in self.included)

    @property
    def total_weight(self) -> int:
        """What the opened sum is divided by to give the mean."""
        return sum(entry.weight for entry in self.included)


@dataclass(frozen=True, slots=True)
class Download:
    """Asks for the aggregate frames of the envelope's round from `first_chunk` on."""

    first_chunk: int

    def __post_init__(self) -> None:
        check_range("first_chunk", self.first_chunk, 0, MAX_CHUNKS - 1)


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The site opened the sum, checked it and applied it."""

    plan_hash: bytes
    model_hash: bytes
    """hash of the shared state after the round"""

    def __post_init__(self) -> None:
        check_hash("plan_hash", self.plan_hash)
        check_hash("model_hash", self.model_hash)


Message = (
    GetSession
    | SessionDelivery
    | AcceptSession
    | Receipt
    | GetStatus
    | SessionStatus
    | Heartbeat
    | Pulse
    | Announce
    | PublishKey
    | FetchKey
    | KeyDelivery
    | GetUploadStatus
    | UploadStatus
    | UploadManifest
    | GetAggregate
    | AggregateInfo
    | Download
    | Acknowledge
)
"""Of every session; `protocol.certified` has those of rounds with round keys, `protocol.snapshots`
those of snapshots."""
