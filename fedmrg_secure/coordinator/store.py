"""The session's state in a database: SQLite (WAL) in the coordinator's folder, or any URL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    Connection,
    Engine,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)

from fedmrg_secure.coordinator import tables as t
from fedmrg_secure.coordinator.errors import FolderUnfit, no_room_is_full
from fedmrg_secure.coordinator.ledger import (
    ClosedRound,
    Event,
    KeyEpoch,
    LedgerState,
    SiteRecord,
)
from fedmrg_secure.coordinator.round_rows import load_round, write_round
from fedmrg_secure.coordinator.shares import Deposit, Kind, deposits, drop_shares
from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.protocol.codec import MessageType, decode_as, encode_message
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.messages import AggregateInfo, UploadManifest
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.state import RoundState

T = TypeVar("T")


class Store:
    """One session's database.

    Args:
        url: an SQLAlchemy URL, such as ``sqlite:////folder/coordinator.db``.
        session_id: the session it must hold; a new database is given to it.
        roster_hash: of the roster in force when the database is new, hex.

    Raises:
        FolderUnfit: the database holds another session.
    """

    def __init__(self, url: str, session_id: bytes, roster_hash: str) -> None:
        self._engine = _open(url)
        self._session_id = session_id
        with no_room_is_full(), self._engine.begin() as tx:
            _migrate(tx)
            found = tx.execute(select(t.SESSION.c.session_id)).scalars().all()
            if not found:
                tx.execute(
                    insert(t.SESSION).values(
                        session_id=session_id,
                        phase=int(SessionPhase.JOINING),
                        reason="",
                        roster_hash=roster_hash,
                    )
                )
            elif found != [session_id]:
                raise FolderUnfit(
                    "the database holds another session than session.json",
                    hint="give every session a folder of its own",
                )

    def close(self) -> None:
        """Close every connection; SQLite folds its write-ahead log in."""
        self._engine.dispose()

    def load(self) -> LedgerState:
        """The whole state as last committed."""
        with self._engine.connect() as tx:
            session = tx.execute(select(t.SESSION)).one()
            sites = {
                row.name: SiteRecord(row.weight, row.lost) for row in tx.execute(select(t.SITE))
            }
            closed = tx.execute(
                select(t.ROUND)
                .where(t.ROUND.c.phase == int(RoundPhase.CLOSED))
                .order_by(t.ROUND.c.number)
            )
            return LedgerState(
                phase=SessionPhase(session.phase),
                reason=session.reason,
                roster_hash=session.roster_hash,
                sites=sites,
                round=load_round(tx),
                closed=tuple(
                    ClosedRound(row.number, row.model_hash, row.transcript) for row in closed
                ),
                keys=_load_keys(tx),
            )

    def write(
        self,
        old: LedgerState,
        new: LedgerState,
        events: tuple[Event, ...],
        keep: Envelope | None,
        also: Callable[[Connection], None] | None,
    ) -> None:
        """Commit the difference between two states, events and evidence in one transaction."""
        with self._engine.begin() as tx:
            _write_session(tx, old, new)
            if new.round is not None and new.round != old.round:
                write_round(tx, old.round, new.round)
            for closed in new.closed[len(old.closed) :]:
                tx.execute(
                    update(t.ROUND)
                    .where(t.ROUND.c.number == closed.number)
                    .values(transcript=closed.transcript)
                )
            if new.keys is not None and (old.keys is None or new.keys.number != old.keys.number):
                _insert_keys(tx, new.keys)
            if keep is not None:
                _keep(tx, keep)
            if also is not None:
                also(tx)
            if events:
                first = tx.execute(select(func.count()).select_from(t.EVENT)).scalar_one()
                rows = [
                    {"position": first + i, "body": canonical_json(event).decode()}
                    for i, event in enumerate(events)
                ]
                tx.execute(insert(t.EVENT), rows)

    def events_from(self, position: int) -> list[Event]:
        """Audit events whose place in the log is `position` or later, in order."""
        with self._engine.connect() as tx:
            rows = tx.execute(
                select(t.EVENT.c.body)
                .where(t.EVENT.c.position >= position)
                .order_by(t.EVENT.c.position)
            ).scalars()
            return [json.loads(body) for body in rows]

    def read(self, query: Callable[[Connection], T]) -> T:
        """What a query of a module that keeps its own tables gives."""
        with self._engine.connect() as tx:
            return query(tx)

    def change(self, write: Callable[[Connection], None]) -> None:
        """A write of such a module, in a transaction of its own, without an event."""
        with no_room_is_full(), self._engine.begin() as tx:
            write(tx)

    def upload_manifest(self, round_number: int, site: str) -> UploadManifest | None:
        """The manifest that a site has signed for its upload of a round."""
        with self._engine.connect() as tx:
            data = tx.execute(
                select(t.UPLOAD.c.manifest).where(
                    t.UPLOAD.c.round == round_number, t.UPLOAD.c.site == site
                )
            ).scalar_one_or_none()
        return decode_as(UploadManifest, data) if data else None

    def chunks(self, round_number: int, party: str) -> dict[int, str]:
        """Blob names of a party's stored chunks by index, ascending."""
        with self._engine.connect() as tx:
            rows = tx.execute(
                select(t.CHUNK.c.index, t.CHUNK.c.blob)
                .where(t.CHUNK.c.round == round_number, t.CHUNK.c.party == party)
                .order_by(t.CHUNK.c.index)
            )
            return {int(row[0]): str(row[1]) for row in rows}

    def add_chunk(self, round_number: int, party: str, index: int, blob: str) -> None:
        """Record a stored chunk; a second time changes nothing."""
        self.add_chunks(round_number, party, {index: blob})

    def add_chunks(self, round_number: int, party: str, blobs: Mapping[int, str]) -> None:
        """Record stored chunks by index in one transaction; known ones stay as they are."""
        with no_room_is_full(), self._engine.begin() as tx:
            known = tx.execute(
                select(t.CHUNK.c.index).where(
                    t.CHUNK.c.round == round_number,
                    t.CHUNK.c.party == party,
                    t.CHUNK.c.index.in_(list(blobs)),
                )
            ).scalars()
            fresh = blobs.keys() - set(known)
            rows = [
                {"round": round_number, "party": party, "index": index, "blob": blobs[index]}
                for index in sorted(fresh)
            ]
            if rows:
                tx.execute(insert(t.CHUNK), rows)

    def drop_uploads(self, keep_party: str, open_round: int | None) -> None:
        """Forget all chunks and shares but those of `keep_party` and those of the open round."""
        uploads = t.CHUNK.c.party != keep_party
        if open_round is not None:
            uploads = and_(uploads, t.CHUNK.c.round != open_round)
        with no_room_is_full(), self._engine.begin() as tx:
            tx.execute(delete(t.CHUNK).where(uploads))
            drop_shares(tx, open_round)

    def blobs(self) -> set[str]:
        """Names of all blobs that a chunk or a deposit refers to."""
        with self._engine.connect() as tx:
            chunks = tx.execute(select(t.CHUNK.c.blob)).scalars()
            return {*chunks, *tx.execute(select(t.DEPOSIT.c.blob)).scalars()}

    def aggregate(self, round_number: int) -> AggregateInfo | None:
        """The published sum of a round."""
        with self._engine.connect() as tx:
            data = tx.execute(
                select(t.ROUND.c.aggregate).where(t.ROUND.c.number == round_number)
            ).scalar_one_or_none()
        return decode_as(AggregateInfo, data) if data else None

    def round(self, number: int) -> RoundState | None:
        """A round's state as last committed, however long ago."""
        with self._engine.connect() as tx:
            return load_round(tx, number)

    def envelopes(self, round_number: int, kind: MessageType) -> dict[str, bytes]:
        """The signed messages of one type that are kept of a round, byte for byte, by sender."""
        with self._engine.connect() as tx:
            rows = tx.execute(
                select(t.ENVELOPE.c.sender, t.ENVELOPE.c.envelope).where(
                    t.ENVELOPE.c.round == round_number, t.ENVELOPE.c.type == int(kind)
                )
            )
            return {str(row[0]): bytes(row[1]) for row in rows}

    def deposits(
        self, round_number: int, kind: Kind, sender: str | None = None
    ) -> dict[str, Deposit]:
        """See `shares.deposits`."""
        with self._engine.connect() as tx:
            return deposits(tx, round_number, kind, sender)

    def has_deposit(self, blob: str) -> bool:
        """Whether a deposit is in this blob."""
        with self._engine.connect() as tx:
            query = select(t.DEPOSIT.c.blob).where(t.DEPOSIT.c.blob == blob).limit(1)
            return tx.execute(query).first() is not None

    def sealed_key(self, epoch: int, recipient: str) -> bytes | None:
        """The maker's envelope with the epoch's key for `recipient`."""
        with self._engine.connect() as tx:
            return tx.execute(
                select(t.SEALED_KEY.c.envelope).where(
                    t.SEALED_KEY.c.epoch == epoch, t.SEALED_KEY.c.recipient == recipient
                )
            ).scalar_one_or_none()


