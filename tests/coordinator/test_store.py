"""The database gives back what was committed, and its migrations make its tables."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from fedmrg_secure.coordinator.errors import FolderUnfit
from fedmrg_secure.coordinator.ledger import ClosedRound, KeyEpoch, Ledger, LedgerState, SiteRecord
from fedmrg_secure.coordinator.store import Store, add_sealed_key, add_upload, set_aggregate
from fedmrg_secure.coordinator.tables import METADATA
from fedmrg_secure.core.merkle import merkle_root
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from tests.protocol.test_state import BASE, MODEL, PLAN_HASH, nonce_of, root_of, uploading

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
