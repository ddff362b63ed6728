"""Sites that watch each other's privacy ledgers, over whole sessions of real agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.privacy.ledger import BudgetExhausted, Ledger, read_ledger, set_budget
from tests.client.agents import Agent, Killed, World

NAMES = ("a", "b", "c")
PRIVACY = {"noise_multiplier": 1.0, "budget": 100.0}


class LedgerFiles:
    """The two files of a ledger, to be brought back as they were, as a restored disk does."""

    def __init__(self, path: Path) -> None:
        self.paths = (path, path.with_name(path.name + ".head"))
        self.content = [path.read_bytes() for path in self.paths]

    def bring_back(self) -> None:
        for path, content in zip(self.paths, self.content, strict=True):
            path.write_bytes(content)

    def delete(self) -> None:
        for path in self.paths:
            path.unlink()


def play(
    root: Path,
    meanwhile: Callable[[Agent, int], None],
    rounds: int = 4,
    before: Callable[[World], None] = lambda world: None,
) -> World:
    """A private session to its end; `meanwhile` acts at site a while it trains, and may kill it."""
    world = World(
        root, NAMES, rounds=rounds, privacy=PRIVACY, site_timeout_s=30.0, join_deadline_s=60.0
    )
    before(world)
    a = world.agents["a"]
    a.trainer.before = lambda number: meanwhile(a, number)
    with world.federation.serving() as coordinator:
        world.start(*NAMES)
        while True:
            a.join()
            if not isinstance(a.error, Killed):
                break
            a.error.args[0]()
            a.start()
        for one in world.agents.values():
            one.join()
            assert one.error is None, (one.name, one.error)
        assert coordinator.wait() is None
    world.check_logs()
    return world


def told(agent: Agent, kind: str) -> list[Mapping[str, Any]]:
    return [event for event in agent.events() if event["type"] == kind]


def restored(begun: int, killed: int) -> Callable[[Agent, int], None]:
    """Keep a copy of the ledger while pass `begun` trains; kill in pass `killed`, bring it back."""
    kept: list[LedgerFiles] = []

    def meanwhile(a: Agent, number: int) -> None:
        if number == begun and not kept:
            kept.append(LedgerFiles(a.ledger))
        elif number == killed and len(kept) == 1:
            kept.append(kept[0])
            raise Killed(kept[0].bring_back)

    return meanwhile


def begun_anew() -> Callable[[Agent, int], None]:
    done: list[int] = []

    def meanwhile(a: Agent, number: int) -> None:
        if number == 3 and not done:
            done.append(number)
            raise Killed(LedgerFiles(a.ledger).delete)

    return meanwhile


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        pytest.param(restored(2, 3), "altered", id="longer than before"),
        pytest.param(restored(1, 3), "rolled-back", id="shorter", marks=pytest.mark.slow),
        pytest.param(begun_anew(), "begun-anew", id="begun anew", marks=pytest.mark.slow),
    ],
)
def test_a_ledger_from_a_backup_is_noticed_by_every_other_site(
    tmp_path: Path, meanwhile: Callable[[Agent, int], None], reason: str
) -> None:
    world = play(tmp_path, meanwhile)
    (own,) = [event for event in told(world.agents["a"], "round.committed") if event["round"] == 3]
    for name in ("b", "c"):
        (found,) = told(world.agents[name], "ledger.discontinued")
        assert (found["site"], found["round"], found["reason"]) == ("a", 3, reason)
        assert found["ledger_hash"] == own["ledger_hash"]
        lines = [one for one in world.agents[name].lines if one["event"] == "ledger_discontinued"]
        assert [(one["site"], one["reason"]) for one in lines] == [("a", reason)]
    assert told(world.agents["a"], "ledger.discontinued") == []


def another_run(a: Agent, rounds: int) -> None:
    other = Ledger.open(
        a.ledger, dataset="phantom", unit="patient", delta=1e-5, budget=100.0, units=10
    )
    for number in range(rounds):
        event = a.trainer.privacy_event(number)
        assert event is not None
        other.settle(other.reserve(event, "another run", number))


def test_another_run_on_the_same_ledger_breaks_nothing(tmp_path: Path) -> None:
    def meanwhile(a: Agent, number: int) -> None:
        if number > 1:
            another_run(a, 3)

    world = play(tmp_path, meanwhile, rounds=3)
    for one in world.agents.values():
        assert not {"ledger.discontinued", "ledger.unproven"} & set(one.kinds())
    runs = {each.run for each in read_ledger(world.agents["a"].ledger).spendings}
    assert "another run" in runs
    assert len(runs) == 2


@pytest.mark.slow
def test_more_new_entries_than_a_commitment_lists_are_told_as_unproven(tmp_path: Path) -> None:
    def meanwhile(a: Agent, number: int) -> None:
        if number == 2:
            for _ in range(70):
                set_budget(a.ledger, 100.0)

    world = play(tmp_path, meanwhile, rounds=3)
    for name in ("b", "c"):
        (found,) = told(world.agents[name], "ledger.unproven")
        assert (found["round"], found["sites"]) == (2, ["a"])
        assert told(world.agents[name], "ledger.discontinued") == []


def test_a_site_whose_own_run_is_not_private_is_told_of_in_every_round(tmp_path: Path) -> None:
    def without_ledger(world: World) -> None:
        world.agents["a"].config = world.config.model_copy(update={"privacy": None})

    world = play(tmp_path, lambda a, number: None, rounds=2, before=without_ledger)
    for name in ("b", "c"):
        found = told(world.agents[name], "ledger.missing")
        assert [(event["round"], event["sites"]) for event in found] == [(1, ["a"]), (2, ["a"])]
        lines = [one for one in world.agents[name].lines if one["event"] == "ledgers_missing"]
        assert [one["sites"] for one in lines] == [["a"], ["a"]]
    assert told(world.agents["a"], "ledger.missing") == []  # it looks at none


def test_a_log_has_what_was_charged_and_the_head_that_peers_saw(tmp_path: Path) -> None:
    world = play(tmp_path, lambda a, number: None, rounds=2)
    for agent in world.agents.values():
        charged = [
            (event["type"], event["round"], event["ledger_entries"])
            for event in agent.events()
            if "ledger_hash" in event
        ]
        assert charged == [
            ("ledger.reserved", 1, 2),
            ("ledger.settled", 1, 3),
            ("round.committed", 1, 3),
            ("ledger.reserved", 2, 4),
            ("ledger.settled", 2, 5),
            ("round.committed", 2, 5),
        ]
        assert (
            told(agent, "ledger.settled")[-1]["ledger_hash"] == read_ledger(agent.ledger).head.chain
        )


def test_a_site_over_budget_leaves_before_it_announces_and_the_others_finish(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, (*NAMES, "d"), rounds=2, privacy=PRIVACY, join_deadline_s=60.0)
    d = world.agents["d"]
    terms = {"dataset": "phantom", "unit": "patient", "delta": 1e-5}
    Ledger.open(d.ledger, **terms, budget=0.1, units=10)  # type: ignore[arg-type]
    with world.federation.serving() as coordinator:
        world.start(*world.agents)
        for one in world.agents.values():
            one.join()
        assert coordinator.wait() is None
    assert isinstance(d.error, BudgetExhausted)
    assert "0.100 is left" in str(d.error)
    assert [kind for kind in d.kinds() if kind != "process.started"] == [
        "session.accepted",
        "ledger.exhausted",
    ]
    assert read_ledger(d.ledger).spendings == ()
    for name in NAMES:
        assert world.agents[name].error is None
        assert len(read_ledger(world.agents[name].ledger).spendings) == 2


def test_a_session_without_privacy_shows_no_ledger(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, rounds=1, join_deadline_s=60.0)
    with world.federation.serving() as coordinator:
        world.start(*NAMES)
        for one in world.agents.values():
            one.join()
        assert coordinator.wait() is None
    for one in world.agents.values():
        assert not any("ledger_hash" in event for event in one.events())
        assert not (one.folder / "ledgers").exists()
        assert not (one.folder / "state" / "ledgers_seen.json").exists()
