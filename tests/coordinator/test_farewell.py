"""An ended session is served until its live sites know of the end and have what it has led to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.protocol.errors import StateMismatch
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.phases import SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from tests.coordinator.drills import (
    SITES,
    DrillSite,
    Federation,
    Running,
    make_federation,
    run_all,
)


@contextmanager
def heartbeats(client: CoordinatorClient) -> Iterator[None]:
    """The site is alive for as long as this lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.1):
            client.heartbeat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def ended(
    root: Path, *, farewell_s: float, **terms: Any
) -> Iterator[tuple[Federation, Running, DrillSite, CoordinatorClient, list[DrillSite]]]:
    """A session of two rounds that gamma has accepted, but took no part in; it is alive."""
    federation = make_federation(root, round_deadline_ms=1500, **terms)
    *others, late = [DrillSite(federation, name, 10 + place) for place, name in enumerate(SITES)]
    with federation.serving(farewell_s=farewell_s) as running, federation.client("gamma") as client:
        client.accept_session(late.weight)
        with heartbeats(client):
            assert set(run_all(others).values()) == {SessionPhase.FINISHED}
            yield federation, running, late, client, others


def last_of(federation: Federation, client: CoordinatorClient) -> tuple[int, bytes]:
    status = client.get_status()
    assert status.plan is not None
    return status.round, plan_hash(federation.manifest.session_id, status.plan)


def test_a_live_site_that_is_behind_is_waited_for_until_it_has_acknowledged(tmp_path: Path) -> None:
    with ended(tmp_path, farewell_s=60) as (federation, running, late, client, others):
        assert client.get_status().session_phase is SessionPhase.FINISHED
        time.sleep(1.0)
        assert running.thread.is_alive(), "it was left alone with what it lacks"
        number, digest = last_of(federation, client)
        with pytest.raises(StateMismatch):
            client.acknowledge(number, digest, bytes(32))
        first = running.session.ledger.state.closed[0]
        client.acknowledge(first.number, digest, first.model_hash)
        time.sleep(0.5)
        assert running.thread.is_alive(), "it has not come to the last state yet"
        asked = time.monotonic()
        assert late.take_part(client) is SessionPhase.FINISHED
        assert running.wait() is None
        assert time.monotonic() - asked < 10
    assert late.state is not None
    assert others[0].state is not None
    np.testing.assert_array_equal(late.state, others[0].state)


def test_a_site_that_never_comes_to_the_last_state_is_waited_for_until_the_limit(
    tmp_path: Path,
) -> None:
    with ended(tmp_path, farewell_s=2.0) as (_, running, _, client, _):
        began = time.monotonic()
        assert client.get_status().session_phase is SessionPhase.FINISHED
        running.thread.join(15)
        assert not running.thread.is_alive()
        assert time.monotonic() - began > 1.0


def test_the_limit_begins_anew_with_every_piece_of_a_sum(tmp_path: Path) -> None:
    with ended(tmp_path, farewell_s=2.0) as (_, running, late, client, _):
        for _ in range(4):
            info = client.get_aggregate(client.get_status().closed_rounds[0])
            assert info is not None
            assert list(client.download(info))
            time.sleep(1.0)
        assert running.thread.is_alive()
        assert late.take_part(client) is SessionPhase.FINISHED
        assert running.wait() is None


def test_it_is_waited_for_by_a_coordinator_that_was_started_again(tmp_path: Path) -> None:
    with ended(tmp_path, farewell_s=60, site_timeout_ms=2000) as (federation, _, late, client, _):
        client.get_status()
    with federation.serving(farewell_s=60) as again, federation.client("gamma") as client:
        with heartbeats(client):
            assert client.get_status().session_phase is SessionPhase.FINISHED
            time.sleep(4.0)  # the others, which have left, are lost by now
            assert again.thread.is_alive()
            assert late.take_part(client) is SessionPhase.FINISHED
        assert again.wait() is None
