"""A site's agent: joins a session, keeps its heart beating, takes part in rounds until the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from fedmrg_secure.audit_log.log import AuditLog
from fedmrg_secure.client.catch_up import catch_up
from fedmrg_secure.client.policy import Terms, check_manifest
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.round import acknowledge, take_part
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, SiteStore, hash_state
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.model.report_generator import build_report_generator
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.messages import NO_TRANSCRIPT, SessionStatus
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.training.batches import ImageCache
from fedmrg_secure.training.trainer import make_optimiser
from fedmrg_secure.update.fixed_point import FixedPoint
from fedmrg_secure.update.layout import Layout

_PACE_S: Final = 0.15
_HEARTBEATS_PER_TIMEOUT: Final = 5


class NoTrainingData(InputError):
    """This site's centre has nothing to train on."""

    code: ClassVar[str] = "FMRG-6241"


class ForeignState(FedmrgError):
    """The state folder belongs to another session."""

    code: ClassVar[str] = "FMRG-6242"


def run_site(
    identity: PartyIdentity, roster: Roster, config: RunConfig, folder: Path, coordinator: str
) -> None:
    """Take part in the coordinator's session until it has finished.

    Args:
        identity: the site's keys and certificates.
        roster: the federation's parties and their public keys.
        config: the site's own configuration; the session must agree with it.
        folder: holds the site's state and log.
        coordinator: ``host:port``.

    Raises:
        ManifestRefused: the session is not the one this site is configured for.
        SessionFailed: the session has failed.
        ProtocolError: the coordinator refused, or did not answer.
    """
    progress = ProgressLines()
    progress.enter("loading", 0)
    store = SiteStore(folder / "state")
    with (
        AuditLog.open(
            folder / "log", f"fedmrg/{identity.federation}/{identity.name}", identity.signing_key
        ) as log,
        CoordinatorClient(
            target=coordinator,
            server_name=identity.coordinator_name,
            tls=TlsIdentity(
                identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
            ),
            signer=identity.signing_key,
            verifier=roster,
        ) as client,
    ):
        log.append({"type": "process.started", "site": identity.name})
        site = _join(identity, roster, config, store, log, client, progress)
        with _heartbeats(site):
            _take_part_until_the_end(site)
        log.append({"type": "session.finished", "session_hash": site.session.hex()})
        store.forget_keys()
        progress.enter("done", config.training.rounds)
        progress.emit("finished")


def _join(
    identity: PartyIdentity,
    roster: Roster,
    config: RunConfig,
    store: SiteStore,
    log: AuditLog,
    client: CoordinatorClient,
    progress: ProgressLines,
) -> Site:
    """Load model and data, compare the session's terms with this site's own, and accept them."""
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    initial = generator.shared_state()
    layout = Layout.of({name: array.shape for name, array in initial.items()})
    initial_hash = hash_state(layout, initial)
    centre = load_centre(config.data, identity.name)
    if not centre.train:
        raise NoTrainingData(
            f"{identity.name} has no training records",
            hint="check data.splits and the manifest's centre column",
        )
    progress.enter("joining", 0)
    manifest = client.get_session()
    terms = Terms(
        federation=identity.federation,
        roster_hash=roster.hash,
        layout=layout,
        base_hash=generator.base_hash,
        tokenizer_hash=generator.tokenizer_hash,
        initial_state_hash=initial_hash,
    )
    parameters = check_manifest(manifest, config, terms, site=identity.name)
    session = manifest.session_id.hex()
    applied = store.applied()
    if applied is None:
        applied = Applied(session, 0, 0, "", initial_hash, NO_TRANSCRIPT.hex())
        store.save_applied(applied, initial)
    elif applied.session != session:
        raise ForeignState(
            f"the state of {identity.name} belongs to another session",
            hint="move its state folder away to join this session",
        )
    site = Site(
        identity=identity,
        roster=roster,
        config=config,
        manifest=manifest,
        coordinator=client,
        store=store,
        generator=generator,
        records=centre.train,
        images=ImageCache(config.data.image_size),
        optimiser=make_optimiser(generator, config.training),
        layout=layout,
        codec=FixedPoint(config.update.clip_norm, config.update.precision_bits),
        parameters=parameters,
        log=log.append,
        progress=progress,
    )
    client.accept_session(site.weight)
    log.append({"type": "session.accepted", "session_hash": session})
    return site


def _take_part_until_the_end(site: Site) -> None:
    """React to what the coordinator says until the session has finished."""
    logged = 0
    while True:
        applied = site.store.applied()
        assert applied is not None, "kept at joining"
        status = site.status()
        if applied.round in status.closed_rounds and applied.round > logged:
            logged = applied.round
            _log_closed(site, applied)
        if applied.training_round < len(status.closed_rounds):
            catch_up(site, status, applied)
        elif status.session_phase is SessionPhase.FINISHED:
            return
        elif _awaits_acknowledgement(status, applied):
            acknowledge(site, applied)
        elif _is_open_to(site, status, applied):
            take_part(site, status.round, applied)
        else:
            time.sleep(_PACE_S)


def _log_closed(site: Site, applied: Applied) -> None:
    site.log(
        {
            "type": "round.closed",
            "round": applied.round,
            "model_hash": applied.model_hash,
            "transcript_hash": applied.transcript,
        }
    )


def _awaits_acknowledgement(status: SessionStatus, applied: Applied) -> bool:
    """This site was killed between applying the round and saying so."""
    return (
        status.round == applied.round
        and status.round_phase is RoundPhase.AGGREGATED
        and not status.acknowledged
    )


def _is_open_to(site: Site, status: SessionStatus, applied: Applied) -> bool:
    """The round takes this site, or still counts on it."""
    if status.round == applied.round:
        return False
    if status.round_phase is RoundPhase.ANNOUNCING:
        return True
    planned = status.plan is not None and site.name in status.plan.sites
    return planned and status.round_phase in (
        RoundPhase.UPLOADING,
        RoundPhase.AGGREGATING,
        RoundPhase.AGGREGATED,
    )


@contextmanager
def _heartbeats(site: Site) -> Iterator[None]:
    """Tell the coordinator in the background that this site is alive, also while it trains."""
    ended = threading.Event()
    pause_s = site.manifest.site_timeout_ms / 1000 / _HEARTBEATS_PER_TIMEOUT

    def beat() -> None:
        while not ended.wait(pause_s):
            try:
                site.coordinator.heartbeat()
            except FedmrgError:
                continue  # the foreground's next call meets the same trouble and tells of it

    heart = threading.Thread(target=beat, name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        site.coordinator.close()  # ends a call under way, which could outlast the coordinator
        heart.join()  # a thread inside gRPC while the interpreter ends would abort the process
