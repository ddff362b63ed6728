"""Late and restored sites take the newest state from another site, through kills on every side."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import snapshot_sealing, snapshots
from fedmrg_secure.client.snapshots import is_cheaper
from fedmrg_secure.client.state import SiteStore
from fedmrg_secure.protocol.errors import CoordinatorUnreachable
from fedmrg_secure.protocol.snapshot_calls import SnapshotCalls
from fedmrg_secure.protocol.snapshots import SnapshotSize
from tests.client.agents import Agent, HeldWorld, Killed, World, held_world, is_planned, until


def has_reached(agent: Agent, number: int) -> bool:
    applied = agent.applied
    return applied is not None and applied.training_round >= number


def finish_with_snapshot(held: HeldWorld) -> None:
    """The late site gets there without opening a sum, and everybody ends with one model."""
    until(lambda: has_reached(held.late, 3), 60)
    assert "snapshot.applied" in held.late.kinds()
    assert "aggregate.opened" not in held.late.kinds()
    held.finish()
    held.world.check_logs()
    states = [one.store.load_state(5)["update"] for one in held.world.agents.values()]
    for state in states[1:]:
        np.testing.assert_array_equal(state, states[0])
    assert held.coordinator.session.snapshots.requests == {}
    folder = held.world.federation.coordinator / "snapshots"
    assert not list(folder.glob("??/*")), "a snapshot was left at the coordinator"


@pytest.mark.parametrize(
    "scheme", ["ckks-multiparty", pytest.param("insecure-plaintext", marks=pytest.mark.slow)]
)
def test_a_late_site_takes_a_snapshot_and_then_takes_part(tmp_path: Path, scheme: str) -> None:
    with held_world(tmp_path, scheme=scheme) as held:
        held.late.start()
        finish_with_snapshot(held)
    assert held.late.trainer.memory["specialized.passes"].tolist() == [5]
    included = [line["included"] for line in held.late.lines if line["event"] == "round"]
    assert included[-1] is True
    sealed = [name for name, one in held.world.agents.items() if "snapshot.sealed" in one.kinds()]
    assert len(sealed) == 1, "one site is asked at a time"
    assert not list(tmp_path.glob("sites/*/state/offers/*"))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldWorld]:
    """For tests that leave the session as it is."""
    with held_world(tmp_path_factory.mktemp("held")) as world:
        yield world


def test_the_coordinator_holds_no_value_of_the_state(held: HeldWorld) -> None:
    with held.late.joined() as site:
        site.coordinator.snapshots.request(3)
        until(lambda: bool(site.coordinator.snapshots.snapshot().offer))
        values = held.world.agents["a"].store.load_state(3)["update"].astype("<f4").tobytes()
        stored = list(held.world.federation.coordinator.glob("snapshots/??/*"))
        assert sum(path.stat().st_size for path in stored) == len(values) + 2 * 16
        for path in held.world.federation.coordinator.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert values[:64] not in content
                assert values[-64:] not in content


def test_sums_are_taken_where_they_have_fewer_bytes(held: HeldWorld) -> None:
    with held.late.joined() as site:
        applied = site.store.applied()
        assert applied is not None
        cheaper = [
            is_cheaper(site, SimpleNamespace(closed_rounds=tuple(range(1, missed + 1))), applied)  # type: ignore[arg-type]
            for missed in (1, 2, 3)
        ]
        aggregate = site.coordinator.get_aggregate(3)
        assert aggregate is not None
        state_bytes = SnapshotSize.of(site.manifest.state_value_count).total_bytes
        assert cheaper == [state_bytes < missed * aggregate.total_bytes for missed in (1, 2, 3)]
        assert cheaper == [False, True, True]


@pytest.mark.slow
def test_without_an_offer_in_time_the_sums_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_sealing.Helper, "consider", lambda self, pulse: None)
    with held_world(tmp_path) as held:
        held.late.start()
        until(lambda: has_reached(held.late, 3), 60)
        kinds = held.late.kinds()
        assert "snapshot.requested" in kinds
        assert kinds.count("aggregate.opened") == 3
        held.finish()
    held.world.check_logs()


STEPS = {
    "asked": (snapshots, "_await_offer"),
    "offered": (snapshots, "_check_terms"),
    "checked": (snapshots, "_opened"),
    "logged": (snapshots, "_settle_memory"),
    "settled its memory": (SiteStore, "save_applied"),
    "applied": (SnapshotCalls, "settle"),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_requester_killed_at_any_step_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place, name = STEPS[step]
    real, killed = getattr(place, name), threading.Event()

    def kill(*arguments: Any, **named: Any) -> Any:
        joining = name == "save_applied" and arguments[1].training_round == 0
        if threading.current_thread().name == "d" and not joining and not killed.is_set():
            killed.set()
            raise Killed
        return real(*arguments, **named)

    monkeypatch.setattr(place, name, kill)
    with held_world(tmp_path) as held:
        held.late.start()
        held.late.join()
        assert isinstance(held.late.error, Killed)
        assert killed.is_set()
        held.late.start()
        finish_with_snapshot(held)
    assert held.late.trainer.memory["specialized.passes"].tolist() == [5]


@pytest.mark.slow
def test_a_helper_that_breaks_off_goes_on_with_the_same_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, read, broken = snapshot_sealing.KeptOffer.chunk, [], threading.Event()

    def chunk(self: Any, index: int) -> bytes:
        read.append(index)
        if index == 1 and not broken.is_set():
            broken.set()
            raise CoordinatorUnreachable("the line is cut")
        return real(self, index)

    monkeypatch.setattr(snapshot_sealing.KeptOffer, "chunk", chunk)
    with held_world(tmp_path) as held:
        held.late.start()
        finish_with_snapshot(held)
        sealed = [
            e for a in held.world.agents.values() for e in a.kinds() if e == "snapshot.sealed"
        ]
    assert read in ([0, 1, 1], [0, 1, 0, 1]), "the first chunk may have been lost with the line"
    assert len(sealed) == 1


@pytest.mark.slow
def test_what_was_sealed_before_a_kill_is_offered_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, held_back = SnapshotCalls.offer, threading.Event()

    def offer(self: Any, *arguments: Any) -> None:
        if not held_back.is_set():
            held_back.set()
            raise CoordinatorUnreachable("killed before the offer left")
        real(self, *arguments)

    monkeypatch.setattr(SnapshotCalls, "offer", offer)
    with held_world(tmp_path) as held:
        held.late.start()
        finish_with_snapshot(held)
        sealed = [
            e for a in held.world.agents.values() for e in a.kinds() if e == "snapshot.sealed"
        ]
    assert len(sealed) == 1


@pytest.mark.slow
def test_another_site_takes_over_from_a_helper_that_falls_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, silent = snapshot_sealing.answer_request, []

    def answer(site: Any, pulse: Any) -> None:
        if not silent or silent == [site.name]:
            silent[:] = [site.name]
            return
        real(site, pulse)

    monkeypatch.setattr(snapshot_sealing, "answer_request", answer)
    with held_world(tmp_path) as held:
        held.late.start()
        finish_with_snapshot(held)
        applied = [e for e in held.late.events() if e["type"] == "snapshot.applied"]
    assert [event["sender"] for event in applied] != silent


@pytest.mark.slow
@pytest.mark.parametrize("step", ["asked", "half offered", "offered", "applied"])
def test_a_coordinator_stopped_at_any_step_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world = World(tmp_path, ("a", "b", "c", "d"), rounds=5, join_deadline_s=4.0)
    gate, go_on, there = threading.Event(), threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number > 3:
            assert gate.wait(120)

    def wait_there(when: str, name: str | None = None) -> None:
        if when == step and name in (None, threading.current_thread().name):
            there.set()
            assert go_on.wait(60)

    def around(place: Any, name: str, before: Callable[..., None]) -> None:
        real = getattr(place, name)

        def call(*arguments: Any, **named: Any) -> Any:
            before(*arguments)
            return real(*arguments, **named)

        monkeypatch.setattr(place, name, call)

    around(snapshot_sealing, "answer_request", lambda *_: wait_there("asked"))
    around(
        snapshot_sealing.KeptOffer,
        "chunk",
        lambda kept, index: wait_there("half offered") if index else None,
    )
    around(snapshots, "_check_terms", lambda *_: wait_there("offered", "d"))
    around(SnapshotCalls, "settle", lambda *_: wait_there("applied", "d"))
    monkeypatch.setattr(snapshots, "_patience_s", lambda site: 30.0)
    for name in ("a", "b", "c"):
        world.agents[name].trainer.before = hold
    late = world.agents["d"]
    try:
        with world.federation.serving() as coordinator:
            world.start("a", "b", "c")
            until(lambda: world.closed(coordinator) == 3, 60)
            until(lambda: is_planned(coordinator, 4))
            late.start()
            assert there.wait(30)
        with world.federation.serving() as coordinator:
            go_on.set()
            finish_with_snapshot(HeldWorld(world, coordinator, gate, late))
    finally:
        gate.set()
        go_on.set()


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["nothing", "an old copy"])
def test_a_site_whose_state_folder_is_lost_or_restored_goes_on(tmp_path: Path, kept: str) -> None:
    """Its log tells it what it has signed; it takes a snapshot and signs nothing twice."""
    world = World(tmp_path, ("a", "b", "c", "d"), rounds=7)
    victim, backup = world.agents["b"], tmp_path / "backup"
    gates = {5: threading.Event(), 6: threading.Event()}

    def hold(number: int) -> None:
        if number in gates:
            assert gates[number].wait(120)

    def die(number: int) -> None:
        if number == 2 and kept == "an old copy":
            shutil.copytree(victim.folder / "state", backup)
        if number == 5:
            raise Killed

    for name in ("a", "c", "d"):
        world.agents[name].trainer.before = hold
    victim.trainer.before = die
    with world.federation.serving() as coordinator:
        world.start("a", "b", "c", "d")
        victim.join()
        assert isinstance(victim.error, Killed)
        shutil.rmtree(victim.folder / "state")
        if backup.exists():
            shutil.copytree(backup, victim.folder / "state")
        before = len(victim.events())
        victim.trainer.before = lambda number: None
        victim.start()
        until(lambda: has_reached(victim, 4), 60)
        restored = [line for line in victim.lines if line["event"] == "signing_record_restored"]
        first = 2 if kept == "an old copy" else 1
        assert restored[0]["rounds"] == list(range(first, 6))
        kinds = [event["type"] for event in victim.events()[before:]]
        assert "snapshot.applied" in kinds
        gates[5].set()
        until(lambda: has_reached(victim, 5), 60)
        gates[6].set()
        for one in world.agents.values():
            one.join()
            assert one.error is None, (one.name, one.error)
        assert coordinator.wait() is None
    assert len({one.applied for one in world.agents.values()}) == 1
    events = victim.events()[before:]
    signed = [e["round"] for e in events if e["type"] in ("round.committed", "inclusion.signed")]
    assert 5 not in signed, "it stays out of the round that it may have signed in"
    assert signed[-2:] == [7, 7]
    world.check_logs()
