"""A site's agent: joins a session, keeps its heart beating, takes part in rounds until the end."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from fedmrg_secure.audit_log.log import AuditLog
from fedmrg_secure.client.catch_up import catch_up
from fedmrg_secure.client.heart import Heart
from fedmrg_secure.client.history import check_standing
from fedmrg_secure.client.peer_ledgers import PeerLedgers
from fedmrg_secure.client.policy import Terms, check_manifest
from fedmrg_secure.client.privacy import open_ledger, open_peer_ledgers
from fedmrg_secure.client.private_store import PrivateStore
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.round import acknowledge, take_part
from fedmrg_secure.client.signing_record import SigningRecord
from fedmrg_secure.client.site import SessionFailed, Site
from fedmrg_secure.client.snapshot_sealing import forget_offers
from fedmrg_secure.client.state import Applied, SiteStore, hash_state
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.model.adapters import ReadingPath
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.privacy.ledger import Ledger
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.errors import CoordinatorUnreachable
from fedmrg_secure.protocol.messages import NO_TRANSCRIPT, SessionStatus
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.training.site_trainer import SiteTrainer
from fedmrg_secure.update.factorization import Factorization, State, make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint

_PACE_S: Final = 0.15
_OVER: Final = (RoundPhase.CLOSED, RoundPhase.ABORTED)


class NoTrainingData(InputError):
    """This site's centre has nothing to train on."""

    code: ClassVar[str] = "FMRG-6241"


class ForeignState(FedmrgError):
    """The state folder belongs to another session."""

    code: ClassVar[str] = "FMRG-6242"


@dataclass(frozen=True)
class _Model:
    """What a site loads before it says anything to the coordinator."""

    generator: ReportGenerator
    factorization: Factorization
    initial: State
    trainer: SiteTrainer
    records: int


def run_site(
    identity: PartyIdentity, roster: Roster, config: RunConfig, folder: Path, coordinator: str
) -> None:
    """Take part in the coordinator's session until its end, then finish the site's own part.

    Args:
        identity: the site's keys and certificates.
        roster: the federation's parties and their public keys.
        config: the site's own configuration; the session must agree with it.
        folder: holds the site's state and log, and in the end its own adapter.
        coordinator: ``host:port``.

    Raises:
        ManifestRefused: the session is not the one this site is configured for.
        SessionFailed: the session has failed.
        ProtocolError: the coordinator refused, or did not answer.
    """
    progress = ProgressLines()
    progress.enter("loading", 0)
    store, private = SiteStore(folder / "state"), PrivateStore(folder / "state")
    model = _load(config, identity.name)
    if not store.is_finished:
        _run_session(identity, roster, config, folder, coordinator, model, progress)
    _finish_own_part(model, store, private, folder, progress)
    progress.enter("done", config.training.rounds * model.factorization.passes)
    progress.emit("finished")


def _run_session(
    identity: PartyIdentity,
    roster: Roster,
    config: RunConfig,
    folder: Path,
    coordinator: str,
    model: _Model,
    progress: ProgressLines,
) -> None:
    """Join, take part in every round, and note that the session has finished."""
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
        ledger = open_ledger(config, identity.name, folder)
        peers = open_peer_ledgers(config, identity.name, identity.federation, folder)
        site = _join(identity, roster, config, model, store, ledger, peers, log, client, progress)
        heart = Heart(site)
        try:
            with heart.beating():
                _take_part_until_the_end(site, heart)
        except SessionFailed:
            store.forget_round_key()  # no round of it goes on
            raise
        log.append({"type": "session.finished", "session_hash": site.session.hex()})
        store.forget_keys()
        forget_offers(site)
        store.mark_finished()


def _load(config: RunConfig, name: str) -> _Model:
    """Model, data and factorisation, as this site's own configuration says."""
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    shared = generator.shared_state()
    factorization = make_factorization(
        config.update, {name: tensor.shape for name, tensor in shared.items()}
    )
    centre = load_centre(config.data, name)
    if not centre.train:
        raise NoTrainingData(
            f"{name} has no training records",
            hint="check data.splits and the manifest's centre column",
        )
    trainer = SiteTrainer(name, generator, centre.train, centre.validation, config, factorization)
    return _Model(
        generator, factorization, factorization.initial(shared), trainer, len(centre.train)
    )


def _finish_own_part(
    model: _Model, store: SiteStore, private: PrivateStore, folder: Path, progress: ProgressLines
) -> None:
    """Choose the weight of path B and leave what is this site's own: memory and adapter."""
    applied = store.applied()
    assert applied is not None, "kept at joining"
    number = applied.training_round
    progress.enter("tuning", number)
    state = store.load_state(number)
    model.trainer.load_memory(private.load(number))
    mix = model.trainer.tune_mix(state, on_batch=progress.batch)
    private.save_final(model.trainer.memory)
    if model.generator.has_specialized:
        model.generator.load_shared_state(model.factorization.model_state(state))
        model.generator.save_adapter(folder / "adapters" / "specialized", ReadingPath.B)
        progress.emit("mix", weight=mix)


