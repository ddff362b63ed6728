"""A site that is behind adds no sum that does not continue its own history, restarted or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import agent, catch_up
from fedmrg_secure.client.heart import Heart
from fedmrg_secure.client.history import HistoryDiverged, check_standing, follow_history
from fedmrg_secure.client.policy import AggregateRefused, PlanRefused
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, hash_state
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.errors import CoordinatorUnreachable
from fedmrg_secure.protocol.messages import CohortMember, SessionStatus
from fedmrg_secure.protocol.phases import SessionPhase
from tests.client.agents import HeldWorld, World, held_world, is_planned, until


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HeldWorld, Site]]:
    with ExitStack() as stack:
        held = stack.enter_context(held_world(tmp_path_factory.mktemp("behind")))
        yield held, stack.enter_context(held.late.joined())


@pytest.fixture
def held(line: tuple[HeldWorld, Site], monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldWorld]:
    """Three rounds are closed; the coordinator is honest again after the test."""
    held, _ = line
    assert held.service is not None
    honest = dict(held.service._handlers)
    monkeypatch.setattr(catch_up, "is_cheaper", lambda *_: False)
    yield held
    held.service._handlers.update(honest)


@pytest.fixture
def site(line: tuple[HeldWorld, Site]) -> Iterator[Site]:
    """The late site, which has applied nothing yet, nor has after the test."""
    _, site = line
    before = standing(site)
    assert before.training_round == 0
    yield site
    assert standing(site) == before, "something was applied"


def standing(site: Site) -> Applied:
    applied = site.store.applied()
    assert applied is not None
    return applied


def told(site: Site, *closed: int, reached: bytes | None = None) -> SessionStatus:
    """The status with another list of closed rounds."""
    status = site.status()
    return replace(status, closed_rounds=closed, state_hash=reached or status.state_hash)


def refused(site: Site, status: SessionStatus, error: type[FedmrgError], what: str) -> None:
    opened = site.store.folder.parent / "log"
    before = [path.read_bytes() for path in sorted(opened.glob("*.jsonl"))]
    with pytest.raises(error, match=what):
        catch_up.catch_up(site, status, standing(site))
    assert not list(site.store.folder.glob("round-0001*")), "a refused state is on disk"
    assert [path.read_bytes() for path in sorted(opened.glob("*.jsonl"))] == before


def test_a_closed_round_that_is_left_out_is_noticed_before_anything_is_applied(
    held: HeldWorld, site: Site
) -> None:
    """The sum of round 2 would be added to the initial state, and again as the second."""
    refused(site, told(site, 2), PlanRefused, "round 2 does not continue the history")
    refused(site, told(site, 1, 3), PlanRefused, "round 3 does not continue the history")


def test_a_model_that_the_sums_do_not_lead_to_is_refused_before_it_is_applied(
    held: HeldWorld, site: Site
) -> None:
    refused(
        site,
        told(site, 1, reached=bytes(32)),
        AggregateRefused,
        "the sum of round 1 does not lead to the federation's model",
    )


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"previous_transcript": bytes(31) + b"\1"}, PlanRefused, "does not continue"),
        ({"base_state_hash": bytes(32)}, PlanRefused, "does not continue"),
        ({"cohort": lambda old: old[:2]}, PlanRefused, "has only 2 sites"),
        (
            {"cohort": lambda old: (*old, CohortMember("zeta", bytes(32), 1))},
            PlanRefused,
            "outside the session",
        ),
        (
            {"cohort": lambda old: (*old[:2], replace(old[2], weight=7))},
            PlanRefused,
            "above its cap",
        ),
        (
            {"cohort": lambda old: (*old[:2], replace(old[2], nonce=bytes(32)))},
            AggregateRefused,
            "of another plan",
        ),
    ],
)
def test_a_past_plan_that_breaks_a_term_is_refused(
    held: HeldWorld,
    site: Site,
    change: dict[str, Any],
    error: type[FedmrgError],
    what: str,
) -> None:
    assert held.service is not None
    honest = held.service._snapshots._closure

    def lie(call: Any, message: sn.GetClosure) -> sn.Closure:
        closure = honest(call, message)
        assert isinstance(closure, sn.Closure)
        fields = {
            name: new(getattr(closure.plan, name)) if callable(new) else new
            for name, new in change.items()
        }
        return replace(closure, plan=replace(closure.plan, **fields))

    held.service._handlers[sn.GetClosure] = lie
    reached = bytes.fromhex(held.world.agents["a"].store.applied_at(1).model_hash)
    refused(site, told(site, 1, reached=reached), error, what)


def ahead(applied: Applied) -> Applied:
    return replace(applied, training_round=4, round=4)


@pytest.mark.parametrize(
    ("mine", "changes", "what"),
    [
        (lambda a: replace(a, model_hash="00" * 32), {}, "model after 3 rounds is not the one"),
        (lambda a: replace(a, round=2), {}, "is round 2, what was closed as number 3 is round 3"),
        (lambda a: a, {"closed_rounds": (1, 3)}, "has applied 3 rounds, .* knows of 2"),
        (lambda a: a, {"closed_rounds": ()}, "has applied 3 rounds, .* knows of 0"),
        (lambda a: replace(a, training_round=4, round=5), {}, "has applied 4 rounds"),
        (lambda a: a, {"session_phase": SessionPhase.FINISHED}, "after 3 closed rounds, it has 5"),
        (ahead, {"session_phase": SessionPhase.FINISHED}, "after 3 closed rounds, it has 5"),
    ],
)
def test_another_history_than_the_sites_own_is_noticed(
    held: HeldWorld,
    site: Site,
    mine: Callable[[Applied], Applied],
    changes: dict[str, Any],
    what: str,
) -> None:
    applied = held.world.agents["a"].applied
    assert applied is not None
    status = site.status()
    check_standing(site, status, applied)
    check_standing(site, status, standing(site))
    check_standing(site, status, ahead(applied))
    with pytest.raises(HistoryDiverged, match=what):
        check_standing(site, replace(status, **changes), mine(applied))


def test_the_missed_sums_lead_to_what_the_others_have(held: HeldWorld, line: Any) -> None:
    """What is refused above fails for what was changed, and for nothing else."""
    _, site = line
    after = catch_up.catch_up(site, site.status(), standing(site))
    other = held.world.agents["a"]
    assert after == standing(site) == other.applied
    np.testing.assert_array_equal(
        site.store.load_state(3)["update"], other.store.load_state(3)["update"]
    )


def test_a_wrong_state_of_before_is_noticed_at_the_next_start_and_at_the_end(
    tmp_path: Path,
) -> None:
    """As a site may have it that was stopped while it compared: no end makes it a success."""
    with held_world(tmp_path, rounds=4) as held:
        with held.late.joined() as site:
            right = held.world.agents["a"].store.applied_at(3)
            state = {"update": np.ones(300_000, dtype=np.float32)}
            wrong = replace(right, model_hash=hash_state(state))
            site.store.save_applied(wrong, state)
            site.private.save(3, site.trainer.memory)
        held.late.start()
        held.late.join()
        assert isinstance(held.late.error, HistoryDiverged)
        with held.late.joined() as site:
            real = site.coordinator.get_status

            def finished() -> SessionStatus:
                return replace(real(), session_phase=SessionPhase.FINISHED)

            site.coordinator.get_status = finished  # type: ignore[method-assign]
            with pytest.raises(HistoryDiverged):
                within(30, lambda: agent._take_part_until_the_end(site, Heart(site)))
        assert not held.late.store.is_finished


def test_a_live_site_that_is_behind_at_the_end_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks how things stand, which is not yet having all that it lacks."""
    world = World(tmp_path, ("a", "b", "c", "d"), rounds=2, site_timeout_s=15.0)
    gate, late = threading.Event(), world.agents["d"]

    def hold(number: int) -> None:
        assert number < 2 or gate.wait(60)

    def slowly(*arguments: Any) -> Any:
        time.sleep(2.0)
        return follow_history(*arguments)

    monkeypatch.setattr(catch_up, "follow_history", slowly)
    for name in ("a", "b", "c"):
        world.agents[name].trainer.before = hold
    with world.federation.serving(farewell_s=60) as coordinator:
        world.start("a", "b", "c")
        until(lambda: world.closed(coordinator) == 1, 60)
        until(lambda: is_planned(coordinator, 2))
        with late.joined():
            gate.set()
            for name in ("a", "b", "c"):
                world.agents[name].join()
        late.start()
        late.join()
        assert late.error is None
        assert late.store.is_finished
        assert late.applied == world.agents["a"].applied
        assert coordinator.wait(10) is None
    assert [e["round"] for e in late.events() if e["type"] == "round.acknowledged"] == [2]
    world.check_logs()


def test_a_site_that_has_everything_ends_well_without_the_coordinator() -> None:
    def gone(*_: Any) -> None:
        raise CoordinatorUnreachable("it has not waited for so long")

    applied = Applied("ab" * 32, 2, 2, "cd" * 32, "ef" * 32, "00" * 32)
    site: Any = SimpleNamespace(
        log=lambda event: None, coordinator=SimpleNamespace(acknowledge=gone)
    )
    agent._take_leave(site, applied)


def within(seconds: float, act: Callable[[], None]) -> None:
    """Let it raise here what it raises, or fail after a while."""
    outcome: list[BaseException | None] = []

    def run() -> None:
        try:
            act()
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, "it goes on"
    if outcome[0] is not None:
        raise outcome[0]
