"""Strict JSON: what comes out can be encoded and hashed, everything else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.core.foreign_json import DEEPEST, LARGEST_INTEGER, JsonRefused, read_json
from tests.core.hostile_json import HOSTILE, with_value

values = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_what_is_signed_comes_back(value: Any) -> None:
    assert read_json(canonical_json(value)) == value
    assert read_json(json.dumps(value).encode()) == value


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.from_regex(r'[\[{"\\u0-9a-f.,:eE}\]]*').map(str.encode)
)
def test_whatever_comes_out_can_be_encoded(data: bytes) -> None:
    try:
        value = read_json(data)
    except JsonRefused:
        return
    assert read_json(canonical_json(value)) == value


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_nobody_signs_is_refused(text: str) -> None:
    for data in (text.encode(), f"[{text}]".encode(), with_value({"a": 1}, "b", text)):
        with pytest.raises(JsonRefused):
            read_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff",
        b"\xed\xa0\x80",
        b'"\xed\xa0\x80"',
        b"[1,]",
        b"\xef\xbb\xbf1",
        '"a"'.encode("utf-16"),
        '"a"'.encode("utf-32"),
    ],
)
def test_what_is_no_json_in_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(JsonRefused):
        read_json(data)


def test_the_edges_are_let_through() -> None:
    assert read_json(str(LARGEST_INTEGER).encode()) == LARGEST_INTEGER
    assert read_json(str(-LARGEST_INTEGER).encode()) == -LARGEST_INTEGER
    assert read_json(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    deepest = b"[" * DEEPEST + b"]" * DEEPEST
    assert canonical_json(read_json(deepest)) == deepest
    with pytest.raises(JsonRefused, match="deep"):
        read_json(b"[" + deepest + b"]")


def test_the_message_says_what_is_wrong() -> None:
    said = {name: _refusal(text) for name, text in HOSTILE.items()}
    assert said["NaN"] == "holds a number that is not an integer"
    assert said["deep"] == said["deep objects"] == f"is nested more than {DEEPEST} levels deep"
    assert said["an integer of 31 digits"] == "holds an integer beyond 2^53"
    assert said["a key twice"] == "has a key twice in one object"
    assert said["half a surrogate pair"] == "holds half a surrogate pair"


def _refusal(text: str) -> str:
    with pytest.raises(JsonRefused) as caught:
        read_json(text.encode())
    return caught.value.message
