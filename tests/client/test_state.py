"""A site's state on disk: what was saved comes back, what is torn is noticed."""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client.state import Applied, SiteStateBroken, SiteStore, hash_state
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.update.layout import LayoutError

STATE = {
    "a": np.array([[1.5, -2.0]], dtype=np.float32),
    "b": np.array([0.0, 3.0], dtype=np.float32),
}
APPLIED = Applied("ab" * 32, 3, 2, "cd" * 32, "ef" * 32, "01" * 32)


def test_an_applied_round_comes_back(tmp_path: Path) -> None:
    SiteStore(tmp_path).save_applied(APPLIED, STATE)
    store = SiteStore(tmp_path)
    assert store.applied() == APPLIED
    loaded = store.load_state(2)
    assert {name: array.tolist() for name, array in loaded.items()} == {
        name: array.tolist() for name, array in STATE.items()
    }


def test_a_new_folder_has_no_state(tmp_path: Path) -> None:
    assert SiteStore(tmp_path / "state").applied() is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"training_round": 9}'])
def test_a_broken_state_is_named(tmp_path: Path, damage: bytes) -> None:
    store = SiteStore(tmp_path)
    store.save_applied(APPLIED, STATE)
    (tmp_path / "state.json").write_bytes(damage)
    with pytest.raises(SiteStateBroken):
        store.applied()


def test_a_truncated_model_is_named(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    store.save_applied(APPLIED, STATE)
    path = store.state_path(2)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SiteStateBroken):
        store.load_state(2)


def test_the_hash_of_a_state_depends_on_every_value_and_name() -> None:
    other = {**STATE, "b": np.array([0.0, np.nextafter(np.float32(3), 4)], dtype=np.float32)}
    hashes = {
        hash_state(STATE),
        hash_state(other),
        hash_state({"aa": STATE["a"], "b": STATE["b"]}),
        hash_state({**STATE, "a": STATE["a"].T}),
    }
    assert len(hashes) == 4
    assert hash_state(dict(reversed(STATE.items()))) == hash_state(STATE)


def test_no_public_state_holds_what_is_the_sites_own() -> None:
    with pytest.raises(LayoutError, match=r"specialized\.anchors belongs to one site"):
        hash_state({**STATE, "specialized.anchors": STATE["a"]})


def test_the_end_of_a_session_is_remembered(tmp_path: Path) -> None:
    assert not SiteStore(tmp_path).is_finished
    SiteStore(tmp_path).mark_finished()
    assert SiteStore(tmp_path).is_finished


def test_an_update_is_whole_or_absent(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    frames = [b"one", b"two", b"three"]

    def torn() -> object:
        yield frames[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.write_outgoing("aa", torn())  # type: ignore[arg-type]
    assert store.outgoing("aa") is None

    made = store.write_outgoing("aa", frames)
    assert store.outgoing("aa") == made
    assert store.outgoing("bb") is None, "an update of another plan is never sent"
    assert [made.frame(index) for index in range(3)] == frames
    assert made.merkle_root == merkle_root([leaf_hash(frame) for frame in frames]).hex()
    assert made.total_bytes == 11
    store.clear_outgoing()
    assert store.outgoing("aa") is None


def test_keys_are_private_and_forgotten(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    key = SecretBytes.random(64)
    store.save_key(1, key)
    store.save_sealed_keys(1, {"a": b"sealed"})
    path = tmp_path / "keys" / "epoch-1.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SiteStore(tmp_path).key(1) == key
    assert store.sealed_keys(1) == {"a": b"sealed"}
    assert store.key(2) is None
    assert store.sealed_keys(2) is None
    store.forget_keys()
    assert not list((tmp_path / "keys").iterdir())


def test_a_nonce_lasts_as_long_as_its_round(tmp_path: Path) -> None:
    first = SiteStore(tmp_path).nonce(4)
    assert SiteStore(tmp_path).nonce(4) == first
    assert SiteStore(tmp_path).nonce(5) != first


def test_a_spoiled_key_is_gone_for_good(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    store.save_key(1, SecretBytes.random(8))
    assert not store.is_spoiled(1)
    store.spoil_key(1)
    again = SiteStore(tmp_path)
    assert again.is_spoiled(1)
    assert again.key(1) is None
    assert not again.is_spoiled(2)


def test_a_nonce_does_not_outlive_a_copy_of_the_folder(tmp_path: Path) -> None:
    """A restored backup must not take a plan that its original may have signed under."""
    SiteStore(tmp_path / "site").nonce(4)
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "site", backup)
    assert SiteStore(tmp_path / "site").has_nonce(4)
    shutil.rmtree(tmp_path / "site")
    shutil.copytree(backup, tmp_path / "site")
    restored = SiteStore(tmp_path / "site")
    assert not restored.has_nonce(4)
    before = (backup / "nonce.json").read_bytes()
    assert restored.nonce(4).hex().encode() not in before
    assert restored.has_nonce(4)
    assert not restored.has_nonce(5)


def test_an_earlier_round_can_be_told_too(tmp_path: Path) -> None:
    store = SiteStore(tmp_path)
    store.save_applied(APPLIED, STATE)
    later = replace(APPLIED, round=4, training_round=3)
    store.save_applied(later, STATE)
    assert (store.applied_at(2), store.applied_at(3)) == (APPLIED, later)
    with pytest.raises(SiteStateBroken):
        store.applied_at(4)
