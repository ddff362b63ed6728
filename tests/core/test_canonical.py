from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.canonical import HASH_BYTES, canonical_json, hash_json, tagged_hash

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def test_canonical_json_sorts_by_utf16_and_leaves_no_space() -> None:
    # RFC 8785, section 3.2.3: keys sort by UTF-16 code units, so U+1F600 comes before U+FB33.
    value = {"\ufb33": 1, "\U0001f600": 2, "b": [True, None, "é\n"], "a": -1}
    text = '{"a":-1,"b":[true,null,"é\\n"],"\U0001f600":2,"\ufb33":1}'
    assert canonical_json(value) == text.encode()


@given(json_values)
def test_canonical_json_keeps_the_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [1.0, [0.5], {"a": {"b": float("nan")}}, ({"a": 1.5},), 2**53 + 1]
)
def test_what_has_no_place_in_signed_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"float|domain|exceeds|int"):
        canonical_json(value)  # type: ignore[arg-type]


def test_tagged_hash_is_the_documented_one() -> None:
    expected = hashlib.sha256(
        (1).to_bytes(8, "big") + b"t" + (2).to_bytes(8, "big") + b"ab" + (0).to_bytes(8, "big")
    ).digest()
    assert tagged_hash("t", b"ab", b"") == expected
    assert len(expected) == HASH_BYTES


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_parts_cannot_be_shifted_into_each_other(one: list[bytes], other: list[bytes]) -> None:
    assert (tagged_hash("t", *one) == tagged_hash("t", *other)) == (one == other)
    assert tagged_hash("t", *one) != tagged_hash("u", *one)


def test_hash_json_depends_on_tag_and_value_not_on_order() -> None:
    assert hash_json("t", {"a": 1, "b": 2}) == hash_json("t", {"b": 2, "a": 1})
    assert hash_json("t", {"a": 1}) != hash_json("u", {"a": 1})
    assert hash_json("t", {"a": 1}) != hash_json("t", {"a": 2})
