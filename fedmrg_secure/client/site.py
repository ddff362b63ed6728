"""What a site's agent holds while it takes part in one session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fedmrg_secure.client.peer_ledgers import PeerLedgers
from fedmrg_secure.client.private_store import PrivateStore
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.signing_record import SigningRecord
from fedmrg_secure.client.state import SiteStore
from fedmrg_secure.core.canonical import JsonValue
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.privacy.ledger import Ledger
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.messages import SessionStatus
from fedmrg_secure.protocol.phases import SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.training.site_trainer import SiteTrainer
from fedmrg_secure.update.factorization import Factorization
from fedmrg_secure.update.fixed_point import FixedPoint

LogEvent = Callable[[Mapping[str, JsonValue]], Any]


class SessionFailed(FedmrgError):
    """The session has ended without success."""

    code: ClassVar[str] = "FMRG-6221"


@dataclass(frozen=True)
class Site:
    """One site in one session: values and tools, no behaviour of its own."""

    identity: PartyIdentity
    roster: Roster
    config: RunConfig
    manifest: SessionManifest
    coordinator: CoordinatorClient
    store: SiteStore
    private: PrivateStore
    signed: SigningRecord
    records: int
    """on which it trains"""
    trainer: SiteTrainer
    factorization: Factorization
    codec: FixedPoint
    parameters: SchemeParameters
    ledger: Ledger | None
    """of what its patients lose; None in a run without differential privacy"""
    peers: PeerLedgers | None
    """what it knows of the others' ledgers; None where it has none itself"""
    log: LogEvent
    progress: ProgressLines

    @property
    def name(self) -> str:
        """The site's party name."""
        return self.identity.name

    @property
    def session(self) -> bytes:
        """The session's identifier, 32 bytes."""
        return self.manifest.session_id

    @property
    def weight(self) -> int:
        """The weight this site declares: 1, or its number of training records, up to its cap."""
        if self.config.update.weighting == "uniform":
            return 1
        return min(self.records, self.manifest.weights[self.name])

    def status(self) -> SessionStatus:
        """How the session stands.

        Raises:
            SessionFailed: it has failed; the reason is the coordinator's.
        """
        status = self.coordinator.get_status()
        if status.session_phase is SessionPhase.FAILED:
            raise SessionFailed(
                f"the session has failed: {status.reason}",
                hint="the operator starts a new session, or goes on with --resume",
            )
        return status
