"""The database gives back what was committed, and its migrations make its tables."""

import itertools
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from fedmrg_secure.coordinator.errors import FolderUnfit
from fedmrg_secure.coordinator.ledger import ClosedRound, KeyEpoch, Ledger, LedgerState, SiteRecord
from fedmrg_secure.coordinator.shares import Deposit, Kind, put_deposit
from fedmrg_secure.coordinator.store import (
    Store,
    add_sealed_key,
    add_upload,
    drop_aggregate,
    set_aggregate,
)
from fedmrg_secure.coordinator.tables import METADATA
from fedmrg_secure.core.merkle import merkle_root
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from tests.protocol.test_state import (
    BASE,
    MODEL,
    PLAN_HASH,
    make_plan,
    nonce_of,
    root_of,
    uploading,
)

SESSION, ROSTER = b"\7" * 32, "ab" * 32


class ListLog:
    """A log that can fail."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.broken = False

    @property
    def size(self) -> int:
        return len(self.entries)

    def append(self, event: object) -> int:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.entries.append(event)
        return len(self.entries) - 1


def open_store(tmp_path: Path, session: bytes = SESSION) -> Store:
    return Store(f"sqlite:///{tmp_path / 'coordinator.db'}", session, ROSTER)


def test_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2


def story() -> list[LedgerState]:
    """A session state by state, as the coordinator commits them."""
    sites = {"alpha": SiteRecord(1), "beta": SiteRecord(5, lost=True)}
    keys = KeyEpoch(1, "alpha", 1, ("alpha", "beta"), ROSTER)
    states = [LedgerState(SessionPhase.JOINING, "", ROSTER)]

    def then(**changes: object) -> None:
        states.append(replace(states[-1], **changes))

    then(sites=sites)
    then(phase=SessionPhase.RUNNING)
    then(round=s.RoundState(1, RoundPhase.ANNOUNCING, BASE))
    for site in ("alpha", "beta"):
        then(round=s.announce(states[-1].round, site, nonce_of(site), BASE))
    then(round=uploading("alpha", "beta"), keys=keys)
    for site in ("alpha", "beta"):
        then(round=s.complete_upload(states[-1].round, site, root_of(site)))
    then(round=s.fix_included(states[-1].round, ("alpha", "beta")))
    then(round=s.publish(states[-1].round))
    then(round=s.acknowledge(states[-1].round, "alpha", PLAN_HASH, MODEL))
    closed = ClosedRound(1, MODEL, b"\5" * 32)
    then(round=s.close(states[-1].round, MODEL), closed=(closed,))
    then(round=s.RoundState(2, RoundPhase.ANNOUNCING, MODEL))
    then(round=s.abort(states[-1].round, "nobody came"))
    then(keys=replace(keys, number=2, first_round=2))
    then(phase=SessionPhase.FAILED, reason="too few", roster_hash="cd" * 32)
    return states


def test_every_state_is_what_a_restart_finds(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    states = story()
    assert store.load() == states[0]
    for old, new in itertools.pairwise(states):
        store.write(old, new, (), None, None)
        store.close()
        store = open_store(tmp_path)
        assert store.load() == new


def certified_story() -> list[LedgerState]:
    """A round whose sites make keys of their own, state by state, until it is given up."""
    sites = ("alpha", "beta", "gamma")
    current = s.RoundState(1, RoundPhase.ANNOUNCING, BASE)
    for site in sites:
        current = s.announce(current, site, nonce_of(site), BASE)
    rounds = [current, make_plan(current, sites, round_keys=True)]
    for site in sites:
        commitment = s.Commitment(root_of(site), nonce_of(site))
        rounds.append(s.commit(rounds[-1], site, PLAN_HASH, commitment))
    rounds.append(s.certify(rounds[-1], sites[:2]))
    for site in ("gamma", "beta"):
        rounds.append(s.sign_cohort(rounds[-1], site, BASE, BASE))
    rounds.append(s.open_uploads(rounds[-1]))
    for site in sites[:2]:
        rounds.append(s.complete_upload(rounds[-1], site, root_of(site)))
    rounds.append(s.fix_included(rounds[-1], sites[:2]))
    for site in ("gamma", "alpha"):
        rounds.append(s.sign_inclusion(rounds[-1], site, BASE, BASE))
    rounds.append(s.start_adding(rounds[-1]))
    rounds.append(s.publish_share_sum(rounds[-1], "gamma", BASE, BASE))
    rounds.append(s.publish(rounds[-1]))
    rounds.append(s.publish_share_sum(rounds[-1], "beta", BASE, BASE))
    rounds.append(s.abort(rounds[-1], "share sums are missing"))
    first = LedgerState(SessionPhase.JOINING, "", ROSTER)
    return [first, *(replace(first, round=one) for one in rounds)]


def test_every_state_of_a_certified_round_is_what_a_restart_finds(tmp_path: Path) -> None:
    store, states = open_store(tmp_path), certified_story()
    for old, new in itertools.pairwise(states):
        store.write(old, new, (), None, None)
        store.close()
        store = open_store(tmp_path)
        assert store.load() == new
        assert store.round(1) == new.round
    assert store.round(2) is None


def test_a_database_of_the_first_release_is_brought_up_and_keeps_its_rounds(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.db"
    store, states = open_store(tmp_path), story()
    for old, new in itertools.pairwise(states):
        store.write(old, new, (), None, None)
    store.close()
    with sqlite3.connect(path) as database:  # as the first release left it
        for table in ("holder", "deposit", "snapshot", "snapshot_chunk"):
            database.execute(f"DROP TABLE {table}")
        database.execute("DROP INDEX envelope_type")
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    assert open_store(tmp_path).load() == states[-1]


def test_deposits_are_kept_by_sender_and_go_when_they_are_not_needed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    states = certified_story()
    old = states[0]

    def put(number: int, kind: Kind, sender: str, word: str) -> Deposit:
        blob = f"{word} {kind.name} {number} {sender}".encode().hex()
        deposit = Deposit(blob, b"\1" * 32, 2, 50)
        store.write(old, old, (), None, put_deposit(number, kind, sender, deposit))
        return deposit

    for number in (1, 2):
        for kind in Kind:
            for sender in ("alpha", "beta"):
                put(number, kind, sender, "first")
    again = put(1, Kind.SHARE, "alpha", "again")
    found = store.deposits(1, Kind.SHARE)
    assert found.keys() == {"alpha", "beta"}
    assert found["alpha"] == again
    assert len(store.blobs()) == 8
    assert again.blob in store.blobs()
    store.drop_uploads("*aggregate", open_round=2)
    assert not store.deposits(1, Kind.SHARE)
    assert len(store.deposits(2, Kind.SHARE)) == 2
    assert len(store.deposits(1, Kind.SHARE_SUM)) == 2, "kept for those who come late"
    store.write(old, states[-1], (), None, None)  # round 1 is aborted
    store.drop_uploads("*aggregate", open_round=None)
    assert not store.deposits(1, Kind.SHARE_SUM)
    assert not store.deposits(2, Kind.SHARE)
    assert len(store.deposits(2, Kind.SHARE_SUM)) == 2


def test_an_aborted_round_has_no_sum(tmp_path: Path) -> None:
    store, states = open_store(tmp_path), certified_story()
    leaves = (b"\1" * 32,)
    included = (m.IncludedSite("alpha", 1, root_of("alpha")),)
    info = m.AggregateInfo(1, PLAN_HASH, included, leaves, merkle_root(leaves), 9, 0, "", BASE)
    store.write(states[0], states[-2], (), None, set_aggregate(info))
    store.add_chunk(1, "*aggregate", 0, "sum")
    assert store.aggregate(1) == info
    store.write(states[-2], states[-1], (), None, drop_aggregate(1))
    assert store.aggregate(1) is None
    assert store.blobs() == set()


def test_a_failed_commit_changes_nothing(tmp_path: Path) -> None:
    log = ListLog()
    ledger = Ledger(open_store(tmp_path), log)
    before = ledger.state

    def fail(_: object) -> None:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        ledger.commit(
            replace(before, phase=SessionPhase.RUNNING), {"type": "process.started"}, also=fail
        )
    assert ledger.state == before == open_store(tmp_path).load()
    assert not log.entries


def test_events_that_a_kill_kept_from_the_log_are_appended_once_later(tmp_path: Path) -> None:
    log = ListLog()
    ledger = Ledger(open_store(tmp_path), log)
    ledger.commit(ledger.state, {"type": "process.started"})
    log.broken = True
    with pytest.raises(Exception, match="full"):
        ledger.commit(
            replace(ledger.state, phase=SessionPhase.RUNNING), {"type": "site.lost", "site": "a"}
        )
    assert ledger.state.phase is SessionPhase.RUNNING, "what is committed is in force"
    log.broken = False
    assert Ledger(open_store(tmp_path), log).state == ledger.state
    Ledger(open_store(tmp_path), log)
    assert log.entries == [{"type": "process.started"}, {"type": "site.lost", "site": "a"}]


def test_uploads_keys_sums_and_chunks(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    leaves = (b"\1" * 32, b"\2" * 32)
    manifest = m.UploadManifest(PLAN_HASH, leaves, merkle_root(leaves), 10)
    info = m.AggregateInfo(
        1,
        PLAN_HASH,
        (m.IncludedSite("alpha", 1, root_of("alpha")),),
        leaves,
        merkle_root(leaves),
        10,
        1,
        "alpha",
        b"",
    )
    state = story()[3]
    store.write(store.load(), state, (), None, add_upload(1, "alpha", manifest))
    store.write(state, state, (), None, add_sealed_key(1, "beta", b"sealed"))
    store.write(state, state, (), None, set_aggregate(info))
    assert store.upload_manifest(1, "alpha") == manifest
    assert store.upload_manifest(2, "alpha") is None
    assert store.sealed_key(1, "beta") == b"sealed"
    assert store.sealed_key(1, "alpha") is None
    assert store.aggregate(1) == info
    assert store.aggregate(2) is None
    for number, party, index in ((1, "alpha", 1), (1, "alpha", 0), (1, "alpha", 1), (2, "b", 0)):
        store.add_chunk(number, party, index, f"blob-{party}-{index}")
    store.add_chunk(1, "*aggregate", 0, "sum")
    assert store.chunks(1, "alpha") == {0: "blob-alpha-0", 1: "blob-alpha-1"}
    store.drop_uploads("*aggregate", open_round=2)
    assert store.blobs() == {"sum", "blob-b-0"}
    store.drop_uploads("*aggregate", open_round=None)
    assert store.blobs() == {"sum"}


def test_a_database_belongs_to_one_session(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with pytest.raises(FolderUnfit):
        open_store(tmp_path, session=b"\x08" * 32)
