from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.types import (
    CHEXPERT_CLASSES,
    InvalidName,
    Status,
    check_party_name,
    party_name,
)


@pytest.mark.parametrize("name", ["a", "spain", "st-anna-2", "0", "a" * 63])
def test_labels_are_names(name: str) -> None:
    assert check_party_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a_b", "a.b", "a b", "a" * 64, "é", "a\n", "../a"]
)
def test_everything_else_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_party_name(name)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("title", "name"),
    [("United Kingdom", "united-kingdom"), ("St. Anna (West)", "st-anna-west"), ("B2", "b2")],
)
def test_titles_become_names(title: str, name: str) -> None:
    assert party_name(title) == name


@given(st.text(max_size=80))
def test_a_title_gives_a_valid_name_or_is_refused(title: str) -> None:
    try:
        name = party_name(title)
    except InvalidName:
        return
    assert check_party_name(name) == name
    assert party_name(name) == name


def test_classes_and_statuses_are_those_of_chexpert() -> None:
    assert len(CHEXPERT_CLASSES) == len(set(CHEXPERT_CLASSES)) == 14
    assert [status.value for status in Status] == [0, 1, 2, 3]
