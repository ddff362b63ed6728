"""Sealed keys through the coordinator: who may publish, what stands, when a new one is due."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fedmrg_secure.protocol.errors import Conflict, NotPermitted, WrongPhase
from fedmrg_secure.protocol.messages import SessionStatus
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from tests.coordinator.drills import SITES, Federation, make_federation
from tests.coordinator.test_refusals import wait_for

SEALED = {site: f"sealed for {site}".encode() for site in SITES}


@contextmanager
def planned(
    federation: Federation,
) -> Iterator[tuple[dict[str, CoordinatorClient], SessionStatus]]:
    """All sites in a round that has its plan."""
    with federation.serving(farewell_s=0), ExitStack() as stack:
        clients = {
            site: stack.enter_context(federation.client(site, patience_s=5)) for site in SITES
        }
        for client in clients.values():
            client.accept_session(1)
        status = wait_for(clients["alpha"], RoundPhase.ANNOUNCING)
        base = bytes.fromhex(federation.manifest.initial_state_hash)
        for client in clients.values():
            client.announce(status.round, os.urandom(32), base)
        yield clients, wait_for(clients["alpha"], RoundPhase.UPLOADING)


def test_a_key_reaches_each_site_from_its_maker(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, shared_key=True)
    with planned(federation) as (clients, status):
        assert status.plan is not None
        maker = status.plan.key_maker
        other = next(site for site in SITES if site != maker)
        assert (status.plan.key_epoch, status.key_available) == (1, False)
        assert clients[other].fetch_key(1, maker) is None

        with pytest.raises(NotPermitted, match=f"{maker} makes the key"):
            clients[other].publish_key(1, 1, SEALED)
        with pytest.raises(WrongPhase):
            clients[maker].publish_key(1, 2, SEALED)
        with pytest.raises(NotPermitted, match="gets no key"):
            clients[maker].publish_key(1, 1, {"stranger": b"sealed"})

        clients[maker].publish_key(1, 1, SEALED)
        clients[maker].publish_key(1, 1, SEALED)  # after a lost reply
        with pytest.raises(Conflict):
            clients[maker].publish_key(1, 1, {other: b"another key"})
        for site, client in clients.items():
            assert client.fetch_key(1, maker) == SEALED[site]
            assert client.get_status().key_available
    # A coordinator that starts again still has them, byte for byte.
    with federation.serving(farewell_s=0), federation.client(other) as client:
        assert client.fetch_key(1, maker) == SEALED[other]


def test_a_maker_that_is_lost_before_it_published_aborts_the_round(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, shared_key=True, site_timeout_ms=700)
    with planned(federation) as (clients, status):
        assert status.plan is not None
        maker = status.plan.key_maker
        others = [site for site in SITES if site != maker]
        for _ in range(200):
            states = [clients[site].get_status() for site in others]
            if states[0].round == 2:
                break
            time.sleep(0.05)
        assert states[0].round == 2
        base = bytes.fromhex(federation.manifest.initial_state_hash)
        for site in others:
            clients[site].announce(2, os.urandom(32), base)
        plan = wait_for(clients[others[0]], RoundPhase.UPLOADING).plan
        assert plan is not None
        assert plan.sites == tuple(others)
        assert plan.key_epoch == 2
        assert plan.key_maker in others
    aborted = [event for event in federation.events if event.get("phase") == "ABORTED"]
    assert aborted[0]["reason"] == f"{maker} was lost before it published the key"
