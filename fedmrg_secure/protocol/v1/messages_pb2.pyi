from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_PHASE_UNSPECIFIED: _ClassVar[SessionPhase]
    SESSION_PHASE_JOINING: _ClassVar[SessionPhase]
    SESSION_PHASE_RUNNING: _ClassVar[SessionPhase]
    SESSION_PHASE_FINISHED: _ClassVar[SessionPhase]
    SESSION_PHASE_FAILED: _ClassVar[SessionPhase]

class RoundPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_PHASE_UNSPECIFIED: _ClassVar[RoundPhase]
    ROUND_PHASE_ANNOUNCING: _ClassVar[RoundPhase]
    ROUND_PHASE_UPLOADING: _ClassVar[RoundPhase]
    ROUND_PHASE_AGGREGATING: _ClassVar[RoundPhase]
    ROUND_PHASE_AGGREGATED: _ClassVar[RoundPhase]
    ROUND_PHASE_CLOSED: _ClassVar[RoundPhase]
    ROUND_PHASE_ABORTED: _ClassVar[RoundPhase]
    ROUND_PHASE_COMMITTING: _ClassVar[RoundPhase]
    ROUND_PHASE_CERTIFYING: _ClassVar[RoundPhase]
    ROUND_PHASE_INCLUDING: _ClassVar[RoundPhase]

class Presence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRESENCE_UNSPECIFIED: _ClassVar[Presence]
    PRESENCE_EXPECTED: _ClassVar[Presence]
    PRESENCE_LIVE: _ClassVar[Presence]
    PRESENCE_LOST: _ClassVar[Presence]
SESSION_PHASE_UNSPECIFIED: SessionPhase
SESSION_PHASE_JOINING: SessionPhase
SESSION_PHASE_RUNNING: SessionPhase
SESSION_PHASE_FINISHED: SessionPhase
SESSION_PHASE_FAILED: SessionPhase
ROUND_PHASE_UNSPECIFIED: RoundPhase
ROUND_PHASE_ANNOUNCING: RoundPhase
ROUND_PHASE_UPLOADING: RoundPhase
ROUND_PHASE_AGGREGATING: RoundPhase
ROUND_PHASE_AGGREGATED: RoundPhase
ROUND_PHASE_CLOSED: RoundPhase
ROUND_PHASE_ABORTED: RoundPhase
ROUND_PHASE_COMMITTING: RoundPhase
ROUND_PHASE_CERTIFYING: RoundPhase
ROUND_PHASE_INCLUDING: RoundPhase
PRESENCE_UNSPECIFIED: Presence
PRESENCE_EXPECTED: Presence
PRESENCE_LIVE: Presence
PRESENCE_LOST: Presence

