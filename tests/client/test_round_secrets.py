"""What a round needed of secrets is overwritten when it is over: in memory, and on the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client import agent, catch_up, certifying
from fedmrg_secure.client import round as client_round
from fedmrg_secure.client.site import SessionFailed
from fedmrg_secure.client.state import SiteStore
from fedmrg_secure.core.durable import overwrite_and_remove
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from tests.client.agents import Killed, World, held_world, until

NAMES = ("a", "b", "c")


@pytest.fixture
def polynomials(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SecretPolynomial]]:
    """Every secret polynomial that is made in a test; all must be overwritten at its end."""
    made: list[SecretPolynomial] = []
    held: list[RingVector] = []
    begin = SecretPolynomial.__init__

    def noted(self: SecretPolynomial, coefficients: RingVector) -> None:
        begin(self, coefficients)
        made.append(self)
        held.append(coefficients)

    monkeypatch.setattr(SecretPolynomial, "__init__", noted)
    yield made
    assert made, "no secret was made"
    alive = sum(one.is_alive for one in made)
    assert alive == 0, f"{alive} of {len(made)} secret polynomials are left"
    assert not any(np.any(coefficients) for coefficients in held)


def round_keys(world: World, name: str) -> list[Path]:
    return list((world.agents[name].folder / "state" / "keys").glob("round-*"))


@pytest.mark.usefixtures("polynomials")
def test_after_a_session_no_secret_of_a_round_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, NAMES, rounds=2)
    committed, trained = [], []
    certify = certifying.certify_cohort

    def look(site: agent.Site, *arguments: object) -> object:
        committed.append(list((site.store.folder / "keys").glob("round-*")))
        return certify(site, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(client_round, "certify_cohort", look)
    for name, one in world.agents.items():
        one.store.save_round_key("ab" * 32, SecretBytes(b"of an aborted round"))
        one.trainer.before = lambda _, name=name: trained.append(len(round_keys(world, name)))  # type: ignore[misc]
        (one.folder / "state" / "keys" / "round-cd.key.part").write_bytes(b"half written")
    with world.federation.serving() as coordinator:
        world.start(*NAMES)
        for one in world.agents.values():
            one.join()
            assert one.error is None, (one.name, one.error)
        assert coordinator.wait() is None
    assert trained == [1] * 6, "one key at a time"
    assert committed == [[]] * 6, "none once its shares are with their holders"
    assert not any(round_keys(world, name) for name in NAMES)


@pytest.mark.usefixtures("polynomials")
def test_a_late_site_that_opens_missed_sums_leaves_none(tmp_path: Path) -> None:
    with held_world(tmp_path, rounds=4) as held:
        held.late.trainer.before = lambda _: None
        until(lambda: held.world.closed(held.coordinator) == 3)
        with held.late.joined() as site:
            status, applied = site.status(), site.store.applied()
            assert applied is not None
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(catch_up, "is_cheaper", lambda *_: False)
                after = catch_up.catch_up(site, status, applied)
            assert after.training_round == 3
        held.late.start()
        held.finish()


@pytest.mark.usefixtures("polynomials")
def test_a_session_that_fails_leaves_none(tmp_path: Path) -> None:
    """One site ends while it trains; another has just encrypted when it hears of the failure."""
    world = World(tmp_path, NAMES, rounds=1, site_timeout_s=1.0)
    failed = threading.Event()

    def die(_: int) -> None:
        raise Killed

    def wait(_: int) -> None:
        assert failed.wait(60)

    world.agents["c"].trainer.before = die
    world.agents["a"].trainer.before = wait
    with world.federation.serving() as coordinator:
        world.start(*NAMES)
        until(lambda: coordinator.session.ledger.state.ended, 60)
        failed.set()
        for one in world.agents.values():
            one.join()
    assert isinstance(world.agents["c"].error, Killed)
    assert isinstance(world.agents["a"].error, SessionFailed)
    assert isinstance(world.agents["b"].error, SessionFailed)
    assert not any(round_keys(world, name) for name in NAMES)


def test_a_key_is_overwritten_before_its_file_is_removed(tmp_path: Path) -> None:
    store = SiteStore(tmp_path / "state")
    store.save_round_key("ab" * 32, SecretBytes(b"\xa5" * 100))
    store.save_key(1, SecretBytes(b"\xa5" * 90))
    store.save_key(2, SecretBytes(b"\xa5" * 80))
    seen = {}
    for path in (tmp_path / "state" / "keys").iterdir():
        seen[path.name] = tmp_path / path.name
        seen[path.name].hardlink_to(path)
    store.forget_round_key()
    store.spoil_key(1)
    store.forget_keys()
    assert sorted(link.stat().st_size for link in seen.values()) == [80, 90, 100]
    assert not any(any(link.read_bytes()) for link in seen.values())
    assert not list((tmp_path / "state" / "keys").iterdir())


def test_a_file_that_cannot_be_overwritten_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    overwrite_and_remove(path)
    assert not path.exists()
    overwrite_and_remove(path)
