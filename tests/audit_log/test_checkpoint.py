"""Checkpoints in the C2SP forms: Go's own signed note, every line bent once, every bit flipped."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.audit_log.checkpoint import (
    Checkpoint,
    CheckpointInvalid,
    key_id,
    log_origin,
    read_checkpoint,
    sign_checkpoint,
)
from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.crypto.signing import SigningKey, verify_signature

KEY = SigningKey.generate("spain")
ORIGIN = log_origin("lungs", "spain")
HEAD = Checkpoint(ORIGIN, 42, hashlib.sha256(b"root").digest())
NOTE = sign_checkpoint(HEAD, KEY)


def test_the_form_is_that_of_c2sp() -> None:
    root = base64.b64encode(HEAD.root).decode()
    text, signature = NOTE.split("\n\n")
    assert text == f"fedmrg/lungs/spain\n42\n{root}"
    assert signature.startswith("— fedmrg/lungs/spain ")
    assert signature.endswith("\n")
    raw = base64.b64decode(signature.split(" ")[2])
    assert raw[:4] == hashlib.sha256(b"fedmrg/lungs/spain\n\x01" + KEY.public_key).digest()[:4]
    verify_signature(KEY.public_key, (text + "\n").encode(), raw[4:])


def test_key_ids_and_signatures_are_those_of_the_go_implementation() -> None:
    # golang.org/x/mod/sumdb/note, package documentation.
    encoded = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert encoded[:1] == b"\x01"
    assert key_id("PeterNeumann", encoded[1:]).hex() == "c74f20a3"
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6Ry"
        "yBwJnAM="
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    assert signature[:4].hex() == "c74f20a3"
    verify_signature(encoded[1:], text.encode(), signature[4:])


def test_a_checkpoint_comes_back() -> None:
    assert read_checkpoint(NOTE, ORIGIN, KEY.public_key) == HEAD


@given(st.integers(0, 10**15), st.binary(min_size=32, max_size=32))
def test_any_head_comes_back(size: int, root: bytes) -> None:
    head = Checkpoint(ORIGIN, size, root)
    assert read_checkpoint(sign_checkpoint(head, KEY), ORIGIN, KEY.public_key) == head


def test_another_key_or_log_is_refused() -> None:
    with pytest.raises(CheckpointInvalid, match="key"):
        read_checkpoint(NOTE, ORIGIN, SigningKey.generate("spain").public_key)
    for origin in (log_origin("lungs", "italy"), log_origin("hearts", "spain")):
        with pytest.raises(CheckpointInvalid, match="not of the log"):
            read_checkpoint(NOTE, origin, KEY.public_key)


def test_a_signature_of_other_bytes_is_refused() -> None:
    other = sign_checkpoint(Checkpoint(ORIGIN, 43, HEAD.root), KEY)
    mixed = NOTE.split("\n\n")[0] + "\n\n" + other.split("\n\n")[1]
    with pytest.raises(CheckpointInvalid, match="does not verify"):
        read_checkpoint(mixed, ORIGIN, KEY.public_key)


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(NOTE) - 1))
    by = data.draw(st.characters(codec="utf-8").filter(lambda c: c != NOTE[at]))
    with pytest.raises(CheckpointInvalid):
        read_checkpoint(NOTE[:at] + by + NOTE[at + 1 :], ORIGIN, KEY.public_key)


def test_a_signature_has_one_encoding() -> None:
    """68 bytes leave two spare bits in base64, which no signature covers."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert NOTE.endswith("=\n")
    last = NOTE[-3]
    for spare in range(1, 4):
        other = alphabet[alphabet.index(last) + spare]
        twin = NOTE[:-3] + other + NOTE[-2:]
        tail = NOTE.split(" ")[-1].strip()
        assert base64.b64decode(twin.split(" ")[-1]) == base64.b64decode(tail)
        with pytest.raises(CheckpointInvalid, match="canonical"):
            read_checkpoint(twin, ORIGIN, KEY.public_key)


@pytest.mark.parametrize(
    "note",
    [
        "",
        NOTE + "\n",
        "\n" + NOTE,
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("\n42\n", "\n+42\n"),
        NOTE.replace("\n42\n", "\n٤٢\n"),
        NOTE.replace("\n42\n", "\n-1\n"),
        NOTE.replace("\n42\n", "\n42\nextra\n", 1),
        NOTE.replace("— ", "- "),
        NOTE.split("\n\n")[0] + "\n",
    ],
)
def test_other_forms_are_refused(note: str) -> None:
    with pytest.raises(CheckpointInvalid):
        read_checkpoint(note, ORIGIN, KEY.public_key)


def test_origins_are_made_of_names() -> None:
    with pytest.raises(InvalidName):
        log_origin("lungs", "a/b")
