"""Training charged to the ledger: before it begins, once for each draw of noise, never beyond."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fedmrg_secure.audit_log.record import check_event
from fedmrg_secure.client import round as site_round
from fedmrg_secure.client.private_store import PrivateStore
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied
from fedmrg_secure.privacy.events import GridNoise, PoissonSampling, PrivacyEvent
from fedmrg_secure.privacy.ledger import BudgetExhausted, Ledger, set_budget
from fedmrg_secure.training.site_trainer import RoundUpdate
from fedmrg_secure.training.trainer import StepReport

BASE: dict[str, Any] = {}
EVENT = PrivacyEvent(GridNoise(Fraction(2**32), Fraction(2**32), 100), PoissonSampling(0.1), 10)


class Killed(BaseException):
    """The process ends here."""


class NoisyTrainer:
    """What the round asks of `SiteTrainer`; every training draws anew, as noise does."""

    def __init__(self, ledger: Ledger) -> None:
        self.memory: dict[str, Any] = {}
        self.draws, self.ledger = 0, ledger
        self.charged_at_draw: list[int] = []
        self.dies = False

    def load_memory(self, memory: Mapping[str, Any]) -> None:
        self.memory = dict(memory)

    def privacy_event(self, number: int) -> PrivacyEvent | None:
        return EVENT if number % 2 else None

    def train_round(
        self, number: int, base: Any, on_step: Callable[[StepReport], None]
    ) -> RoundUpdate:
        self.draws += 1
        self.charged_at_draw.append(len(self.ledger.view().spendings))
        if self.dies:
            raise Killed
        return RoundUpdate(np.full(3, float(self.draws)), None)


class World:
    """One site with a real ledger and a real store."""

    def __init__(self, folder: Path, budget: float = 8.0) -> None:
        path = folder / "ledgers" / "chest.jsonl"
        self.ledger = Ledger.open(
            path, dataset="chest", unit="patient", delta=1e-5, budget=budget, units=100
        )
        self.trainer = NoisyTrainer(self.ledger)
        (folder / "state").mkdir()
        private = PrivateStore(folder / "state")
        private.save(0, {})
        self.lines: list[Any] = []
        self.logged: list[dict[str, Any]] = []
        self.site = cast(
            Site,
            SimpleNamespace(
                private=private,
                trainer=self.trainer,
                ledger=self.ledger,
                session=bytes(32),
                log=self.logged.append,
                progress=SimpleNamespace(
                    enter=lambda *_: None, step=lambda *values: self.lines.append(values)
                ),
            ),
        )

    def train(self, base_hash: str = "aa" * 32) -> np.ndarray:
        return site_round._train(
            self.site, 7, self.applied(base_hash), BASE, site_round._Measured()
        )

    def take_part(self, base_hash: str = "aa" * 32) -> None:
        """Begin a round, as far as a site without a coordinator comes."""
        site_round.take_part(self.site, 7, self.applied(base_hash))

    def applied(self, base_hash: str) -> Applied:
        return Applied("00" * 32, 0, 0, "", base_hash, "00" * 32)

    def outcomes(self) -> list[str | None]:
        return [each.outcome for each in self.ledger.view().spendings]


def test_a_round_is_charged_before_it_reads_a_record_and_settled_after(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.train()
    assert world.trainer.charged_at_draw == [1]
    assert world.outcomes() == ["finished"]
    assert world.ledger.view().spendings[0].run == bytes(32).hex()


def test_a_round_that_is_tried_again_neither_trains_nor_is_charged_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.train()
    assert np.array_equal(world.train(), first)
    assert (world.trainer.draws, world.outcomes()) == (1, ["finished"])


def test_a_second_draw_of_noise_is_a_second_charge(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.trainer.dies = True
    with pytest.raises(Killed):
        world.train()
    world.trainer.dies = False
    world.train()
    assert world.trainer.charged_at_draw == [1, 2]
    assert world.outcomes() == [None, "finished"]
    world.train("bb" * 32)  # the same pass from another state is another release too
    assert world.trainer.charged_at_draw == [1, 2, 3]


def test_over_budget_no_record_is_read_and_what_is_left_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, budget=0.05)
    with pytest.raises(BudgetExhausted, match=r"0\.050 is left"):
        world.train()
    assert (world.trainer.draws, world.outcomes()) == (0, [])


def test_over_budget_nothing_is_announced_and_nothing_charged(tmp_path: Path) -> None:
    world = World(tmp_path, budget=0.05)
    with pytest.raises(BudgetExhausted, match=r"0\.050 is left"):
        world.take_part()  # the site has no coordinator: any call to one would fail otherwise
    assert world.outcomes() == []
    assert world.logged == [{"type": "ledger.exhausted", "round": 7}]


def test_what_is_trained_already_is_sent_though_nothing_is_left(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.train()
    set_budget(world.ledger._file.path, 0.01)
    with pytest.raises(AttributeError, match="coordinator"):
        world.take_part()
    with pytest.raises(BudgetExhausted):
        world.take_part("bb" * 32)


def test_a_charge_is_logged_with_the_head_of_the_ledger(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.train()
    reserved, settled = world.logged
    assert (reserved["type"], reserved["round"], reserved["ledger_entries"]) == (
        "ledger.reserved", 7, 2,
    )  # fmt: skip
    assert (settled["type"], settled["ledger_entries"]) == ("ledger.settled", 3)
    assert settled["ledger_hash"] == world.ledger.head.chain != reserved["ledger_hash"]
    check_event(reserved)
    check_event(settled)


def test_a_pass_without_training_costs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.site.private.save(1, {})
    applied = Applied("00" * 32, 1, 1, "", "aa" * 32, "00" * 32)
    site_round._train(world.site, 7, applied, BASE, site_round._Measured())
    assert world.outcomes() == []
