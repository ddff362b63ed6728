from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_TYPE_UNSPECIFIED: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_SESSION: _ClassVar[MessageType]
    MESSAGE_TYPE_SESSION_DELIVERY: _ClassVar[MessageType]
    MESSAGE_TYPE_ACCEPT_SESSION: _ClassVar[MessageType]
    MESSAGE_TYPE_RECEIPT: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_STATUS: _ClassVar[MessageType]
    MESSAGE_TYPE_SESSION_STATUS: _ClassVar[MessageType]
    MESSAGE_TYPE_HEARTBEAT: _ClassVar[MessageType]
    MESSAGE_TYPE_PULSE: _ClassVar[MessageType]
    MESSAGE_TYPE_ANNOUNCE: _ClassVar[MessageType]
    MESSAGE_TYPE_PUBLISH_KEY: _ClassVar[MessageType]
    MESSAGE_TYPE_FETCH_KEY: _ClassVar[MessageType]
    MESSAGE_TYPE_KEY_DELIVERY: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_UPLOAD_STATUS: _ClassVar[MessageType]
    MESSAGE_TYPE_UPLOAD_STATUS: _ClassVar[MessageType]
    MESSAGE_TYPE_UPLOAD_MANIFEST: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_AGGREGATE: _ClassVar[MessageType]
    MESSAGE_TYPE_AGGREGATE_INFO: _ClassVar[MessageType]
    MESSAGE_TYPE_DOWNLOAD: _ClassVar[MessageType]
    MESSAGE_TYPE_ACKNOWLEDGE: _ClassVar[MessageType]
    MESSAGE_TYPE_DEPOSIT_SHARES: _ClassVar[MessageType]
    MESSAGE_TYPE_COMMIT: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_COHORT: _ClassVar[MessageType]
    MESSAGE_TYPE_COHORT_DELIVERY: _ClassVar[MessageType]
    MESSAGE_TYPE_CO_SIGN_COHORT: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_INCLUSION: _ClassVar[MessageType]
    MESSAGE_TYPE_INCLUSION_DELIVERY: _ClassVar[MessageType]
    MESSAGE_TYPE_CO_SIGN_INCLUSION: _ClassVar[MessageType]
    MESSAGE_TYPE_FETCH_SHARES: _ClassVar[MessageType]
    MESSAGE_TYPE_SHARES_DELIVERY: _ClassVar[MessageType]
    MESSAGE_TYPE_DEPOSIT_SHARE_SUMS: _ClassVar[MessageType]
    MESSAGE_TYPE_PUBLISH_SHARE_SUMS: _ClassVar[MessageType]
    MESSAGE_TYPE_FETCH_OPENING: _ClassVar[MessageType]
    MESSAGE_TYPE_OPENING: _ClassVar[MessageType]
    MESSAGE_TYPE_REQUEST_SNAPSHOT: _ClassVar[MessageType]
    MESSAGE_TYPE_OFFER_SNAPSHOT: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_OFFER_STATUS: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_SNAPSHOT: _ClassVar[MessageType]
    MESSAGE_TYPE_SNAPSHOT_DELIVERY: _ClassVar[MessageType]
    MESSAGE_TYPE_DOWNLOAD_SNAPSHOT: _ClassVar[MessageType]
    MESSAGE_TYPE_SETTLE_SNAPSHOT: _ClassVar[MessageType]
    MESSAGE_TYPE_GET_CLOSURE: _ClassVar[MessageType]
    MESSAGE_TYPE_CLOSURE: _ClassVar[MessageType]
MESSAGE_TYPE_UNSPECIFIED: MessageType
MESSAGE_TYPE_GET_SESSION: MessageType
MESSAGE_TYPE_SESSION_DELIVERY: MessageType
MESSAGE_TYPE_ACCEPT_SESSION: MessageType
MESSAGE_TYPE_RECEIPT: MessageType
MESSAGE_TYPE_GET_STATUS: MessageType
MESSAGE_TYPE_SESSION_STATUS: MessageType
MESSAGE_TYPE_HEARTBEAT: MessageType
MESSAGE_TYPE_PULSE: MessageType
MESSAGE_TYPE_ANNOUNCE: MessageType
MESSAGE_TYPE_PUBLISH_KEY: MessageType
MESSAGE_TYPE_FETCH_KEY: MessageType
MESSAGE_TYPE_KEY_DELIVERY: MessageType
MESSAGE_TYPE_GET_UPLOAD_STATUS: MessageType
MESSAGE_TYPE_UPLOAD_STATUS: MessageType
MESSAGE_TYPE_UPLOAD_MANIFEST: MessageType
MESSAGE_TYPE_GET_AGGREGATE: MessageType
MESSAGE_TYPE_AGGREGATE_INFO: MessageType
MESSAGE_TYPE_DOWNLOAD: MessageType
MESSAGE_TYPE_ACKNOWLEDGE: MessageType
MESSAGE_TYPE_DEPOSIT_SHARES: MessageType
MESSAGE_TYPE_COMMIT: MessageType
MESSAGE_TYPE_GET_COHORT: MessageType
MESSAGE_TYPE_COHORT_DELIVERY: MessageType
MESSAGE_TYPE_CO_SIGN_COHORT: MessageType
MESSAGE_TYPE_GET_INCLUSION: MessageType
MESSAGE_TYPE_INCLUSION_DELIVERY: MessageType
MESSAGE_TYPE_CO_SIGN_INCLUSION: MessageType
MESSAGE_TYPE_FETCH_SHARES: MessageType
MESSAGE_TYPE_SHARES_DELIVERY: MessageType
MESSAGE_TYPE_DEPOSIT_SHARE_SUMS: MessageType
MESSAGE_TYPE_PUBLISH_SHARE_SUMS: MessageType
MESSAGE_TYPE_FETCH_OPENING: MessageType
MESSAGE_TYPE_OPENING: MessageType
MESSAGE_TYPE_REQUEST_SNAPSHOT: MessageType
MESSAGE_TYPE_OFFER_SNAPSHOT: MessageType
MESSAGE_TYPE_GET_OFFER_STATUS: MessageType
MESSAGE_TYPE_GET_SNAPSHOT: MessageType
MESSAGE_TYPE_SNAPSHOT_DELIVERY: MessageType
MESSAGE_TYPE_DOWNLOAD_SNAPSHOT: MessageType
MESSAGE_TYPE_SETTLE_SNAPSHOT: MessageType
MESSAGE_TYPE_GET_CLOSURE: MessageType
MESSAGE_TYPE_CLOSURE: MessageType

class Envelope(_message.Message):
    __slots__ = ("version", "type", "session", "round", "sequence", "sender", "reply_to", "payload", "signature")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    version: int
    type: MessageType
    session: bytes
    round: int
    sequence: int
    sender: str
    reply_to: bytes
    payload: bytes
    signature: bytes
    def __init__(self, version: _Optional[int] = ..., type: _Optional[_Union[MessageType, str]] = ..., session: _Optional[bytes] = ..., round: _Optional[int] = ..., sequence: _Optional[int] = ..., sender: _Optional[str] = ..., reply_to: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("index", "frame")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    index: int
    frame: bytes
    def __init__(self, index: _Optional[int] = ..., frame: _Optional[bytes] = ...) -> None: ...

class UploadPart(_message.Message):
    __slots__ = ("manifest", "chunk")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    manifest: Envelope
    chunk: Chunk
    def __init__(self, manifest: _Optional[_Union[Envelope, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ...) -> None: ...
