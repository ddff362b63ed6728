"""Finding and reading shared states of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.federation.states import (
    AnotherBase,
    NoTrainedState,
    StateUnreadable,
    newest_state,
    read_state,
    require_same_base,
    state_files,
)
from tests.fixtures.trained_run import SITES, write_state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (2, 10):
        write_state(tmp_path, number, {"w": np.zeros(3, np.float32)})
    return tmp_path


def test_states_are_found_by_round(root: Path) -> None:
    (root / "sites" / SITES[0] / "state" / "round-x.safetensors").touch()
    assert list(state_files(root)) == [2, 10]
    assert all(SITES[1] in str(path) for path in state_files(root, SITES[1]).values())


def test_the_newest_is_read(root: Path) -> None:
    number, state = newest_state(root)
    assert number == 10
    assert state["w"].shape == (3,)


def test_a_site_without_a_state_is_told_and_others_are_named(root: Path) -> None:
    with pytest.raises(NoTrainedState) as caught:
        newest_state(root, "nobody")
    assert SITES[0] in caught.value.hint


def test_a_site_is_a_name_not_a_path(root: Path) -> None:
    with pytest.raises(InvalidName):
        newest_state(root, "../sites/*")


def test_a_broken_state_is_told(root: Path) -> None:
    path = state_files(root)[10]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StateUnreadable) as caught:
        read_state(path)
    assert caught.value.location == str(path)


def test_the_base_must_be_the_one_the_session_pins(tmp_path: Path) -> None:
    require_same_base(tmp_path, "aa")
    session = tmp_path / "coordinator" / "session.json"
    session.parent.mkdir()
    session.write_text('{"base_hash": "aa"}', encoding="utf-8")
    require_same_base(tmp_path, "aa")
    with pytest.raises(AnotherBase):
        require_same_base(tmp_path, "bb")
    session.write_text("{", encoding="utf-8")
    with pytest.raises(AnotherBase):
        require_same_base(tmp_path, "aa")
