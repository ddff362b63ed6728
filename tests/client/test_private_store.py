"""What is a site's own survives kills, aborted rounds and rounds that go on without the site."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client.opening import _settle_memory
from fedmrg_secure.client.private_store import KeptUpdate, PrivateStore
from fedmrg_secure.client.round import _Measured, _train
from fedmrg_secure.client.state import Applied, SiteStateBroken
from fedmrg_secure.core.config import UpdateConfig
from fedmrg_secure.training.site_trainer import RoundUpdate
from fedmrg_secure.update.factorization import State, make_factorization
from tests.client.memory import MemoryKeeper

SHAPES: dict[str, tuple[int, ...]] = {
    "encoder.stem": (20, 30),
    "encoder.bias": (20,),
    "encoder.norm": (4,),
}
SCHEME = make_factorization(UpdateConfig(factorization="powersgd", rank=2), SHAPES)
MOVE = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)


class Trainer(MemoryKeeper):
    """Trains a model of two tensors: every training counts in the specialized part."""

    trainings = 0

    def train_round(self, number: int, base: State, on_step: Callable[..., None]) -> RoundUpdate:
        trained = None
        if SCHEME.trains(number):
            Trainer.trainings += 1
            trained = dict(SCHEME.model_state(base))
            trained["encoder.stem"] = trained["encoder.stem"] + MOVE
            counted = self._memory["specialized.count"] + np.float32(1)
            self._memory["specialized.count"] = counted
        return RoundUpdate(SCHEME.update(number, base, trained, self._memory, 100.0), None)


@dataclass
class Site:
    """One site whose process can be killed: what is on disk stays."""

    folder: Path
    base: State
    number: int = 1

    def start(self) -> Any:
        progress = SimpleNamespace(enter=lambda *_: None, step=lambda *_: None)
        return SimpleNamespace(
            name="a",
            trainer=Trainer(SCHEME),
            factorization=SCHEME,
            private=PrivateStore(self.folder),
            ledger=None,
            progress=progress,
        )

    @property
    def applied(self) -> Applied:
        return Applied("", 7, self.number - 1, "", f"hash of {self.number - 1}", "")

    def update(self, site: Any) -> np.ndarray:
        return _train(site, self.applied.training_round + 1, self.applied, self.base, _Measured())

    def apply(self, site: Any, vector: np.ndarray, *included: str) -> None:
        """The sum of the pass is known; the memory is what it leaves behind."""
        names = [SimpleNamespace(site=name) for name in included]
        after = SCHEME.apply(self.number, self.base, vector)
        _settle_memory(site, SimpleNamespace(included=names), self.base, after, self.applied)
        site.private.keep_only(self.number)
        self.base, self.number = after, self.number + 1

    @property
    def memory(self) -> State:
        return PrivateStore(self.folder).load(self.number - 1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    Trainer.trainings = 0
    blank = {name: np.zeros(shape, dtype=np.float32) for name, shape in SHAPES.items()}
    PrivateStore(tmp_path).save(0, {"specialized.count": np.zeros(1, dtype=np.float32)})
    return Site(tmp_path, SCHEME.initial(blank))


def owed(site: Site) -> np.ndarray:
    return site.memory["feedback.error.encoder.stem"].reshape(20, 30)


def missed_by_two_passes(base: State) -> np.ndarray:
    """What a product of rank 2 leaves of the training, and which product: of a site alone."""
    hat = np.linalg.qr(MOVE @ base["carry.q.encoder.stem"].T)[0]
    return MOVE - hat @ (hat.T @ MOVE)


def test_a_training_survives_a_kill_and_is_not_done_twice(site: Site) -> None:
    vector = site.update(site.start())
    again = site.start()  # killed while it encrypted, or the round was aborted
    np.testing.assert_array_equal(site.update(again), vector)
    assert Trainer.trainings == 1
    site.apply(again, vector, "a", "b")
    assert site.memory["specialized.count"].tolist() == [1]


def test_a_kill_in_training_starts_over_from_the_memory_before(site: Site) -> None:
    process = site.start()
    process.private.keep_update = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        site.update(process)
    after_restart = site.start()
    vector = site.update(after_restart)
    assert Trainer.trainings == 2
    site.apply(after_restart, vector, "a")
    assert site.memory["specialized.count"].tolist() == [1]


def test_a_kill_while_a_sum_is_applied_settles_to_the_same(site: Site) -> None:
    first = site.update(site.start())
    site.apply(site.start(), first, "a")
    second = site.update(site.start())
    after = SCHEME.apply(2, site.base, second)
    aggregate: Any = SimpleNamespace(included=[SimpleNamespace(site="a")])
    for _ in range(2):  # killed after the memory was kept, before the state pointed to it
        _settle_memory(site.start(), aggregate, site.base, after, site.applied)
    kept = PrivateStore(site.folder).load(2)["feedback.error.encoder.stem"].reshape(20, 30)
    np.testing.assert_allclose(kept, missed_by_two_passes(site.base), atol=1e-5)


def test_a_site_in_both_sums_owes_what_the_product_misses(site: Site) -> None:
    missed = missed_by_two_passes(site.base)
    for _ in range(2):
        site.apply(site.start(), site.update(site.start()), "a")
    assert Trainer.trainings == 1
    np.testing.assert_allclose(owed(site), missed, atol=1e-5)
    np.testing.assert_allclose(site.base["encoder.stem"] + owed(site), MOVE, atol=1e-5)


def test_a_site_that_the_second_sum_goes_on_without_owes_all_and_keeps_its_own_part(
    site: Site,
) -> None:
    site.apply(site.start(), site.update(site.start()), "a", "b")
    site.update(site.start())
    site.apply(site.start(), np.zeros(SCHEME.vector_size), "b", "c")
    np.testing.assert_allclose(owed(site), MOVE, atol=1e-6)
    assert site.memory["specialized.count"].tolist() == [1]


def test_a_site_that_was_away_for_whole_rounds_catches_up_with_what_it_owes(site: Site) -> None:
    site.update(site.start())  # trained and was killed before its upload
    others = np.random.default_rng(2).normal(size=(4, SCHEME.vector_size)) * 0.01
    for vector in others:
        site.apply(site.start(), vector, "b", "c")
    assert Trainer.trainings == 1
    np.testing.assert_allclose(owed(site), MOVE, atol=1e-6)
    assert "feedback.pending.encoder.stem" not in site.memory
    site.update(site.start())
    kept = PrivateStore(site.folder).update(5, site.applied.model_hash)
    assert kept is not None
    pending = kept.memory["feedback.pending.encoder.stem"].reshape(20, 30)
    np.testing.assert_allclose(pending, 2 * MOVE, atol=1e-5, err_msg="owed and newly trained")


def test_a_training_from_another_state_or_for_another_pass_is_not_taken(tmp_path: Path) -> None:
    store = PrivateStore(tmp_path)
    kept = KeptUpdate(np.arange(3, dtype=np.float64), {"specialized.x": np.ones(1, np.float32)})
    store.keep_update(3, "ab", kept)
    found = store.update(3, "ab")
    assert found is not None
    assert found.vector.dtype == np.float64
    assert found.vector.tolist() == [0, 1, 2]
    assert found.memory["specialized.x"].tolist() == [1]
    assert store.update(4, "ab") is None
    assert store.update(3, "cd") is None
    store.keep_only(3)
    assert store.update(3, "ab") is None


def test_a_torn_training_is_done_again_and_a_torn_memory_is_named(tmp_path: Path) -> None:
    store = PrivateStore(tmp_path)
    (tmp_path / "update.safetensors").write_bytes(b"torn")
    assert store.update(1, "ab") is None
    store.save(1, {"specialized.x": np.ones(4, np.float32)})
    path = tmp_path / "private-0001.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SiteStateBroken, match="private memory"):
        store.load(1)
    with pytest.raises(SiteStateBroken):
        store.load(2)


def test_only_the_owner_may_read_and_only_the_last_memory_stays(tmp_path: Path) -> None:
    store = PrivateStore(tmp_path)
    for number in range(3):
        store.save(number, {})
    store.save_final({"specialized.mix": np.ones(1, np.float32)})
    store.keep_update(3, "ab", KeptUpdate(np.zeros(1), {}))
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.keep_only(2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "private-0002.safetensors",
        "private.safetensors",
    }
