"""Certified rounds over real mutual TLS, the coordinator in a thread or as a process to kill."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.audit_log.recompute import verify_log
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.errors import NotPermitted, WrongPhase, WrongRound
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from tests.coordinator.certified_drills import CertifiedSite, ask, make_certified, tell
from tests.coordinator.drills import Federation, run_all, wait_for
from tests.coordinator.test_process import Process, assert_log_is_whole, until

FOUR = ("alpha", "beta", "delta", "gamma")
KILLED_IN = ("COMMITTING", "CERTIFYING", "UPLOADING", "INCLUDING", "AGGREGATED")


def phases(federation: Federation) -> set[str]:
    """Where the first round stands in the database, and where it must have been before."""
    database = federation.coordinator / "coordinator.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT phase FROM round WHERE number = 1").fetchone()
    names = [*KILLED_IN[:-1], "AGGREGATING", "AGGREGATED"]
    reached = RoundPhase(row[0]).name if row else ""
    return set(names[: names.index(reached) + 1]) if reached in names else set()


def sites_of(federation: Federation) -> list[CertifiedSite]:
    return [CertifiedSite(federation, name, 10**place) for place, name in enumerate(FOUR)]


@pytest.mark.parametrize("rule", ["threshold", "unanimous"])
def test_two_rounds_of_four_sites_end_with_one_exact_sum(tmp_path: Path, rule: str) -> None:
    federation = make_certified(tmp_path, FOUR, certificate=rule)
    sites = sites_of(federation)
    with federation.serving() as coordinator:
        assert set(run_all(sites, 60).values()) == {SessionPhase.FINISHED}
        assert coordinator.wait() is None
    assert all(set(site.state) == {2222} for site in sites)
    assert all(site.closed == [1, 2] for site in sites)
    log = verify_log(
        federation.coordinator / "log",
        "coordinator",
        "fedmrg/drill/coordinator",
        federation.kits["alpha"].roster.public_keys["coordinator"],
    )
    kinds = [event["type"] for event in log.events]
    assert (kinds.count("round.committed"), kinds.count("round.closed")) == (8, 2)


def test_a_site_that_dies_between_commitment_and_upload_is_dropped(tmp_path: Path) -> None:
    federation = make_certified(tmp_path, FOUR, site_timeout_ms=1500)
    sites = sites_of(federation)

    def die(step: str, number: int) -> None:
        if step == "upload":
            raise ConnectionError("killed")

    sites[3].before = die
    with federation.serving() as coordinator:
        results = run_all(sites, 60)
        assert coordinator.wait() is None
    assert isinstance(results["gamma"], ConnectionError)
    assert set(sites[0].state) == {222}


def test_who_lost_everything_opens_all_past_sums_and_takes_part_again(tmp_path: Path) -> None:
    federation = make_certified(tmp_path, FOUR, rounds=3, site_timeout_ms=1500)
    sites = sites_of(federation)
    reborn = CertifiedSite(federation, "gamma", 1000)

    def die(step: str, number: int) -> None:
        if step == "sign cohort":
            raise ConnectionError("killed")

    sites[3].before = die
    results: dict[str, Any] = {}
    with federation.serving() as coordinator:
        work = threading.Thread(target=lambda: results.update(run_all(sites, 60)), daemon=True)
        work.start()
        until(lambda: len(coordinator.session.ledger.state.closed) >= 1, 40)
        assert reborn.run() is SessionPhase.FINISHED
        work.join(60)
        assert coordinator.wait() is None
    assert reborn.closed == [1, 2, 3]
    assert set(reborn.state) == set(sites[0].state)


@pytest.mark.slow
def test_killed_in_every_phase_the_coordinator_goes_on_with_what_it_promised(
    tmp_path: Path,
) -> None:
    federation = make_certified(
        tmp_path, FOUR, rounds=1, site_timeout_ms=120_000, round_deadline_ms=600_000
    )
    sites = sites_of(federation)
    gates = {step: threading.Event() for step in ("commit", "sign cohort", "upload")}
    gates |= {step: threading.Event() for step in ("sign inclusion", "share sums")}

    def hold(step: str, number: int) -> None:
        if step in gates:
            assert gates[step].wait(240)

    sites[0].before = hold
    process = Process(federation)
    results: dict[str, Any] = {}
    work = threading.Thread(target=lambda: results.update(run_all(sites, 250)), daemon=True)
    work.start()
    for name, gate in zip(KILLED_IN, gates.values(), strict=True):
        until(lambda now=name: now in phases(federation), 90)
        process.kill()
        process = Process(federation)
        gate.set()
    work.join(250)
    assert set(results.values()) == {SessionPhase.FINISHED}
    assert process.end()[0] == 0
    assert all(set(site.state) == {1111} for site in sites)
    kinds = assert_log_is_whole(federation)
    assert kinds.count("process.started") == 1 + len(KILLED_IN)
    for kind, count in (("round.committed", 4), ("upload.received", 4), ("round.closed", 1)):
        assert kinds.count(kind) == count, json.dumps(kinds)


def test_refusals_reach_the_site_with_their_codes(tmp_path: Path) -> None:
    federation = make_certified(tmp_path, FOUR)
    hashes = bytes(32)
    with federation.serving(farewell_s=0), federation.client("alpha") as client:
        with pytest.raises(NotPermitted, match="has not accepted"):
            tell(client, 1, c.CoSignCohort(hashes))
        client.accept_session(1)
        with pytest.raises(WrongRound):
            tell(client, 1, c.CoSignCohort(hashes))
        for name in FOUR[1:]:
            with federation.client(name) as other:
                other.accept_session(1)
        wait_for(client, RoundPhase.ANNOUNCING)
        for message, reply in (
            (c.GetCohort(), c.CohortDelivery),
            (c.GetInclusion(), c.InclusionDelivery),
            (c.FetchShares(), c.SharesDelivery),
        ):
            with pytest.raises(WrongPhase):
                ask(client, 1, message, reply)