def add_upload(
    round_number: int, site: str, manifest: UploadManifest
) -> Callable[[Connection], None]:
    """The write that records a site's upload manifest."""
    return lambda tx: _execute(
        tx,
        insert(t.UPLOAD).values(round=round_number, site=site, manifest=encode_message(manifest)),
    )


def add_sealed_key(epoch: int, recipient: str, envelope: bytes) -> Callable[[Connection], None]:
    """The write that records a sealed key."""
    return lambda tx: _execute(
        tx, insert(t.SEALED_KEY).values(epoch=epoch, recipient=recipient, envelope=envelope)
    )


def set_aggregate(info: AggregateInfo) -> Callable[[Connection], None]:
    """The write that publishes a round's sum."""
    return lambda tx: _execute(
        tx,
        update(t.ROUND)
        .where(t.ROUND.c.number == info.round)
        .values(aggregate=encode_message(info)),
    )


def drop_aggregate(round_number: int) -> Callable[[Connection], None]:
    """The write that takes back what was added and published of a round."""

    def write(tx: Connection) -> None:
        tx.execute(delete(t.CHUNK).where(t.CHUNK.c.round == round_number))
        tx.execute(update(t.ROUND).where(t.ROUND.c.number == round_number).values(aggregate=b""))

    return write


def _execute(tx: Connection, statement: Any) -> None:
    tx.execute(statement)


