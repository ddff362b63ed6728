import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.codec import MessageType, encode_message
from fedmrg_secure.protocol.envelope import Envelope, open_envelope, seal_envelope
from fedmrg_secure.protocol.errors import (
    BadSignature,
    InvalidMessage,
    ProtocolError,
    UnsupportedVersion,
    WrongSession,
)
from fedmrg_secure.protocol.v1 import transport_pb2
from tests.protocol.examples import Keys, messages

KEYS = Keys("alpha", "beta", "coordinator")
SESSION, OTHER = b"\1" * 32, b"\2" * 32
ANNOUNCE = m.Announce(b"\3" * 32, b"\4" * 32)


def sealed(message: m.Message = ANNOUNCE, sender: str = "alpha", **options: object) -> Envelope:
    terms = {"session": SESSION, "round_number": 3, "sequence": 9, **options}
    return seal_envelope(KEYS.keys[sender], message, **terms)


def opened(envelope: Envelope, expected: type = m.Announce, **options: object) -> m.Message:
    terms = {"session": SESSION, "sender": "alpha", **options}
    return open_envelope(envelope, KEYS, expected, **terms)


@given(messages, st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1))
@settings(max_examples=60)
def test_a_sealed_message_survives_the_wire(message: m.Message, number: int, sequence: int) -> None:
    envelope = sealed(message, round_number=number, sequence=sequence)
    again = Envelope.from_bytes(envelope.to_bytes())
    assert again == envelope
    assert opened(again, type(message)) == message


@pytest.mark.parametrize(
    "change",
    [
        {"type": MessageType.ACKNOWLEDGE},
        {"session": OTHER},
        {"session": b""},
        {"round": 4},
        {"sequence": 10},
        {"reply_to": OTHER},
        {"payload": encode_message(m.Announce(b"\5" * 32, b"\4" * 32))},
        {"signature": bytes(64)},
        {"signature": b""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_is_signed(change: dict[str, object]) -> None:
    with pytest.raises(BadSignature):
        opened(replace(sealed(), **change))


def test_parts_cannot_flow_into_each_other() -> None:
    """Length prefixes: moving a byte from one field to its neighbour changes what is signed."""
    one = replace(sealed(), sender="ab", reply_to=b"")
    two = replace(sealed(), sender="a", reply_to=b"")
    assert one.signed_bytes() != two.signed_bytes()


def test_a_signature_is_the_senders() -> None:
    with pytest.raises(BadSignature, match="from beta, not from alpha"):
        opened(sealed(sender="beta"))
    with pytest.raises(BadSignature, match="does not verify"):
        opened(replace(sealed(sender="beta"), sender="alpha"))


def test_a_valid_signature_of_another_session_type_or_question_is_refused() -> None:
    with pytest.raises(WrongSession):
        opened(sealed(session=OTHER))
    with pytest.raises(InvalidMessage, match="HEARTBEAT came where Announce was due"):
        opened(sealed(m.Heartbeat()))
    with pytest.raises(InvalidMessage, match="another request"):
        opened(sealed(reply_to=OTHER))
    with pytest.raises(InvalidMessage, match="another request"):
        opened(sealed(), reply_to=OTHER)


def test_a_reply_is_bound_to_its_question() -> None:
    question = sealed(m.GetStatus())
    reply = sealed(m.Receipt(), "coordinator", reply_to=question.digest)
    opened(reply, m.Receipt, sender="coordinator", reply_to=question.digest)
    later = sealed(m.GetStatus(), sequence=10)
    with pytest.raises(InvalidMessage):
        opened(reply, m.Receipt, sender="coordinator", reply_to=later.digest)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_envelope_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert Envelope.from_bytes(data).to_bytes() == data


def test_versions_and_unknown_types_and_fields() -> None:
    proto = transport_pb2.Envelope.FromString(sealed().to_bytes())
    for version in (0, 2):
        proto.version = version
        with pytest.raises(UnsupportedVersion):
            Envelope.from_bytes(proto.SerializeToString(deterministic=True))
    proto.version = 1
    proto.type = 99
    with pytest.raises(InvalidMessage, match="no message type 99"):
        Envelope.from_bytes(proto.SerializeToString(deterministic=True))
    with pytest.raises(InvalidMessage, match="unknown fields"):
        Envelope.from_bytes(sealed().to_bytes() + b"\xa0\x06\x01")


@pytest.mark.parametrize(
    "change", [{"session": b"x"}, {"reply_to": bytes(31)}, {"sender": "../x"}, {"round": 1 << 32}]
)
def test_fields_have_ranges(change: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage):
        replace(sealed(), **change)
