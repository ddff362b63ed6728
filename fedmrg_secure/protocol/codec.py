"""Messages to and from their canonical protobuf bytes.

Decoding is total: bytes give a checked message of `protocol.messages` or `InvalidMessage`, nothing
else. Only the canonical encoding is accepted (fields in ascending order, no default values, none
unknown, none twice), so that equal messages have equal bytes and nothing unseen is ever signed.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError

from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.errors import InvalidMessage
from fedmrg_secure.protocol.v1 import messages_pb2

Message = m.Message | c.Message | sn.Message
"""What an envelope may hold."""


class MessageType(IntEnum):
    """What an envelope holds; the numbers of `transport.proto`."""

    GET_SESSION = 1
    SESSION_DELIVERY = 2
    ACCEPT_SESSION = 3
    RECEIPT = 4
    GET_STATUS = 5
    SESSION_STATUS = 6
    HEARTBEAT = 7
    PULSE = 8
    ANNOUNCE = 9
    PUBLISH_KEY = 10
    FETCH_KEY = 11
    KEY_DELIVERY = 12
    GET_UPLOAD_STATUS = 13
    UPLOAD_STATUS = 14
    UPLOAD_MANIFEST = 15
    GET_AGGREGATE = 16
    AGGREGATE_INFO = 17
    DOWNLOAD = 18
    ACKNOWLEDGE = 19
    DEPOSIT_SHARES = 20
    COMMIT = 21
    GET_COHORT = 22
    COHORT_DELIVERY = 23
    CO_SIGN_COHORT = 24
    GET_INCLUSION = 25
    INCLUSION_DELIVERY = 26
    CO_SIGN_INCLUSION = 27
    FETCH_SHARES = 28
    SHARES_DELIVERY = 29
    DEPOSIT_SHARE_SUMS = 30
    PUBLISH_SHARE_SUMS = 31
    FETCH_OPENING = 32
    OPENING = 33
    REQUEST_SNAPSHOT = 34
    OFFER_SNAPSHOT = 35
    GET_OFFER_STATUS = 36
    GET_SNAPSHOT = 37
    SNAPSHOT_DELIVERY = 38
    DOWNLOAD_SNAPSHOT = 39
    SETTLE_SNAPSHOT = 40
    GET_CLOSURE = 41
    CLOSURE = 42


_CLASSES: Final[dict[MessageType, type[Message]]] = {
    MessageType.GET_SESSION: m.GetSession,
    MessageType.SESSION_DELIVERY: m.SessionDelivery,
    MessageType.ACCEPT_SESSION: m.AcceptSession,
    MessageType.RECEIPT: m.Receipt,
    MessageType.GET_STATUS: m.GetStatus,
    MessageType.SESSION_STATUS: m.SessionStatus,
    MessageType.HEARTBEAT: m.Heartbeat,
    MessageType.PULSE: m.Pulse,
    MessageType.ANNOUNCE: m.Announce,
    MessageType.PUBLISH_KEY: m.PublishKey,
    MessageType.FETCH_KEY: m.FetchKey,
    MessageType.KEY_DELIVERY: m.KeyDelivery,
    MessageType.GET_UPLOAD_STATUS: m.GetUploadStatus,
    MessageType.UPLOAD_STATUS: m.UploadStatus,
    MessageType.UPLOAD_MANIFEST: m.UploadManifest,
    MessageType.GET_AGGREGATE: m.GetAggregate,
    MessageType.AGGREGATE_INFO: m.AggregateInfo,
    MessageType.DOWNLOAD: m.Download,
    MessageType.ACKNOWLEDGE: m.Acknowledge,
    MessageType.DEPOSIT_SHARES: c.DepositShares,
    MessageType.COMMIT: c.Commit,
    MessageType.GET_COHORT: c.GetCohort,
    MessageType.COHORT_DELIVERY: c.CohortDelivery,
    MessageType.CO_SIGN_COHORT: c.CoSignCohort,
    MessageType.GET_INCLUSION: c.GetInclusion,
    MessageType.INCLUSION_DELIVERY: c.InclusionDelivery,
    MessageType.CO_SIGN_INCLUSION: c.CoSignInclusion,
    MessageType.FETCH_SHARES: c.FetchShares,
    MessageType.SHARES_DELIVERY: c.SharesDelivery,
    MessageType.DEPOSIT_SHARE_SUMS: c.DepositShareSums,
    MessageType.PUBLISH_SHARE_SUMS: c.PublishShareSums,
    MessageType.FETCH_OPENING: c.FetchOpening,
    MessageType.OPENING: c.Opening,
    MessageType.REQUEST_SNAPSHOT: sn.RequestSnapshot,
    MessageType.OFFER_SNAPSHOT: sn.OfferSnapshot,
    MessageType.GET_OFFER_STATUS: sn.GetOfferStatus,
    MessageType.GET_SNAPSHOT: sn.GetSnapshot,
    MessageType.SNAPSHOT_DELIVERY: sn.SnapshotDelivery,
    MessageType.DOWNLOAD_SNAPSHOT: sn.DownloadSnapshot,
    MessageType.SETTLE_SNAPSHOT: sn.SettleSnapshot,
    MessageType.GET_CLOSURE: sn.GetClosure,
    MessageType.CLOSURE: sn.Closure,
}
_TYPES: Final = {cls: kind for kind, cls in _CLASSES.items()}

T = TypeVar("T")


def message_type(message: Message) -> MessageType:
    """The type number of a message."""
    return _TYPES[type(message)]


def encode_message(message: Any) -> bytes:
    """The canonical protobuf encoding of a message, or of a part of one such as a plan."""
    return canonical_bytes(_to_proto(message))


def decode_message(kind: MessageType, data: bytes) -> Message:
    """The message of type `kind` whose canonical encoding `data` is.

    Raises:
        InvalidMessage: `data` is not canonical, or a field is out of range.
    """
    return decode_as(_CLASSES[kind], data)


def decode_as(cls: type[T], data: bytes) -> T:
    """`decode_message` for a class of `protocol.messages` that is known beforehand."""
    return _from_proto(cls, parse_canonical(_proto_class(cls)(), data))


def canonical_bytes(proto: Any) -> bytes:
    """The deterministic serialisation of a protobuf message."""
    return bytes(proto.SerializeToString(deterministic=True))


def parse_canonical(proto: T, data: bytes) -> T:
    """Parse `data` into `proto` and return it; refuse all but the canonical encoding."""
    message: Any = proto
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InvalidMessage("a message is not valid protobuf") from error
    message.DiscardUnknownFields()
    if canonical_bytes(message) != data:
        raise InvalidMessage("a message is not in canonical form, or has unknown fields")
    return proto


def _proto_class(cls: type) -> Any:
    return getattr(messages_pb2, cls.__name__)


def _to_proto(value: Any) -> Any:
    proto = _proto_class(type(value))()
    for field in fields(value):
        item = getattr(value, field.name)
        if item is None:
            continue
        if is_dataclass(item):
            getattr(proto, field.name).CopyFrom(_to_proto(item))
        elif isinstance(item, tuple):
            target = getattr(proto, field.name)
            target.extend(_to_proto(one) if is_dataclass(one) else one for one in item)
        else:
            setattr(proto, field.name, item)
    return proto


def _from_proto(cls: type[T], proto: Any) -> T:
    values = {
        name: _field(kind, proto, name, getattr(proto, name))
        for name, kind in _hints(typing.cast(Any, cls)).items()
    }
    return cls(**values)


def _field(kind: Any, proto: Any, name: str, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        item = arguments[0]
        return tuple(_field(item, proto, name, one) for one in value)
    if origin is types.UnionType:  # a message that may be absent
        return _from_proto(arguments[0], value) if proto.HasField(name) else None
    if is_dataclass(kind):
        return _from_proto(typing.cast(type[Any], kind), value)
    if issubclass(kind, IntEnum):
        try:
            return kind(value)
        except ValueError as error:
            raise InvalidMessage(f"{name} has no meaning for the value {value}") from error
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)
