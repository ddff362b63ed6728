"""Finding and reading shared states of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.federation.states import (
    AnotherBase,
    NoOwnPart,
    NoTrainedState,
    StateUnreadable,
    newest_state,
    path_title,
    read_own_part,
    read_state,
    require_same_base,
    sites_with_own_part,
    state_files,
)
from tests.fixtures.trained_run import MIXES, SITES, build, write_own_parts, write_state


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


def test_a_state_in_the_middle_of_a_training_round_is_no_state(root: Path) -> None:
    write_state(root, 11, {"w": np.zeros(3, np.float32)})
    assert list(state_files(root, passes=2)) == [1, 5]
    assert newest_state(root, passes=2)[0] == 5


def test_an_own_part_is_read_without_what_training_alone_needs(root: Path) -> None:
    write_own_parts(root, build())
    assert sites_with_own_part(root) == SITES
    own = read_own_part(root, SITES[0])
    assert own.keys() == build().specialized_state().keys()
    assert float(own["specialized.mix"][0]) == MIXES[SITES[0]]
    with pytest.raises(NoOwnPart) as caught:
        read_own_part(root, "nobody")
    assert SITES[1] in caught.value.hint
    with pytest.raises(InvalidName):
        read_own_part(root, "../x")


def test_a_run_without_own_parts(root: Path) -> None:
    with pytest.raises(NoOwnPart, match=SITES[0]) as caught:
        read_own_part(root, SITES[0])
    assert "leave --site out" in caught.value.hint


def test_paths_have_titles() -> None:
    assert [path_title(mix) for mix in (0.0, 0.25, 1.0)] == [
        "generic",
        "specialized mix 0.25",
        "specialized mix 1",
    ]


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
