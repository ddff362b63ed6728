"""One site of `fedmrg bench round`: the client's own code around an update that needs no training.

Started as ``python -m fedmrg_secure.benchmark.round_site FOLDER PORT SCHEME``; prints the client's
progress as JSON lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np

from fedmrg_secure.audit_log.log import AuditLog
from fedmrg_secure.client.private_store import PrivateStore
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.round import take_part
from fedmrg_secure.client.signing_record import SigningRecord
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, SiteStore, hash_state
from fedmrg_secure.core.config import PhantomData, RunConfig, UpdateConfig
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.messages import NO_TRANSCRIPT
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.provisioning.site_kit import Kit, load_kit
from fedmrg_secure.update.factorization import Factorization, State, make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint

CLIP_NORM: Final = 0.1
"""Of the update that every site sends: that of the design's goals."""


def factorization_of(values: int) -> Factorization:
    """One dense tensor of `values` values, sent as it is."""
    return make_factorization(UpdateConfig(factorization="ffa"), {"update": (values,)})


def initial_state(values: int) -> State:
    """The state that the measured session starts from."""
    return {"update": np.zeros(values, dtype=np.float32)}


class _Untrained:
    """What the client asks of a trainer: here the same normal update every round."""

    def __init__(self, site: str, values: int) -> None:
        random = np.random.default_rng(sum(site.encode()))
        update = random.standard_normal(values)
        update *= 0.99 * CLIP_NORM / np.linalg.norm(update)
        self._update = update
        self.memory: dict[str, Any] = {"specialized.none": np.zeros(1, dtype=np.float32)}

    def load_memory(self, memory: Any) -> None:
        """Nothing is kept from round to round."""

    def train_round(self, number: int, base: State, on_step: Callable[[Any], None]) -> Any:
        """The update, at once."""
        return SimpleNamespace(vector=self._update, result=None)

    def settle(self, number: int, base: State, after: State, *, included: bool) -> None:
        """Nothing follows from a round."""


def main(folder: Path, port: int, scheme: str) -> None:
    """Take part in every round of the session, then end."""
    kit = load_kit(folder / "kit")
    with _client(kit, port) as client:
        manifest = client.get_session()
        store, private = SiteStore(folder / "state"), PrivateStore(folder / "state")
        with AuditLog.open(
            folder / "log",
            f"fedmrg/{kit.identity.federation}/{kit.identity.name}",
            kit.identity.signing_key,
        ) as log:
            site = _site(kit, client, manifest, store, private, log, scheme)
            state = initial_state(manifest.value_count)
            applied = Applied(
                manifest.session_id.hex(), 0, 0, "", hash_state(state), NO_TRANSCRIPT.hex()
            )
            store.save_applied(applied, state)
            private.save(0, site.trainer.memory)
            client.accept_session(1)
            _play(site, applied)


def _play(site: Site, applied: Applied) -> None:
    while (status := site.status()).session_phase is not SessionPhase.FINISHED:
        if status.round_phase is RoundPhase.ANNOUNCING and status.round > applied.round:
            applied = take_part(site, status.round, applied)


def _client(kit: Kit, port: int) -> CoordinatorClient:
    identity = kit.identity
    return CoordinatorClient(
        target=f"127.0.0.1:{port}",
        server_name=identity.coordinator_name,
        tls=TlsIdentity(
            identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
        ),
        signer=identity.signing_key,
        verifier=kit.roster,
    )


def _site(
    kit: Kit,
    client: CoordinatorClient,
    manifest: SessionManifest,
    store: SiteStore,
    private: PrivateStore,
    log: AuditLog,
    scheme: str,
) -> Site:
    config = RunConfig.model_validate(
        {
            "name": "bench-round",
            "data": PhantomData(source="phantom"),
            "secure_aggregation": {
                "scheme": scheme,
                "acknowledge_collusion_risk": True,
                "acknowledge_plaintext": True,
            },
        }
    )
    return Site(
        identity=kit.identity,
        roster=kit.roster,
        config=config,
        manifest=manifest,
        coordinator=client,
        store=store,
        private=private,
        signed=SigningRecord(store.folder, manifest.quorum),
        records=1,
        trainer=cast(Any, _Untrained(kit.identity.name, manifest.value_count)),
        factorization=factorization_of(manifest.value_count),
        codec=FixedPoint(CLIP_NORM, manifest.precision_bits),
        parameters=SchemeParameters.from_json(manifest.scheme_parameters),
        ledger=None,
        peers=None,
        log=log.append,
        progress=ProgressLines(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
