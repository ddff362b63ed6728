"""Whole site agents around a real coordinator, without a model: training is one fixed vector.

Everything between training and the applied state is the client's own code, over real mutual TLS,
with real keys, ciphertexts, logs and files.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.audit_log.checkpoint import log_origin
from fedmrg_secure.audit_log.cross_check import cross_check
from fedmrg_secure.audit_log.log import AuditLog
from fedmrg_secure.audit_log.recompute import VerifiedLog, verify_log
from fedmrg_secure.client import agent
from fedmrg_secure.client.privacy import site_ledger_path
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, SiteStore
from fedmrg_secure.coordinator import serve
from fedmrg_secure.coordinator.service import CoordinatorService
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.federation.session import make_manifest
from fedmrg_secure.privacy.events import GridNoise, PoissonSampling, PrivacyEvent
from fedmrg_secure.protocol.errors import CallCancelled
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit
from fedmrg_secure.training.site_trainer import RoundUpdate
from fedmrg_secure.update.factorization import Factorization, State, make_factorization
from tests.coordinator.drills import FEDERATION, Federation

VALUES = 300_000
"""Of the state: a snapshot has two chunks."""


class Killed(BaseException):
    """A site's process ends here."""


class SteadyTrainer:
    """What the agent asks of `SiteTrainer`: a fixed vector, and a memory that counts the passes."""

    def __init__(self, name: str, factorization: Factorization) -> None:
        random = np.random.default_rng(sum(name.encode()))
        vector = random.standard_normal(factorization.vector_size)
        self.vector = vector / np.linalg.norm(vector)
        self.before: Callable[[int], None] = lambda number: None
        self.memory: dict[str, Any] = {"specialized.passes": np.zeros(1, dtype=np.float32)}

    def load_memory(self, memory: Mapping[str, Any]) -> None:
        self.memory = dict(memory)

    def privacy_event(self, number: int) -> PrivacyEvent | None:
        noise = GridNoise(Fraction(2**32), Fraction(2**32), VALUES)
        return PrivacyEvent(noise, PoissonSampling(0.02), 10)

    def train_round(self, number: int, base: State, on_step: Callable[[Any], None]) -> RoundUpdate:
        self.before(number)
        return RoundUpdate(self.vector, None)

    def settle(self, number: int, base: State, after: State, *, included: bool) -> None:
        self.memory = {"specialized.passes": self.memory["specialized.passes"] + 1}

    def skip(
        self, passes: range, base: State, after: State, *, included: bool, forget: bool
    ) -> None:
        self.memory = {"specialized.passes": self.memory["specialized.passes"] + len(passes)}


@dataclass
class Agent:
    """One site that runs `client.agent` in a thread; may be killed and started again."""

    world: World
    name: str
    trainer: SteadyTrainer
    lines: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None
    thread: threading.Thread | None = None
    site: Site | None = None
    config: RunConfig | None = None
    """Its own, where it is not the world's."""

    @property
    def folder(self) -> Path:
        return self.world.federation.root / "sites" / self.name

    @property
    def ledger(self) -> Path:
        """Of a private session."""
        return site_ledger_path(self.world.config, self.name, self.folder)

    @property
    def store(self) -> SiteStore:
        return SiteStore(self.folder / "state")

    @property
    def applied(self) -> Applied | None:
        return self.store.applied()

    def start(self) -> None:
        self.error = None
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.thread.start()

    def join(self, seconds: float = 60) -> None:
        assert self.thread is not None
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"{self.name} still runs: {self.lines[-3:]}"

    def events(self) -> list[Mapping[str, Any]]:
        return list(self.log().events)

    def log(self) -> VerifiedLog:
        kit = self.world.federation.kits[self.name]
        origin = log_origin(FEDERATION, self.name)
        key = kit.roster.public_keys[self.name]
        return verify_log(self.folder / "log", self.name, origin, key, killed=True)

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events()]

    def progress(self) -> ProgressLines:
        lines = ProgressLines(SimpleNamespace(write=lambda _: None, flush=lambda: None))  # type: ignore[arg-type]
        lines.emit = lambda event, **values: self.lines.append({"event": event, **values})  # type: ignore[method-assign]
        return lines

    @contextmanager
    def joined(self) -> Iterator[Site]:
        """The site as it is after joining, for a test to act with."""
        kit = self.world.federation.kits[self.name]
        with (
            AuditLog.open(
                self.folder / "log", log_origin(FEDERATION, self.name), kit.identity.signing_key
            ) as log,
            self.world.federation.client(self.name, patience_s=30.0) as client,
        ):
            yield agent._join(
                kit.identity,
                kit.roster,
                self.world.config,
                self.world.model(self.trainer),
                self.store,
                None,
                None,
                log,
                client,
                self.progress(),
            )

    def _run(self) -> None:
        kit = self.world.federation.kits[self.name]
        try:
            agent._run_session(
                kit.identity,
                kit.roster,
                self.config or self.world.config,
                self.folder,
                f"127.0.0.1:{self.world.federation.port}",
                self.world.model(self.trainer),
                self.progress(),
            )
        except (Killed, CallCancelled, Exception) as error:
            self.error = error


