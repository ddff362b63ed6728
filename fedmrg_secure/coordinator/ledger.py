"""What the coordinator knows of a session, as one frozen value, and its only way to change.

A change is committed to the database first and seen by others afterwards. Its audit events are
committed with it and appended to the log next; they are numbered by their place in the log, so that
a coordinator killed in between appends exactly the missing ones when it starts again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection

from fedmrg_secure.coordinator.errors import no_room_is_full
from fedmrg_secure.core.canonical import JsonValue
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.phases import SessionPhase
from fedmrg_secure.protocol.state import RoundState

Event = Mapping[str, JsonValue]


class EventLog(Protocol):
    """The tamper-evident log (`audit_log.AuditLog`); nobody else appends to it."""

    @property
    def size(self) -> int:
        """Entries so far."""
        ...

    def append(self, event: Event) -> int:
        """Append durably; returns the entry's number."""
        ...


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """A site that has accepted the session."""

    weight: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class ClosedRound:
    """A round that led to a model."""

    number: int
    model_hash: bytes
    transcript: bytes


@dataclass(frozen=True, slots=True)
class KeyEpoch:
    """One shared key of the federation, of which the coordinator sees sealed copies only."""

    number: int
    maker: str
    first_round: int
    recipients: tuple[str, ...]
    roster_hash: str
    published: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The whole session at one moment."""

    phase: SessionPhase
    reason: str
    roster_hash: str
    sites: Mapping[str, SiteRecord] = field(default_factory=dict)
    round: RoundState | None = None
    closed: tuple[ClosedRound, ...] = ()
    keys: KeyEpoch | None = None

    @property
    def ended(self) -> bool:
        """Finished or failed."""
        return self.phase in (SessionPhase.FINISHED, SessionPhase.FAILED)


class Database(Protocol):
    """What `Ledger` needs of `store.Store`."""

    def load(self) -> LedgerState: ...

    def write(
        self,
        old: LedgerState,
        new: LedgerState,
        events: tuple[Event, ...],
        keep: Envelope | None,
        also: Callable[[Connection], None] | None,
    ) -> None: ...

    def events_from(self, position: int) -> list[Event]: ...


class Ledger:
    """The session's current state and the way to change it.

    Hold `lock` from reading `state` to `commit`, so that nothing changes in between.
    """

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database = database
        self._log = log
        self.lock = threading.RLock()
        self.changed = threading.Event()
        """set by every commit; the conductor waits for it and clears it"""
        self.state = database.load()
        self.flush_events()

    def commit(
        self,
        new: LedgerState,
        *events: Event,
        keep: Envelope | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> None:
        """Make `new` the state, durably; on any error nothing has changed.

        Args:
            events: what the log will say of it.
            keep: the signed message that caused it: evidence.
            also: further writes of the same transaction.

        Raises:
            CoordinatorFull: there is no room to write.
        """
        with self.lock:
            with no_room_is_full():
                self._database.write(self.state, new, events, keep, also)
            self.state = new
            self.changed.set()
            self.flush_events()

    def flush_events(self) -> None:
        """Append to the log what is committed and not in it yet.

        Raises:
            CoordinatorFull: there is no room; a later call appends it.
        """
        with self.lock, no_room_is_full():
            for event in self._database.events_from(self._log.size):
                self._log.append(event)