class GetSession(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionDelivery(_message.Message):
    __slots__ = ("manifest",)
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    def __init__(self, manifest: _Optional[bytes] = ...) -> None: ...

class AcceptSession(_message.Message):
    __slots__ = ("weight",)
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    weight: int
    def __init__(self, weight: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatus(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SiteStatus(_message.Message):
    __slots__ = ("site", "presence")
    SITE_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    site: str
    presence: Presence
    def __init__(self, site: _Optional[str] = ..., presence: _Optional[_Union[Presence, str]] = ...) -> None: ...

class Pulse(_message.Message):
    __slots__ = ("session_phase", "round", "round_phase", "snapshot_request")
    SESSION_PHASE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROUND_PHASE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    session_phase: SessionPhase
    round: int
    round_phase: RoundPhase
    snapshot_request: bytes
    def __init__(self, session_phase: _Optional[_Union[SessionPhase, str]] = ..., round: _Optional[int] = ..., round_phase: _Optional[_Union[RoundPhase, str]] = ..., snapshot_request: _Optional[bytes] = ...) -> None: ...

class SessionStatus(_message.Message):
    __slots__ = ("session_phase", "reason", "round", "round_phase", "state_hash", "closed_rounds", "plan", "key_available", "announced", "uploaded", "acknowledged", "sites", "committed", "opening_available")
    SESSION_PHASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROUND_PHASE_FIELD_NUMBER: _ClassVar[int]
    STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    CLOSED_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    KEY_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    UPLOADED_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    OPENING_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    session_phase: SessionPhase
    reason: str
    round: int
    round_phase: RoundPhase
    state_hash: bytes
    closed_rounds: _containers.RepeatedScalarFieldContainer[int]
    plan: RoundPlan
    key_available: bool
    announced: bool
    uploaded: bool
    acknowledged: bool
    sites: _containers.RepeatedCompositeFieldContainer[SiteStatus]
    committed: bool
    opening_available: bool
    def __init__(self, session_phase: _Optional[_Union[SessionPhase, str]] = ..., reason: _Optional[str] = ..., round: _Optional[int] = ..., round_phase: _Optional[_Union[RoundPhase, str]] = ..., state_hash: _Optional[bytes] = ..., closed_rounds: _Optional[_Iterable[int]] = ..., plan: _Optional[_Union[RoundPlan, _Mapping]] = ..., key_available: _Optional[bool] = ..., announced: _Optional[bool] = ..., uploaded: _Optional[bool] = ..., acknowledged: _Optional[bool] = ..., sites: _Optional[_Iterable[_Union[SiteStatus, _Mapping]]] = ..., committed: _Optional[bool] = ..., opening_available: _Optional[bool] = ...) -> None: ...

class Announce(_message.Message):
    __slots__ = ("nonce", "state_hash")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    state_hash: bytes
    def __init__(self, nonce: _Optional[bytes] = ..., state_hash: _Optional[bytes] = ...) -> None: ...

class CohortMember(_message.Message):
    __slots__ = ("site", "nonce", "weight")
    SITE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    site: str
    nonce: bytes
    weight: int
    def __init__(self, site: _Optional[str] = ..., nonce: _Optional[bytes] = ..., weight: _Optional[int] = ...) -> None: ...

class RoundPlan(_message.Message):
    __slots__ = ("round", "base_state_hash", "cohort", "key_epoch", "key_maker", "previous_transcript")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    BASE_STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    KEY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    KEY_MAKER_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    round: int
    base_state_hash: bytes
    cohort: _containers.RepeatedCompositeFieldContainer[CohortMember]
    key_epoch: int
    key_maker: str
    previous_transcript: bytes
    def __init__(self, round: _Optional[int] = ..., base_state_hash: _Optional[bytes] = ..., cohort: _Optional[_Iterable[_Union[CohortMember, _Mapping]]] = ..., key_epoch: _Optional[int] = ..., key_maker: _Optional[str] = ..., previous_transcript: _Optional[bytes] = ...) -> None: ...

class PublishKey(_message.Message):
    __slots__ = ("epoch", "recipient", "sealed")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    recipient: str
    sealed: bytes
    def __init__(self, epoch: _Optional[int] = ..., recipient: _Optional[str] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class FetchKey(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class KeyDelivery(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class DepositShares(_message.Message):
    __slots__ = ("plan_hash", "sealed")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    sealed: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan_hash: _Optional[bytes] = ..., sealed: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LedgerHead(_message.Message):
    __slots__ = ("scope", "ledger", "entries", "chain", "newest")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    scope: bytes
    ledger: bytes
    entries: int
    chain: bytes
    newest: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, scope: _Optional[bytes] = ..., ledger: _Optional[bytes] = ..., entries: _Optional[int] = ..., chain: _Optional[bytes] = ..., newest: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("plan_hash", "upload_root", "shares_root", "ledger")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ROOT_FIELD_NUMBER: _ClassVar[int]
    SHARES_ROOT_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    upload_root: bytes
    shares_root: bytes
    ledger: LedgerHead
    def __init__(self, plan_hash: _Optional[bytes] = ..., upload_root: _Optional[bytes] = ..., shares_root: _Optional[bytes] = ..., ledger: _Optional[_Union[LedgerHead, _Mapping]] = ...) -> None: ...

class CommittedSite(_message.Message):
    __slots__ = ("site", "upload_root", "commitment")
    SITE_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ROOT_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    site: str
    upload_root: bytes
    commitment: bytes
    def __init__(self, site: _Optional[str] = ..., upload_root: _Optional[bytes] = ..., commitment: _Optional[bytes] = ...) -> None: ...

class Cohort(_message.Message):
    __slots__ = ("round", "plan_hash", "committed")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    round: int
    plan_hash: bytes
    committed: _containers.RepeatedCompositeFieldContainer[CommittedSite]
    def __init__(self, round: _Optional[int] = ..., plan_hash: _Optional[bytes] = ..., committed: _Optional[_Iterable[_Union[CommittedSite, _Mapping]]] = ...) -> None: ...

class GetCohort(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CohortDelivery(_message.Message):
    __slots__ = ("cohort", "commitments", "signatures")
    COHORT_FIELD_NUMBER: _ClassVar[int]
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    cohort: Cohort
    commitments: _containers.RepeatedScalarFieldContainer[bytes]
    signatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, cohort: _Optional[_Union[Cohort, _Mapping]] = ..., commitments: _Optional[_Iterable[bytes]] = ..., signatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CoSignCohort(_message.Message):
    __slots__ = ("cohort_hash",)
    COHORT_HASH_FIELD_NUMBER: _ClassVar[int]
    cohort_hash: bytes
    def __init__(self, cohort_hash: _Optional[bytes] = ...) -> None: ...

class Inclusion(_message.Message):
    __slots__ = ("round", "plan_hash", "cohort_hash", "sites")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    COHORT_HASH_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    round: int
    plan_hash: bytes
    cohort_hash: bytes
    sites: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, round: _Optional[int] = ..., plan_hash: _Optional[bytes] = ..., cohort_hash: _Optional[bytes] = ..., sites: _Optional[_Iterable[str]] = ...) -> None: ...

class GetInclusion(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InclusionDelivery(_message.Message):
    __slots__ = ("inclusion", "signatures")
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    inclusion: Inclusion
    signatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, inclusion: _Optional[_Union[Inclusion, _Mapping]] = ..., signatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CoSignInclusion(_message.Message):
    __slots__ = ("inclusion_hash",)
    INCLUSION_HASH_FIELD_NUMBER: _ClassVar[int]
    inclusion_hash: bytes
    def __init__(self, inclusion_hash: _Optional[bytes] = ...) -> None: ...

class FetchShares(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProvenShare(_message.Message):
    __slots__ = ("sealed", "proof")
    SEALED_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    sealed: bytes
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, sealed: _Optional[bytes] = ..., proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SharesDelivery(_message.Message):
    __slots__ = ("shares",)
    SHARES_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.RepeatedCompositeFieldContainer[ProvenShare]
    def __init__(self, shares: _Optional[_Iterable[_Union[ProvenShare, _Mapping]]] = ...) -> None: ...

class DepositShareSums(_message.Message):
    __slots__ = ("inclusion_hash", "sealed")
    INCLUSION_HASH_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    inclusion_hash: bytes
    sealed: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, inclusion_hash: _Optional[bytes] = ..., sealed: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PublishShareSums(_message.Message):
    __slots__ = ("inclusion_hash", "sums_root")
    INCLUSION_HASH_FIELD_NUMBER: _ClassVar[int]
    SUMS_ROOT_FIELD_NUMBER: _ClassVar[int]
    inclusion_hash: bytes
    sums_root: bytes
    def __init__(self, inclusion_hash: _Optional[bytes] = ..., sums_root: _Optional[bytes] = ...) -> None: ...

class FetchOpening(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Opening(_message.Message):
    __slots__ = ("plan", "inclusion", "signatures", "publications", "share_sums")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    SHARE_SUMS_FIELD_NUMBER: _ClassVar[int]
    plan: RoundPlan
    inclusion: Inclusion
    signatures: _containers.RepeatedScalarFieldContainer[bytes]
    publications: _containers.RepeatedScalarFieldContainer[bytes]
    share_sums: _containers.RepeatedCompositeFieldContainer[ProvenShare]
    def __init__(self, plan: _Optional[_Union[RoundPlan, _Mapping]] = ..., inclusion: _Optional[_Union[Inclusion, _Mapping]] = ..., signatures: _Optional[_Iterable[bytes]] = ..., publications: _Optional[_Iterable[bytes]] = ..., share_sums: _Optional[_Iterable[_Union[ProvenShare, _Mapping]]] = ...) -> None: ...

class GetUploadStatus(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UploadStatus(_message.Message):
    __slots__ = ("begun", "complete", "stored")
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    begun: bool
    complete: bool
    stored: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, begun: _Optional[bool] = ..., complete: _Optional[bool] = ..., stored: _Optional[_Iterable[int]] = ...) -> None: ...

class UploadManifest(_message.Message):
    __slots__ = ("plan_hash", "chunk_hashes", "merkle_root", "total_bytes")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_HASHES_FIELD_NUMBER: _ClassVar[int]
    MERKLE_ROOT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    chunk_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    merkle_root: bytes
    total_bytes: int
    def __init__(self, plan_hash: _Optional[bytes] = ..., chunk_hashes: _Optional[_Iterable[bytes]] = ..., merkle_root: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class GetAggregate(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IncludedSite(_message.Message):
    __slots__ = ("site", "weight", "upload_root")
    SITE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ROOT_FIELD_NUMBER: _ClassVar[int]
    site: str
    weight: int
    upload_root: bytes
    def __init__(self, site: _Optional[str] = ..., weight: _Optional[int] = ..., upload_root: _Optional[bytes] = ...) -> None: ...

class AggregateInfo(_message.Message):
    __slots__ = ("round", "plan_hash", "included", "chunk_hashes", "merkle_root", "total_bytes", "key_epoch", "key_maker", "inclusion_hash")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_HASHES_FIELD_NUMBER: _ClassVar[int]
    MERKLE_ROOT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    KEY_MAKER_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_HASH_FIELD_NUMBER: _ClassVar[int]
    round: int
    plan_hash: bytes
    included: _containers.RepeatedCompositeFieldContainer[IncludedSite]
    chunk_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    merkle_root: bytes
    total_bytes: int
    key_epoch: int
    key_maker: str
    inclusion_hash: bytes
    def __init__(self, round: _Optional[int] = ..., plan_hash: _Optional[bytes] = ..., included: _Optional[_Iterable[_Union[IncludedSite, _Mapping]]] = ..., chunk_hashes: _Optional[_Iterable[bytes]] = ..., merkle_root: _Optional[bytes] = ..., total_bytes: _Optional[int] = ..., key_epoch: _Optional[int] = ..., key_maker: _Optional[str] = ..., inclusion_hash: _Optional[bytes] = ...) -> None: ...

class Download(_message.Message):
    __slots__ = ("first_chunk",)
    FIRST_CHUNK_FIELD_NUMBER: _ClassVar[int]
    first_chunk: int
    def __init__(self, first_chunk: _Optional[int] = ...) -> None: ...

class Acknowledge(_message.Message):
    __slots__ = ("plan_hash", "model_hash")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    model_hash: bytes
    def __init__(self, plan_hash: _Optional[bytes] = ..., model_hash: _Optional[bytes] = ...) -> None: ...

class RequestSnapshot(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OfferSnapshot(_message.Message):
    __slots__ = ("recipient", "pass_number", "plan_hash", "model_hash", "transcript", "sealed_key", "chunk_hashes", "merkle_root", "total_bytes")
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    PASS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    SEALED_KEY_FIELD_NUMBER: _ClassVar[int]
    CHUNK_HASHES_FIELD_NUMBER: _ClassVar[int]
    MERKLE_ROOT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    recipient: str
    pass_number: int
    plan_hash: bytes
    model_hash: bytes
    transcript: bytes
    sealed_key: bytes
    chunk_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    merkle_root: bytes
    total_bytes: int
    def __init__(self, recipient: _Optional[str] = ..., pass_number: _Optional[int] = ..., plan_hash: _Optional[bytes] = ..., model_hash: _Optional[bytes] = ..., transcript: _Optional[bytes] = ..., sealed_key: _Optional[bytes] = ..., chunk_hashes: _Optional[_Iterable[bytes]] = ..., merkle_root: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class GetOfferStatus(_message.Message):
    __slots__ = ("recipient",)
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    recipient: str
    def __init__(self, recipient: _Optional[str] = ...) -> None: ...

class GetSnapshot(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotDelivery(_message.Message):
    __slots__ = ("offer", "stored")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    offer: bytes
    stored: int
    def __init__(self, offer: _Optional[bytes] = ..., stored: _Optional[int] = ...) -> None: ...

class DownloadSnapshot(_message.Message):
    __slots__ = ("offer", "first_chunk")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    FIRST_CHUNK_FIELD_NUMBER: _ClassVar[int]
    offer: bytes
    first_chunk: int
    def __init__(self, offer: _Optional[bytes] = ..., first_chunk: _Optional[int] = ...) -> None: ...

class SettleSnapshot(_message.Message):
    __slots__ = ("offer", "refusal")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    offer: bytes
    refusal: str
    def __init__(self, offer: _Optional[bytes] = ..., refusal: _Optional[str] = ...) -> None: ...

class GetClosure(_message.Message):
    __slots__ = ("acknowledgements",)
    ACKNOWLEDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    acknowledgements: bool
    def __init__(self, acknowledgements: _Optional[bool] = ...) -> None: ...

class Closure(_message.Message):
    __slots__ = ("plan", "acknowledgements")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    plan: RoundPlan
    acknowledgements: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan: _Optional[_Union[RoundPlan, _Mapping]] = ..., acknowledgements: _Optional[_Iterable[bytes]] = ...) -> None: ...
