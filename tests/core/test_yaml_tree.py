from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.yaml_tree import (
    AmbiguousScalar,
    DuplicateKey,
    Entry,
    YamlNotSupported,
    YamlSyntax,
    read_text,
    resolve_plain,
)


def read(text: str) -> Entry:
    root, errors = read_text(text, "f.yaml")
    assert errors == []
    return root


def test_every_key_and_value_keeps_its_place() -> None:
    root = read("a:\n  b: 1\n  c:\n  - x\n  - {d: 2}\n")
    assert isinstance(root.value, dict)
    section = root.value["a"]
    assert section.key_at == "f.yaml:1:1"
    assert isinstance(section.value, dict)
    assert (section.value["b"].key_at, section.value["b"].at) == ("f.yaml:2:3", "f.yaml:2:6")
    items = section.value["c"].value
    assert isinstance(items, list)
    assert [item.at for item in items] == ["f.yaml:4:5", "f.yaml:5:5"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("+12", 12),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("1.2.3", "1.2.3"),
        ("2026-11-23", "2026-11-23"),
        ("Norway", "Norway"),
        ("e5", "e5"),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    resolved = resolve_plain(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_quoted_scalars_are_text() -> None:
    assert read("""{a: "1", b: 'yes', c: "null"}""").plain() == {"a": "1", "b": "yes", "c": "null"}


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "ON",
        "off",
        "y",
        "010",
        "0x1f",
        "0o17",
        "1_000",
        "1:30",
        ".inf",
        "-.INF",
        ".nan",
    ],
)
def test_what_yaml_readers_disagree_about_is_refused(text: str) -> None:
    _, errors = read_text(f"a: {text}", "f.yaml")
    assert [type(error) for error in errors] == [AmbiguousScalar]
    assert errors[0].location == "f.yaml:1:4"
    assert errors[0].hint


def test_a_duplicate_key_is_refused_and_points_to_the_first() -> None:
    root, errors = read_text("a: 1\nb:\n  c: 2\n  c: 3\na: 4\n", "f.yaml")
    assert [type(error) for error in errors] == [DuplicateKey, DuplicateKey]
    assert [error.location for error in errors] == ["f.yaml:4:3", "f.yaml:5:1"]
    assert "1:1" in errors[1].hint
    assert root.plain() == {"a": 1, "b": {"c": 2}}


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1",
        "a: &x 1\nb: *x",
        "<<: {a: 1}",
        "a: !!python/name:os.system 1",
        "a: !custom 1",
        "%YAML 1.1\n---\na: 1",
        "? {a: 1}\n: 2",
    ],
)
def test_unsupported_parts_are_refused(text: str) -> None:
    _, errors = read_text(text, "f.yaml")
    assert errors
    assert {type(error) for error in errors} == {YamlNotSupported}


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("a:\n\tb: 1", "f.yaml:2:1", "tab"),
        ("a: [1", "f.yaml:1:6", ""),
        ("a: b: c", "f.yaml:1:5", "':'"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1", "more than one document"),
        ("a: \x01", "f.yaml", "U+0001"),
        ("[" * 100 + "]" * 100, "f.yaml:1:33", "deeply"),
        ("[" * 9000, "f.yaml:1:33", "deeply"),
        ("a" * (1 << 20) + "a", "f.yaml", "characters"),
        ("b: *nobody", "f.yaml:1:4", ""),
    ],
)
def test_broken_text_says_where(text: str, place: str, word: str) -> None:
    with pytest.raises(YamlSyntax) as caught:
        read_text(text, "f.yaml")
    assert caught.value.location == place
    assert word in caught.value.message


def test_a_fixed_place_hides_lines() -> None:
    root, _ = read_text("[1, 2]", "--set a", fixed_place=True)
    assert isinstance(root.value, list)
    assert {item.at for item in root.value} == {"--set a"}


@given(st.text(max_size=60))
def test_no_text_ends_in_anything_but_a_tree_or_a_syntax_error(text: str) -> None:
    with contextlib.suppress(YamlSyntax):
        read_text(text, "f.yaml")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-m_]{2,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_what_a_plain_yaml_writer_writes_is_read_back(value: object) -> None:
    assert read(yaml.safe_dump(value, width=10**6)).plain() == value
