import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.codec import (
    MessageType,
    decode_as,
    decode_message,
    encode_message,
    message_type,
)
from fedmrg_secure.protocol.errors import InvalidMessage
from fedmrg_secure.protocol.v1 import messages_pb2
from tests.protocol.examples import aggregates, certified, messages, plans


@given(messages | certified)
def test_what_is_encoded_is_decoded(message: m.Message) -> None:
    assert decode_message(message_type(message), encode_message(message)) == message


@given(plans())
def test_a_part_of_a_message_is_coded_alone(plan: m.RoundPlan) -> None:
    assert decode_as(m.RoundPlan, encode_message(plan)) == plan


@given(st.sampled_from(MessageType), st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_refusal(kind: MessageType, data: bytes) -> None:
    try:
        message = decode_message(kind, data)
    except InvalidMessage:
        return
    assert encode_message(message) == data


@given(messages, st.data())
def test_a_changed_byte_never_gives_the_same_message(
    message: m.Message, data: st.DataObject
) -> None:
    encoded = bytearray(encode_message(message))
    if not encoded:
        return
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(InvalidMessage):
        assert decode_message(message_type(message), bytes(encoded)) != message


@given(aggregates())
def test_an_unknown_field_inside_a_part_is_refused(info: m.AggregateInfo) -> None:
    proto = messages_pb2.AggregateInfo.FromString(encode_message(info))
    inner = proto.included[0].SerializeToString() + b"\xa2\x06\x01x"
    proto.included[0].ParseFromString(inner)
    with pytest.raises(InvalidMessage, match="unknown fields"):
        decode_message(MessageType.AGGREGATE_INFO, proto.SerializeToString())


def test_a_field_that_comes_twice_is_refused() -> None:
    once = encode_message(m.AcceptSession(7))
    with pytest.raises(InvalidMessage, match="canonical"):
        decode_message(MessageType.ACCEPT_SESSION, once + once)


def test_a_default_that_is_written_out_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="canonical"):
        decode_message(MessageType.DOWNLOAD, b"\x08\x00")


def test_an_enum_value_without_meaning_is_refused() -> None:
    proto = messages_pb2.Pulse(session_phase=17, round=1)
    with pytest.raises(InvalidMessage, match="session_phase"):
        decode_message(MessageType.PULSE, proto.SerializeToString())
