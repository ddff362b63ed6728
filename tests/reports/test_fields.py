"""Fields: every kind is checked, and the message says where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.reports.fields import Fields, RunFileInvalid, parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_reads_each_kind() -> None:
    fields = Fields(
        {"a": "x", "b": 3, "c": 0.5, "d": True, "e": {"f": 1, "g": None}, "h": ["y"]}, "file"
    )
    assert fields.text("a") == "x"
    assert fields.integer("b") == 3
    assert fields.number("c") == 0.5
    assert fields.flag("d", False) is True
    assert fields.numbers("e") == {"f": 1.0}
    assert fields.names("h") == ("y",)
    assert fields.names("absent") == ()
    assert fields.flat() == {"a": "x", "b": "3", "c": "0.5", "d": "yes", "e.f": "1"}


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda f: f.text("k"), 3),
        (lambda f: f.integer("k"), -1),
        (lambda f: f.integer("k"), True),
        (lambda f: f.integer("k"), 1.0),
        (lambda f: f.number("k"), "1"),
        (lambda f: f.flag("k", False), 1),
        (lambda f: f.choice("k", ("a", "b")), "c"),
        (lambda f: f.names("k"), ["a", 1]),
        (lambda f: f.numbers("k"), {"x": "y"}),
        (lambda f: f.section("k"), []),
        (lambda f: f.text("k"), None),
    ],
)
def test_refuses_another_kind_and_says_where(read: object, value: object) -> None:
    with pytest.raises(RunFileInvalid) as caught:
        read(Fields({"k": value}, "metrics.jsonl:7"))  # type: ignore[operator]
    assert caught.value.location == "metrics.jsonl:7"
    assert "k" in caught.value.message


def test_names_the_nested_field() -> None:
    with pytest.raises(RunFileInvalid, match=r"outer\.inner is missing"):
        Fields({"outer": {}}, "file").section("outer").text("inner")


@given(JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        fields = Fields({"k": value}, "file")
        fields.flat()
        fields.numbers("k")
        fields.names("k")
        fields.sections("k")
    except RunFileInvalid:
        return


def test_what_json_does_not_know_becomes_null() -> None:
    assert parse_json('{"loss": NaN, "x": -Infinity}', "file") == {"loss": None, "x": None}
    with pytest.raises(RunFileInvalid):
        parse_json("{", "file")
    with pytest.raises(RunFileInvalid):
        parse_json("[" * 100_000, "file")
