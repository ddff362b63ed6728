"""What the coordinator holds while it runs one session: terms, state, storage, access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fedmrg_secure.coordinator.access import Access
from fedmrg_secure.coordinator.aggregate import site_header
from fedmrg_secure.coordinator.blobs import BlobFolder
from fedmrg_secure.coordinator.ledger import Ledger
from fedmrg_secure.coordinator.presence import Presence
from fedmrg_secure.coordinator.snapshot_desk import SnapshotDesk
from fedmrg_secure.coordinator.store import Store
from fedmrg_secure.crypto.frame import FrameHeader
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.protocol.errors import NotPermitted, SessionEnded, WrongRound
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.state import RoundState, check_round

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Session:
    """One session: values and tools.

    Attributes:
        report: told of every change of phase, for people and supervisors.
    """

    manifest: SessionManifest
    parameters: SchemeParameters
    ledger: Ledger
    store: Store
    blobs: BlobFolder
    snapshots: SnapshotDesk
    access: Access
    presence: Presence
    report: Report

    @cached_property
    def session_id(self) -> bytes:
        """The manifest's hash, 32 bytes."""
        return self.manifest.session_id

    @cached_property
    def chunk_count(self) -> int:
        """Chunks of every upload and of every sum."""
        return self.parameters.chunk_count(self.manifest.value_count)

    @property
    def state_hash(self) -> bytes:
        """Hash of the shared state that the closed rounds have led to, 32 bytes."""
        closed = self.ledger.state.closed
        return closed[-1].model_hash if closed else bytes.fromhex(self.manifest.initial_state_hash)

    def live(self) -> frozenset[str]:
        """Sites that have accepted, are not lost and not revoked."""
        sites = self.ledger.state.sites
        return self.access.in_good_standing([name for name in sites if not sites[name].lost])

    def awaited(self) -> frozenset[str]:
        """Sites that have accepted and may be starting again together with this process."""
        return self.access.in_good_standing(self.presence.awaited(self.ledger.state.sites))

    def header(self, round_number: int, site: str, index: int) -> FrameHeader:
        """What chunk `index` of a site's upload must be."""
        return site_header(
            self.parameters,
            self.session_id,
            round_number,
            site,
            index,
            self.manifest.value_count,
        )

    def upload_bytes(self, round_number: int, site: str) -> int:
        """Exact length of a site's upload, all frames together."""
        return sum(
            self.header(round_number, site, index).frame_bytes for index in range(self.chunk_count)
        )

    def heard(self, site: str) -> None:
        """A site has called: a lost one is back."""
        self.presence.heard(site)
        record = self.ledger.state.sites.get(site)
        if record is None or not record.lost:
            return
        with self.ledger.lock:
            state = self.ledger.state
            record = replace(state.sites[site], lost=False)
            self.ledger.commit(replace(state, sites={**state.sites, site: record}))
        self.report({"event": "site_back", "site": site})

    def adopt_roster(self, roster: Roster) -> None:
        """Put a newer roster into force: what it revokes is refused from the next message on.

        Raises:
            NotRegisteredHere: another federation's, or not newer.
        """
        with self.ledger.lock:
            self.access.replace(roster)
            self.ledger.commit(replace(self.ledger.state, roster_hash=roster.hash))
        self.report({"event": "roster", "epoch": roster.epoch})

    def require_member(self, site: str) -> None:
        """Return if a site may change the running session.

        Raises:
            SessionEnded: the session is over.
            NotPermitted: the site has not accepted the session.
        """
        self.require_running()
        self.require_accepted(site)

    def require_running(self) -> None:
        """Raise `SessionEnded` if the session is over."""
        state = self.ledger.state
        if state.ended:
            because = f": {state.reason}" if state.reason else ""
            raise SessionEnded(f"the session has {state.phase.name.lower()}{because}")

    def require_accepted(self, site: str) -> None:
        """Raise `NotPermitted` if the site has not accepted the session."""
        if site not in self.ledger.state.sites:
            raise NotPermitted(f"{site} has not accepted the session")

    def current_round(self, site: str, number: int) -> RoundState:
        """The latest round, for a member that means this one.

        Raises:
            SessionEnded, NotPermitted: see `require_member`.
            WrongRound: no round is open, or another one.
        """
        self.require_member(site)
        current = self.ledger.state.round
        if current is None:
            raise WrongRound("no round is open")
        check_round(current, number)
        return current
