"""Whole sessions over real mutual TLS with real frames, the coordinator in a thread."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.audit_log.recompute import verify_log
from fedmrg_secure.coordinator.errors import SessionFailed
from fedmrg_secure.coordinator.store import Store
from fedmrg_secure.crypto.frame import AGGREGATE
from fedmrg_secure.protocol.errors import SessionEnded
from fedmrg_secure.protocol.phases import SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from tests.coordinator.drills import SITES, DrillSite, Federation, make_federation, run_all


def drill_sites(federation: Federation) -> list[DrillSite]:
    """One-hot by decimal digit: a lost or doubled upload shows in the sum."""
    return [DrillSite(federation, name, 10**place) for place, name in enumerate(SITES)]


def test_two_rounds_of_three_sites_end_with_one_exact_sum(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    sites = drill_sites(federation)
    with federation.serving() as coordinator:
        assert set(run_all(sites).values()) == {SessionPhase.FINISHED}
        assert coordinator.wait() is None
    for site in sites:
        assert np.array_equal(site.state, np.full(federation.manifest.value_count, 222))
        assert site.closed == [1, 2]


def test_weights_multiply_at_the_site_and_are_told_to_all(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, rounds=1)
    sites = drill_sites(federation)
    sites[2].weight = 7
    with federation.serving() as coordinator:
        run_all(sites)
        info = coordinator.session.store.aggregate(1)
    assert {entry.site: entry.weight for entry in info.included} == {
        "alpha": 1,
        "beta": 1,
        "gamma": 7,
    }
    assert info.total_weight == 9
    assert set(sites[0].state) == {711}


def test_after_the_end_only_sums_are_kept_and_the_log_tells_the_story(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    with federation.serving():
        run_all(drill_sites(federation))
    store = Store(
        f"sqlite:///{federation.coordinator / 'coordinator.db'}",
        federation.manifest.session_id,
        federation.manifest.roster_hash,
    )
    assert not any(store.chunks(number, site) for number in (1, 2) for site in SITES)
    kept = {*store.chunks(1, AGGREGATE).values(), *store.chunks(2, AGGREGATE).values()}
    on_disk = {path.name for path in (federation.coordinator / "blobs").glob("??/*")}
    assert on_disk == kept == store.blobs()
    store.close()
    kit = federation.kits["alpha"]
    log = verify_log(
        federation.coordinator / "log",
        "coordinator",
        "fedmrg/drill/coordinator",
        kit.roster.public_keys["coordinator"],
    )
    kinds = [event["type"] for event in log.events]
    assert kinds[:2] == ["session.created", "process.started"]
    assert kinds[-1] == "session.finished"
    for kind, count in (
        ("session.accepted", 3),
        ("round.announced", 6),
        ("round.planned", 2),
        ("upload.received", 6),
        ("round.aggregated", 2),
        ("round.acknowledged", 6),
        ("round.closed", 2),
    ):
        assert kinds.count(kind) == count, kind


def test_a_site_that_dies_is_dropped_and_the_round_goes_on(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, site_timeout_ms=700)
    sites = drill_sites(federation)

    def die(number: int) -> None:
        sites[2].stop.set()
        raise ConnectionError("killed")

    sites[2].before_upload = die
    with federation.serving() as coordinator:
        results = run_all(sites)
        assert coordinator.wait() is None
    assert isinstance(results["gamma"], ConnectionError)
    assert results["alpha"] is results["beta"] is SessionPhase.FINISHED
    assert set(sites[0].state) == {22}
    assert {"event": "site_lost", "site": "gamma"} in federation.events


def test_a_site_that_lost_everything_replays_the_sums_and_takes_part_again(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, rounds=40, site_timeout_ms=600)
    sites = drill_sites(federation)
    reborn = DrillSite(federation, "gamma", 100)

    def die(number: int) -> None:
        raise ConnectionError("killed")

    def linger(number: int) -> None:
        """The others take their time until the third is back, so that rounds are left for it."""
        if number > 1 and coordinator.session.ledger.state.sites["gamma"].lost:
            time.sleep(0.3)

    sites[2].before_upload = die
    sites[0].before_upload = linger
    with federation.serving() as coordinator:
        background = threading.Thread(target=lambda: results.update(run_all(sites)), daemon=True)
        results: dict[str, object] = {}
        background.start()
        deadline = time.monotonic() + 10
        while len(coordinator.session.ledger.state.closed) < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        results["reborn"] = reborn.run()
        background.join(20)
        assert coordinator.wait() is None
    assert results["reborn"] is SessionPhase.FINISHED
    assert np.array_equal(reborn.state, sites[0].state)
    assert reborn.closed == sites[0].closed


def test_below_min_sites_the_session_fails_and_says_who_is_gone(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, min_sites=3, site_timeout_ms=600)
    sites = drill_sites(federation)

    def die(number: int) -> None:
        raise ConnectionError("killed")

    sites[1].before_upload = die
    with federation.serving() as coordinator:
        results = run_all(sites)
        failure = coordinator.wait()
    assert results["alpha"] is results["gamma"] is SessionPhase.FAILED
    assert isinstance(failure, SessionFailed)
    assert "2 live sites are left, 3 are needed; lost: beta" in str(failure)
    assert federation.events[-1]["event"] == "failed"


def test_sites_that_do_not_come_are_named_when_the_deadline_has_passed(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, join_deadline_ms=300)
    with federation.serving(farewell_s=0.1) as coordinator, federation.client("beta") as client:
        client.accept_session(1)
        failure = coordinator.wait()
    assert "absent: alpha, gamma" in str(failure)


def test_sites_that_reach_different_models_fail_the_session_by_name(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, rounds=1)
    sites = drill_sites(federation)
    honest = sites[1].open
    sites[1].open = lambda client, info: honest(client, info) + 1  # type: ignore[method-assign]
    with federation.serving() as coordinator:
        results = run_all(sites)
        failure = coordinator.wait()
    assert set(results.values()) == {SessionPhase.FAILED}
    assert "sites disagree on the model after round 1" in str(failure)
    # Whoever acknowledges first and differs ends it: the third may not have spoken yet.
    assert str(failure).count(" reached ") == 2
    assert any(f"{names} reached" in str(failure) for names in ("alpha", "gamma", "alpha, gamma"))
    assert "beta reached" in str(failure)


class Leaving:
    """A site's client that lets the site stop once its acknowledgement is taken."""

    def __init__(self, site: DrillSite, client: CoordinatorClient) -> None:
        self._site, self._client = site, client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def acknowledge(self, *arguments: Any) -> None:
        self._client.acknowledge(*arguments)
        self._site.stop.set()


def test_nothing_is_taken_after_the_end(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, rounds=1)
    alpha, *others = drill_sites(federation)
    with federation.serving(farewell_s=60), federation.client("alpha") as client:
        results: dict[str, SessionPhase] = {}
        rest = threading.Thread(target=lambda: results.update(run_all(others)), daemon=True)
        rest.start()
        # alpha never fetches the end, so the coordinator still answers.
        assert alpha.take_part(Leaving(alpha, client)) is SessionPhase.RUNNING
        rest.join(30)
        assert set(results.values()) == {SessionPhase.FINISHED}
        with pytest.raises(SessionEnded, match="finished"):
            client.announce(2, bytes(32), bytes(32))
