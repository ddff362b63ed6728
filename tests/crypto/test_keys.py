"""A secret shows itself in no form that could end up in a log, a file or a traceback."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable

MARKER = b"a very secret key"


@given(st.binary(max_size=64))
def test_a_secret_reveals_what_it_was_given(value: bytes) -> None:
    secret = SecretBytes(value)
    assert secret.reveal() == value
    assert len(secret) == len(value)


def test_no_text_form_shows_the_bytes() -> None:
    secret = SecretBytes(MARKER)
    for text in (repr(secret), str(secret), f"{secret}", "%s" % secret, repr([secret])):  # noqa: UP031
        assert "secret key" not in text
        assert MARKER.hex() not in text
        assert "17 bytes" in text


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_cannot_be_pickled_or_copied(leak: object) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        leak(SecretBytes(MARKER))  # type: ignore[operator]
    assert "secret key" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("read", [bytes, list, hash, memoryview])
def test_a_secret_cannot_be_read_by_accident(read: object) -> None:
    with pytest.raises(TypeError):
        read(SecretBytes(MARKER))  # type: ignore[operator]


def test_wiping_overwrites_and_ends_the_secret() -> None:
    buffer = SecretBytes(MARKER)
    inner = buffer._SecretBytes__bytes  # type: ignore[attr-defined]
    buffer.wipe()
    assert bytes(inner) == bytes(len(MARKER))
    with pytest.raises(SecretUnavailable):
        buffer.reveal()


def test_secrets_compare_by_content() -> None:
    assert SecretBytes(b"one") == SecretBytes(b"one")
    assert SecretBytes(b"one") != SecretBytes(b"two")
    assert SecretBytes(b"one") != b"one"


def test_random_secrets_differ() -> None:
    assert SecretBytes.random(32) != SecretBytes.random(32)