def _open(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # durable before the reply
            connection.execute("PRAGMA busy_timeout = 10000")

    return engine


def _migrate(tx: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def _load_keys(tx: Connection) -> KeyEpoch | None:
    row = tx.execute(
        select(t.KEY_EPOCH).order_by(t.KEY_EPOCH.c.epoch.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return None
    published = tx.execute(
        select(t.SEALED_KEY.c.recipient).where(t.SEALED_KEY.c.epoch == row.epoch)
    ).scalars()
    return KeyEpoch(
        row.epoch,
        row.maker,
        row.first_round,
        tuple(row.recipients.split()),
        row.roster_hash,
        frozenset(published),
    )


def _write_session(tx: Connection, old: LedgerState, new: LedgerState) -> None:
    if replace(old, sites={}, round=None, closed=(), keys=None) != replace(
        new, sites={}, round=None, closed=(), keys=None
    ):
        tx.execute(
            update(t.SESSION).values(
                phase=int(new.phase), reason=new.reason, roster_hash=new.roster_hash
            )
        )
    for name, record in new.sites.items():
        if record != old.sites.get(name):
            tx.execute(delete(t.SITE).where(t.SITE.c.name == name))
            tx.execute(insert(t.SITE).values(name=name, weight=record.weight, lost=record.lost))


def _insert_keys(tx: Connection, keys: KeyEpoch) -> None:
    tx.execute(
        insert(t.KEY_EPOCH).values(
            epoch=keys.number,
            maker=keys.maker,
            first_round=keys.first_round,
            recipients=" ".join(keys.recipients),
            roster_hash=keys.roster_hash,
        )
    )


def _keep(tx: Connection, envelope: Envelope) -> None:
    digest = envelope.digest.hex()
    if tx.execute(select(t.ENVELOPE.c.digest).where(t.ENVELOPE.c.digest == digest)).first():
        return
    tx.execute(
        insert(t.ENVELOPE).values(
            digest=digest,
            round=envelope.round,
            sender=envelope.sender,
            type=int(envelope.type),
            envelope=envelope.to_bytes(),
        )
    )
