"""A holder publishes a wrong share sum in a whole session of real agents and a real coordinator."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import round_keys, schemes, sum_keys
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, add_shares
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS as Q
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.update.fixed_point import FixedPoint
from tests.client.agents import World

NAMES = ("a", "b", "c", "d", "e")
LIAR, LATE = "c", "e"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """One holder lies; another publishes only when the rest could not open the sum without it."""
    could_not_open = threading.Semaphore(0)

    def add(shares: list[KeyShare]) -> KeyShare:
        total, name = add_shares(shares), threading.current_thread().name
        if name == LATE:
            for _ in NAMES[1:]:
                assert could_not_open.acquire(timeout=40)
        if name != LIAR:
            return total
        coefficients = (total.coefficients.astype(np.int64) + 1) % Q
        return KeyShare(total.holder, SecretPolynomial(coefficients.astype(np.uint32)))

    combine = sum_keys.combine

    def counted(*arguments: Any, **named: Any) -> Any:
        try:
            return combine(*arguments, **named)
        except Exception:
            could_not_open.release()
            raise

    monkeypatch.setattr(round_keys, "add_shares", add)
    monkeypatch.setattr(sum_keys, "combine", counted)
    return could_not_open


def test_the_round_closes_with_the_sum_and_every_log_names_the_holder(
    tmp_path: Path, refused: threading.Semaphore
) -> None:
    world = World(tmp_path, NAMES, rounds=1, site_timeout_s=5.0)
    assert world.federation.manifest.quorum.threshold(5) == 4
    with world.federation.serving() as coordinator:
        world.start(*NAMES)
        for agent in world.agents.values():
            agent.join(90)
            assert agent.error is None, (agent.name, agent.error)
        assert coordinator.wait() is None
    world.check_logs()

    codec = FixedPoint(world.config.update.clip_norm, world.config.update.precision_bits)
    parameters = SchemeParameters.from_json(world.federation.manifest.scheme_parameters)
    total = sum(codec.encode(agent.trainer.vector) for agent in world.agents.values())
    bound = parameters.sum_error_bound(5) * codec.step / 5 + 1e-7  # of the mean, in float32
    for agent in world.agents.values():
        state = agent.store.load_state(1)["update"]
        assert np.abs(state - total * codec.step / 5).max() <= bound
    assert len({agent.applied for agent in world.agents.values()}) == 1

    for agent in world.agents.values():
        (told,) = (event for event in agent.events() if event["type"].startswith("share_sums.w"))
        assert (told["round"], told["sites"]) == (1, [LIAR])
        (shown,) = (line for line in agent.lines if line["event"] == "share_sums_wrong")
        assert shown["sites"] == [LIAR]


def test_where_all_share_sums_agree_nothing_is_downloaded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(schemes, "last_residues", lambda *arguments: asked.append(arguments))
    world = World(tmp_path, NAMES, rounds=2, site_timeout_s=5.0)
    with world.federation.serving() as coordinator:
        world.start(*NAMES)
        for agent in world.agents.values():
            agent.join(90)
            assert agent.error is None, (agent.name, agent.error)
        assert coordinator.wait() is None
    assert asked == []