def _join(
    identity: PartyIdentity,
    roster: Roster,
    config: RunConfig,
    model: _Model,
    store: SiteStore,
    ledger: Ledger | None,
    peers: PeerLedgers | None,
    log: AuditLog,
    client: CoordinatorClient,
    progress: ProgressLines,
) -> Site:
    """Compare the session's terms with this site's own, and accept them."""
    private = PrivateStore(store.folder)
    initial_hash = hash_state(model.initial)
    progress.enter("joining", 0)
    manifest = client.get_session()
    terms = Terms(
        federation=identity.federation,
        roster_hash=roster.hash,
        factorization_digest=model.factorization.digest,
        value_count=model.factorization.vector_size,
        state_value_count=sum(values.size for values in model.initial.values()),
        passes=model.factorization.passes,
        base_hash=model.generator.base_hash,
        tokenizer_hash=model.generator.tokenizer_hash,
        initial_state_hash=initial_hash,
    )
    parameters = check_manifest(manifest, config, terms, site=identity.name)
    session = manifest.session_id.hex()
    applied = store.applied()
    if applied is None:
        applied = Applied(session, 0, 0, "", initial_hash, NO_TRANSCRIPT.hex())
        private.save(0, model.trainer.memory)
        store.save_applied(applied, model.initial)
    elif applied.session != session:
        raise ForeignState(
            f"the state of {identity.name} belongs to another session",
            hint="move its state folder away to join this session",
        )
    if peers is not None:
        peers.join()
    signed = SigningRecord(store.folder, manifest.quorum)
    if manifest.round_keys and (lost := signed.restore(log.events(), session)):
        progress.emit("signing_record_restored", rounds=list(lost))
    site = Site(
        identity=identity,
        roster=roster,
        config=config,
        manifest=manifest,
        coordinator=client,
        store=store,
        private=private,
        signed=signed,
        records=model.records,
        trainer=model.trainer,
        factorization=model.factorization,
        codec=FixedPoint(config.update.clip_norm, config.update.precision_bits),
        parameters=parameters,
        ledger=ledger,
        peers=peers,
        log=log.append,
        progress=progress,
    )
    client.accept_session(site.weight)
    log.append({"type": "session.accepted", "session_hash": session})
    return site


def _take_part_until_the_end(site: Site, heart: Heart) -> None:
    """React to what the coordinator says until the session has finished.

    Raises:
        HistoryDiverged: what this site has applied is not what the session's rounds have led to.
    """
    logged = 0
    while True:
        applied = site.store.applied()
        assert applied is not None, "kept at joining"
        status = site.status()
        check_standing(site, status, applied)
        if not _counts_on(site, status):
            site.store.forget_round_key()
        if applied.round in status.closed_rounds and applied.round > logged:
            logged = applied.round
            _log_closed(site, applied)
        if applied.training_round < len(status.closed_rounds):
            catch_up(site, status, applied)
        elif status.session_phase is SessionPhase.FINISHED:
            if not status.acknowledged:
                _take_leave(site, applied)
            return
        elif _awaits_acknowledgement(status, applied):
            acknowledge(site, applied)
        elif _must_stay_out(site, status, applied):
            site.progress.enter("staying out", status.round)
            heart.fall_silent()
        elif _is_open_to(site, status, applied):
            take_part(site, status.round, applied)
        else:
            time.sleep(_PACE_S)


def _take_leave(site: Site, applied: Applied) -> None:
    """Tell the coordinator, which waits for this site, that it has come to the last state.

    Nothing is lacking here if the coordinator has not waited for so long.
    """
    with suppress(CoordinatorUnreachable):
        acknowledge(site, applied)


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


def _must_stay_out(site: Site, status: SessionStatus, applied: Applied) -> bool:
    """The round counts on this site, which may have signed in it what it does not know any more.

    It has lost its signing record of the round, its nonce, or the encrypted update that it has
    committed to, and is not to be waited for.
    """
    if not _counts_on(site, status) or status.round == applied.round:
        return False
    signed = site.signed.of_round(status.round)
    if signed is not None and signed.restored:
        return True
    if signed is not None and signed.upload_root and site.store.outgoing(signed.plan) is None:
        return True
    return not site.store.has_nonce(status.round)


def _is_open_to(site: Site, status: SessionStatus, applied: Applied) -> bool:
    """The round takes this site, or still counts on it."""
    if status.round == applied.round:
        return False
    if status.round_phase is RoundPhase.ANNOUNCING:
        return True
    return _counts_on(site, status)


def _counts_on(site: Site, status: SessionStatus) -> bool:
    """The open round's plan names this site."""
    planned = status.plan is not None and site.name in status.plan.sites
    return planned and status.round_phase not in _OVER
