"""Runs one session from its folder until it ends or the process is asked to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fedmrg_secure import __version__
from fedmrg_secure.coordinator.access import Access
from fedmrg_secure.coordinator.blobs import BlobFolder
from fedmrg_secure.coordinator.errors import NotRegisteredHere, SessionFailed
from fedmrg_secure.coordinator.folder import (
    BLOB_FOLDER,
    DATABASE_FILE,
    SNAPSHOT_FOLDER,
    read_manifest,
)
from fedmrg_secure.coordinator.ledger import Event, EventLog, Ledger
from fedmrg_secure.coordinator.presence import Presence
from fedmrg_secure.coordinator.rounds import conduct, forget_uploads
from fedmrg_secure.coordinator.service import CoordinatorService
from fedmrg_secure.coordinator.session import Report, Session
from fedmrg_secure.coordinator.snapshot_desk import SnapshotDesk
from fedmrg_secure.coordinator.store import Store
from fedmrg_secure.core.memory import keep_large_blocks_apart
from fedmrg_secure.crypto.errors import (
    FrameLengthWrong,
    FrameMismatch,
    FrameNotOurs,
    ResidueOutOfRange,
)
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.phases import SessionPhase
from fedmrg_secure.protocol.server import CALLS_PER_PARTY, Server

FRAME_ERRORS = (FrameLengthWrong, FrameNotOurs, FrameMismatch, ResidueOutOfRange)
"""What a site may be told of its own frame, code and all."""

_STOP_GRACE_S = 5.0
_MOST_WORKERS = 128


def open_session(folder: Path, roster: Roster, log: EventLog, report: Report) -> Session:
    """The session in `folder`, new or as it was when the last process ended.

    Raises:
        InvalidManifest: session.json is absent or invalid.
        UnsafeParameters, CapacityExceeded: its scheme parameters are not acceptable.
        NotRegisteredHere: roster and manifest are not of one federation.
        FolderUnfit: the database holds another session.
    """
    manifest = read_manifest(folder)
    parameters = SchemeParameters.from_json(manifest.scheme_parameters)
    _check_terms(manifest, parameters, roster)
    is_new = log.size == 0
    if is_new and manifest.roster_hash != roster.hash:
        raise NotRegisteredHere(
            "the session was made for another roster than the kit's",
            hint="make session.json anew with the roster in force",
        )
    store = Store(f"sqlite:///{folder / DATABASE_FILE}", manifest.session_id, roster.hash)
    ledger = Ledger(store, log)
    if ledger.state.roster_hash != roster.hash:
        ledger.commit(replace(ledger.state, roster_hash=roster.hash))
    session = Session(
        manifest=manifest,
        parameters=parameters,
        ledger=ledger,
        store=store,
        blobs=BlobFolder(folder / BLOB_FOLDER),
        snapshots=SnapshotDesk(ledger, store, BlobFolder(folder / SNAPSHOT_FOLDER)),
        access=Access(roster, manifest.sites),
        presence=Presence(manifest.site_timeout_ms / 1000, manifest.join_deadline_ms / 1000),
        report=report,
    )
    started: Event = {"type": "process.started", "role": "coordinator", "software": __version__}
    created: Event = {
        "type": "session.created",
        "session_hash": manifest.session_id.hex(),
        "scheme": manifest.scheme,
        "rounds": manifest.rounds,
        "min_sites": manifest.min_sites,
        "sites": list(manifest.sites),
    }
    ledger.commit(ledger.state, *([created] if is_new else []), started)
    forget_uploads(session)
    return session


def serve_session(
    session: Session,
    identity: PartyIdentity,
    *,
    host: str,
    port: int,
    stop: threading.Event,
    on_serving: Callable[[int], None],
    farewell_s: float,
) -> None:
    """Serve until the session has ended and its sites know, or `stop` is set.

    Args:
        on_serving: told the port once calls are taken.
        farewell_s: how long an ended session waits for its live sites to hear of the end and to
            come to its last state; anew whenever one of them fetches a piece of a sum.

    Raises:
        PortBusy: the port is taken.
        SessionFailed: the session has failed.
    """
    keep_large_blocks_apart()
    service = CoordinatorService(session)
    server = Server(
        service,
        signer=identity.signing_key,
        verifier=session.access,
        tls=TlsIdentity(
            identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
        ),
        host=host,
        port=port,
        forwarded=FRAME_ERRORS,
        workers=min(_MOST_WORKERS, 8 + CALLS_PER_PARTY * len(session.manifest.sites)),
    )
    server.start()
    try:
        on_serving(server.port)
        conduct(session, stop)
        _say_farewell(session, service, stop, farewell_s)
    finally:
        server.stop(_STOP_GRACE_S)
        session.store.close()
    if session.ledger.state.phase is SessionPhase.FAILED:
        raise SessionFailed(
            f"the session has failed: {session.ledger.state.reason}",
            hint="start a new session, from the model of the last closed round if there is one",
        )


def _say_farewell(
    session: Session, service: CoordinatorService, stop: threading.Event, farewell_s: float
) -> None:
    """Wait until every live site knows of the session's end and has what it has led to."""
    began = time.monotonic()
    while session.ledger.state.ended and not stop.is_set():
        if time.monotonic() >= max(began, service.fetched_at) + farewell_s:
            return
        lost = session.presence.silent(session.ledger.state.sites)
        if session.live() - set(lost) <= service.informed:
            return
        stop.wait(0.05)


def _check_terms(manifest: SessionManifest, parameters: SchemeParameters, roster: Roster) -> None:
    if manifest.federation != roster.federation:
        raise NotRegisteredHere(
            f"the session is of {manifest.federation}, the roster of {roster.federation}"
        )
    if parameters.digest != manifest.scheme_digest or parameters.scheme != manifest.scheme:
        raise NotRegisteredHere("the manifest's scheme is not the one of its parameters")
    absent = sorted(set(manifest.sites) - roster.public_keys.keys())
    if absent:
        raise NotRegisteredHere(f"the roster does not list {', '.join(absent)}")
    if len(manifest.sites) > parameters.sites:
        raise NotRegisteredHere(
            f"the scheme's parameters are for {parameters.sites} sites, "
            f"the session has {len(manifest.sites)}"
        )
