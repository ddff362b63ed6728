"""A late site, once a file, as attacks on snapshots want it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fedmrg_secure.client.site import Site
from tests.attacks.snapshot_line import Attack
from tests.client.agents import HeldWorld, held_world


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HeldWorld, Site]]:
    with ExitStack() as stack:
        held = stack.enter_context(held_world(tmp_path_factory.mktemp("attacked")))
        yield held, stack.enter_context(held.late.joined())


@pytest.fixture
def attack(line: tuple[HeldWorld, Site]) -> Iterator[Attack]:
    held, site = line
    assert held.service is not None
    honest = dict(held.service._handlers)
    applied = site.store.applied()
    assert applied is not None
    assert applied.training_round == 0
    yield Attack(held, site, applied)
    held.service._handlers.update(honest)
    assert site.store.applied() == applied, "something was applied"
