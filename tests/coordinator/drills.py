"""A small federation for tests: real certificates, real TLS, real frames, no model.

A site "trains" by adding a fixed integer vector, encrypts with `insecure-plaintext`, and keeps its
state as the running sum, so that a lost or doubled upload shows.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedmrg_secure import __version__
from fedmrg_secure.audit_log.checkpoint import log_origin
from fedmrg_secure.audit_log.log import AuditLog
from fedmrg_secure.coordinator.folder import locked
from fedmrg_secure.coordinator.serve import open_session, serve_session
from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, decode_frame, encode_frame
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.plaintext import InsecurePlaintext
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.errors import ProtocolError
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import Kit, load_kit

FEDERATION = "drill"
SITES = ("alpha", "beta", "gamma")


def parameters_of(sites: int, *, blocks_per_chunk: int = 1) -> SchemeParameters:
    made = SchemeParameters.for_config("insecure-plaintext", sites=sites, max_abs_value=1 << 20)
    return replace(made, blocks_per_chunk=blocks_per_chunk)


def state_hash(state: np.ndarray) -> bytes:
    return tagged_hash("drill/state", state.astype("<i8").tobytes())


def make_manifest(
    roster_hash: str,
    sites: Sequence[str] = SITES,
    *,
    values: int = 5000,
    parameters: SchemeParameters | None = None,
    **changes: Any,
) -> SessionManifest:
    parameters = parameters or parameters_of(len(sites))
    fields: dict[str, Any] = {
        "federation": FEDERATION,
        "name": "drill",
        "nonce": secrets.token_hex(32),
        "rounds": 2,
        "scheme": parameters.scheme,
        "scheme_parameters": parameters.to_json(),
        "scheme_digest": parameters.digest,
        "shared_key": False,
        "round_keys": False,
        "colluders": 0,
        "certificate": "threshold",
        "rotate_after": 10,
        "factorization_digest": "ab" * 32,
        "value_count": values,
        "state_value_count": values,
        "base_hash": "cd" * 32,
        "tokenizer_hash": "ef" * 32,
        "initial_state_hash": state_hash(np.zeros(values, dtype=np.int64)).hex(),
        "software": __version__,
        "clip_norm": "1.5",
        "precision_bits": 20,
        "weighting": "records",
        "weights": dict.fromkeys(sites, 10),
        "roster_hash": roster_hash,
        "min_sites": 2,
        "site_timeout_ms": 20_000,
        "join_deadline_ms": 20_000,
        "round_deadline_ms": 60_000,
    }
    return SessionManifest(**{**fields, **changes})


@dataclass
class Federation:
    """Folders with kits and a session, ready to be served."""

    root: Path
    manifest: SessionManifest
    kits: Mapping[str, Kit]
    port: int = 0
    events: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def coordinator(self) -> Path:
        return self.root / "coordinator"

    @property
    def parameters(self) -> SchemeParameters:
        return SchemeParameters.from_json(self.manifest.scheme_parameters)

    def client(self, site: str, *, kit: Kit | None = None, **options: Any) -> CoordinatorClient:
        kit = kit or self.kits[site]
        identity = kit.identity
        return CoordinatorClient(
            target=f"127.0.0.1:{self.port}",
            server_name=identity.coordinator_name,
            tls=TlsIdentity(
                identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
            ),
            signer=options.pop("signer", identity.signing_key),
            verifier=kit.roster,
            **{"patience_s": 20.0, "session_id": self.manifest.session_id, **options},
        )

    @contextmanager
    def serving(self, *, farewell_s: float = 10.0) -> Iterator[Running]:
        """The coordinator in a thread of this process; yields what it ended with."""
        kit = load_kit(self.coordinator / "kit")
        stop, serving = threading.Event(), threading.Event()
        outcome: list[BaseException | None] = []

        def bound(port: int) -> None:
            self.port = port
            serving.set()

        with (
            locked(self.coordinator),
            AuditLog.open(
                self.coordinator / "log",
                log_origin(FEDERATION, "coordinator"),
                kit.identity.signing_key,
            ) as log,
        ):
            session = open_session(self.coordinator, kit.roster, log, self.events.append)

            def run() -> None:
                try:
                    serve_session(
                        session,
                        kit.identity,
                        host="127.0.0.1",
                        port=self.port,
                        stop=stop,
                        on_serving=bound,
                        farewell_s=farewell_s,
                    )
                    outcome.append(None)
                except BaseException as error:
                    outcome.append(error)
                finally:
                    serving.set()

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            assert serving.wait(20)
            try:
                yield Running(session, thread, outcome)
            finally:
                stop.set()
                thread.join(20)
                assert not thread.is_alive()


@dataclass
class Running:
    session: Any
    thread: threading.Thread
    outcome: list[BaseException | None]

    def wait(self, seconds: float = 20.0) -> BaseException | None:
        """How the coordinator ended."""
        self.thread.join(seconds)
        assert self.outcome, "the coordinator still runs"
        return self.outcome[0]


def make_federation(root: Path, sites: Sequence[str] = SITES, **changes: Any) -> Federation:
    provision_throwaway(root, FEDERATION, sites, "127.0.0.1")
    kits = {site: load_kit(root / "sites" / site / "kit") for site in sites}
    roster_hash = kits[sites[0]].roster.hash
    manifest = make_manifest(roster_hash, sites, **changes)
    manifest.write(root / "coordinator" / "session.json")
    return Federation(root, manifest, kits)


@dataclass
class DrillSite:
    """One site that adds a constant vector each round."""

    federation: Federation
    name: str
    value: int
    weight: int = 1
    state: np.ndarray | None = None
    applied: int = 0
    closed: list[int] = field(default_factory=list)
    before_upload: Callable[[int], None] = lambda number: None
    stop: threading.Event = field(default_factory=threading.Event)

    def frames(self, round_number: int) -> list[bytes]:
        manifest, scheme = self.federation.manifest, InsecurePlaintext(self.federation.parameters)
        values = np.full(manifest.value_count, self.value * self.weight, dtype=np.int64)
        out = []
        for index in range(scheme.parameters.chunk_count(values.size)):
            place = scheme.parameters.chunk_slice(index, values.size)
            chunk = scheme.encrypt_chunk(index, values[place])
            header = FrameHeader.of_chunk(
                scheme.parameters,
                session=manifest.session_id,
                round=round_number,
                sender=self.name,
                chunk_index=index,
                value_count=values.size,
            )
            out.append(encode_frame(header, chunk.residues, chunk.openers))
        return out

    def run(self) -> SessionPhase:
        """Take part until the session ends."""
        with self.federation.client(self.name) as client:
            return self.take_part(client)

    def take_part(self, client: CoordinatorClient) -> SessionPhase:
        if self.state is None:
            self.state = np.zeros(self.federation.manifest.value_count, dtype=np.int64)
        client.accept_session(self.weight)
        sent: dict[int, m.UploadManifest] = {}
        while not self.stop.is_set():
            status = client.get_status()
            missed = [number for number in status.closed_rounds if number > self.applied]
            if missed:
                for number in missed:
                    self.apply(client, number)
            elif status.session_phase in (SessionPhase.FINISHED, SessionPhase.FAILED):
                if status.session_phase is SessionPhase.FINISHED and not status.acknowledged:
                    self.acknowledge(client, status)
                return status.session_phase
            elif status.round_phase is RoundPhase.ANNOUNCING and not status.announced:
                ignoring(client.announce, status.round, os.urandom(32), state_hash(self.state))
            elif status.round_phase is RoundPhase.UPLOADING and not status.uploaded:
                if status.plan and self.name in status.plan.sites:
                    self.before_upload(status.round)
                    self.upload(client, status.plan, sent)
            elif status.round_phase is RoundPhase.AGGREGATED and not status.acknowledged:
                if self.applied < status.round:
                    self.apply(client, status.round)
                self.acknowledge(client, status)
            time.sleep(0.02)
        return SessionPhase.RUNNING

    def acknowledge(self, client: CoordinatorClient, status: m.SessionStatus) -> None:
        assert status.plan is not None
        assert self.state is not None
        digest = plan_hash(self.federation.manifest.session_id, status.plan)
        ignoring(client.acknowledge, status.round, digest, state_hash(self.state))

    def upload(
        self, client: CoordinatorClient, plan: m.RoundPlan, sent: dict[int, m.UploadManifest]
    ) -> None:
        frames = self.frames(plan.round)
        digest = plan_hash(self.federation.manifest.session_id, plan)
        ignoring(client.upload, plan.round, manifest_of(digest, frames), frames.__getitem__)

    def apply(self, client: CoordinatorClient, round_number: int) -> None:
        info = client.get_aggregate(round_number)
        assert info is not None
        self.state = self.state + self.open(client, info)
        self.applied = round_number
        self.closed.append(round_number)

    def open(self, client: CoordinatorClient, info: m.AggregateInfo) -> np.ndarray:
        manifest, scheme = self.federation.manifest, InsecurePlaintext(self.federation.parameters)
        parts = []
        for index, data in enumerate(client.download(info)):
            header = FrameHeader.of_chunk(
                scheme.parameters,
                session=manifest.session_id,
                round=info.round,
                sender=AGGREGATE,
                chunk_index=index,
                value_count=manifest.value_count,
                contributors=len(info.included),
            )
            frame = decode_frame(data, header)
            place = scheme.parameters.chunk_slice(index, manifest.value_count)
            openers = frame.openers_by_contributor(len(info.included))
            count = place.stop - place.start
            parts.append(scheme.open_chunk(index, frame.residues, openers, count))
        return np.concatenate(parts)


def ignoring(call: Callable[..., None], *arguments: Any) -> None:
    """A refusal is settled by the next status."""
    try:
        call(*arguments)
    except ProtocolError as error:
        if error.code in ("FMRG-5018", "FMRG-5003", "FMRG-5009"):
            raise


def run_all(sites: Sequence[DrillSite], seconds: float = 30.0) -> dict[str, SessionPhase]:
    """Run sites in threads until all have ended."""
    results: dict[str, Any] = {}

    def run(site: DrillSite) -> None:
        try:
            results[site.name] = site.run()
        except BaseException as error:
            results[site.name] = error

    threads = [threading.Thread(target=run, args=(site,), daemon=True) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return results


def wait_for(client: CoordinatorClient, phase: RoundPhase) -> m.SessionStatus:
    for _ in range(200):
        status = client.get_status()
        if status.round_phase is phase:
            return status
        time.sleep(0.02)
    raise AssertionError(f"never {phase.name}")