class World:
    """Agents and their session.

    Args:
        root: for everybody's files.
        names: the session's sites.
        rounds: of the session.
        scheme: how updates are encrypted.
        privacy: the configuration's section; then every training is charged to the site's ledger.
        federation: changes of the configuration's section.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        *,
        rounds: int,
        scheme: str = "ckks-multiparty",
        privacy: Mapping[str, Any] | None = None,
        **federation: Any,
    ) -> None:
        self.config = RunConfig.model_validate(
            {
                "name": "world",
                "data": {"source": "phantom"},
                "training": {"rounds": rounds},
                "update": {"factorization": "ffa", "clip_norm": 2.0},
                "secure_aggregation": {"scheme": scheme, "acknowledge_plaintext": True},
                "privacy": privacy,
                "federation": {
                    "min_sites": 3,
                    "site_timeout_s": 2.0,
                    "join_deadline_s": 1.5,
                    "round_deadline_s": 60.0,
                    **federation,
                },
            }
        )
        self.factorization = make_factorization(self.config.update, {"update": (VALUES,)})
        self.initial: State = {"update": np.zeros(VALUES, dtype=np.float32)}
        provision_throwaway(root, FEDERATION, names, "127.0.0.1")
        kits = {name: load_kit(root / "sites" / name / "kit") for name in names}
        roster = kits[names[0]].roster
        secure = self.config.secure_aggregation
        parameters = check_capacity(
            secure.scheme,
            sites=len(names),
            clip_norm=self.config.update.clip_norm,
            precision_bits=self.config.update.precision_bits,
            wire_bits=secure.wire_bits,
        )
        weights = dict.fromkeys(names, 1)
        manifest = make_manifest(
            self.config, roster, self._generator(), self.factorization, parameters, weights
        )
        manifest.write(root / "coordinator" / "session.json")
        self.federation = Federation(root, manifest, kits)
        self.agents = {
            name: Agent(self, name, SteadyTrainer(name, self.factorization)) for name in names
        }

    def model(self, trainer: SteadyTrainer) -> Any:
        return agent._Model(
            self._generator(),
            self.factorization,
            self.initial,
            trainer,
            records=1,  # type: ignore[arg-type]
        )

    def start(self, *names: str) -> None:
        for name in names:
            self.agents[name].start()

    def closed(self, coordinator: Any) -> int:
        return len(coordinator.session.ledger.state.closed)

    def check_logs(self) -> None:
        """Every log is whole, and they agree."""
        kits = self.federation.kits
        key = next(iter(kits.values())).roster.public_keys["coordinator"]
        origin = log_origin(FEDERATION, "coordinator")
        own = verify_log(self.federation.coordinator / "log", "coordinator", origin, key)
        present = {n: a.log() for n, a in self.agents.items() if (a.folder / "log").exists()}
        cross_check({"coordinator": own, **present})

    def _generator(self) -> Any:
        return SimpleNamespace(
            base_hash=hashlib.sha256(b"base").hexdigest(),
            tokenizer_hash=hashlib.sha256(b"tokenizer").hexdigest(),
            shared_state=lambda: self.initial,
        )


@contextmanager
def held_world(root: Path, *, late: str = "d", **terms: Any) -> Iterator[HeldWorld]:
    """Three sites that have closed three rounds and train the fourth until they are let go.

    The late site has not joined yet; the others answer its requests meanwhile.
    """
    world = World(root, ("a", "b", "c", late), **{"rounds": 5, **terms})
    gate = threading.Event()

    def hold(number: int) -> None:
        if number > 3:
            assert gate.wait(120)

    services: list[CoordinatorService] = []

    def kept(session: Any) -> CoordinatorService:
        services.append(CoordinatorService(session))
        return services[-1]

    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(serve, "CoordinatorService", kept)
        coordinator = stack.enter_context(world.federation.serving())
        stack.callback(gate.set)
        for name in ("a", "b", "c"):
            world.agents[name].trainer.before = hold
            world.agents[name].start()
        until(lambda: world.closed(coordinator) == 3, 60)
        until(lambda: is_planned(coordinator, 4))
        yield HeldWorld(world, coordinator, gate, world.agents[late], services[-1])


def is_planned(coordinator: Any, number: int) -> bool:
    """Whether the open round is this one, and its plan is made."""
    current = coordinator.session.ledger.state.round
    return current.number == number and current.plan is not None


@dataclass
class HeldWorld:
    """See `held_world`."""

    world: World
    coordinator: Any
    gate: threading.Event
    late: Agent
    service: CoordinatorService | None = None
    """what answers at the coordinator, for tests that corrupt it"""

    def finish(self) -> None:
        """Let the session end; every agent must end well, with one model."""
        self.gate.set()
        for one in self.world.agents.values():
            one.join()
            assert one.error is None, (one.name, one.error)
        assert self.coordinator.wait() is None
        applied = {one.applied for one in self.world.agents.values()}
        assert len(applied) == 1, applied


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never came to pass"
        time.sleep(0.02)
