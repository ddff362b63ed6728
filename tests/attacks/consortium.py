"""Sites as they are, around a coordinator that tests may corrupt (`coordinator.py`).

The sites run the client's own code with real keys, real signatures, real sealing and real
ciphertexts, each in a thread (`site_steps.py`).
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from fedmrg_secure import __version__
from fedmrg_secure.audit_log.record import check_event
from fedmrg_secure.client.private_store import PrivateStore
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.signing_record import SigningRecord
from fedmrg_secure.client.state import Applied, SiteStore
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.seal_key import generate_seal_key, seal_public_key
from fedmrg_secure.crypto.signing import SigningKey, verify_signature
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.certified_calls import CertifiedCalls
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.update.fixed_point import FixedPoint
from tests.attacks import site_steps
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import VALUES

BASE = b"\x0b" * 32
PRECISION_BITS = 20
MAX_ABS = 1 << PRECISION_BITS
_LONGEST_S = 60
_POLLS_IN_VAIN = 4


def make_manifest(sites: Sequence[str], **changes: Any) -> SessionManifest:
    parameters = SchemeParameters.for_config(
        "ckks-multiparty", sites=len(sites), max_abs_value=MAX_ABS, max_norm=MAX_ABS, wire_bits=24
    )
    fields: dict[str, Any] = {
        "federation": "attacked",
        "name": "attacked",
        "nonce": secrets.token_hex(32),
        "rounds": 5,
        "scheme": parameters.scheme,
        "scheme_parameters": parameters.to_json(),
        "scheme_digest": parameters.digest,
        "shared_key": False,
        "round_keys": True,
        "colluders": 1,
        "certificate": "threshold",
        "rotate_after": 10,
        "factorization_digest": "ab" * 32,
        "value_count": VALUES,
        "state_value_count": VALUES,
        "base_hash": "cd" * 32,
        "tokenizer_hash": "ef" * 32,
        "initial_state_hash": BASE.hex(),
        "software": __version__,
        "clip_norm": "1",
        "precision_bits": 20,
        "weighting": "uniform",
        "weights": dict.fromkeys(sites, 1),
        "roster_hash": "12" * 32,
        "min_sites": 3,
        "site_timeout_ms": 20_000,
        "join_deadline_ms": 20_000,
        "round_deadline_ms": 3_000,
    }
    return SessionManifest(**{**fields, **changes})


@dataclass
class Member:
    """One site: its keys, its disk, and what the client's functions take for a `Site`.

    Attributes:
        values: its update in grid steps, sent again wherever it is asked from the same state.
        result: the sum that it has opened, checked and applied; None if it has accepted none.
        applied: where it stands.
    """

    name: str
    key: SigningKey
    seal_key: SecretBytes
    site: Any = None
    result: IntVector | None = None
    error: BaseException | None = None
    values: IntVector = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    applied: Applied | None = None
    logged: list[Mapping[str, Any]] = field(default_factory=list)

    def take_down(self, event: Mapping[str, Any]) -> None:
        """As the site's log does."""
        check_event(event)
        self.logged.append(event)


class Consortium:
    """Sites s1..sn that trust only each other's keys.

    Args:
        folder: for the sites' disks.
        count: how many sites.
        changes: fields of the session's manifest.
    """

    def __init__(self, folder: Path, count: int, **changes: Any) -> None:
        names = [f"s{place:02}" for place in range(1, count + 1)]
        self.manifest = make_manifest(names, **changes)
        self.members = {
            name: Member(name, SigningKey.generate(name), generate_seal_key()) for name in names
        }
        random = np.random.default_rng(count)
        for name, member in self.members.items():
            member.values = random.integers(-500, 500, VALUES)
            self._settle(folder / name, member)

    def plan(self, number: int = 1, sites: Sequence[str] | None = None) -> m.RoundPlan:
        """A plan from where the sites stand, with the nonces that they announce."""
        cohort = tuple(
            m.CohortMember(name, self.members[name].site.store.nonce(number), 1)
            for name in sites or self.members
        )
        applied = self.members[cohort[0].site].applied
        assert applied is not None
        base, transcript = bytes.fromhex(applied.model_hash), bytes.fromhex(applied.transcript)
        return m.RoundPlan(number, base, cohort, 0, "", transcript)

    def play(
        self,
        coordinator: Coordinator,
        steps: Mapping[str, Callable[[Coordinator, Member], None]] | None = None,
    ) -> None:
        """Let every site of the plan take part, each in its own thread.

        The round is over when all are done, or when all who are not wait for what does not come.

        Args:
            steps: what some sites do in place of taking part.

        Raises:
            What the first site raised that did not go through its step.
        """
        threads = []
        for name in coordinator.plan.sites:
            step = (steps or {}).get(name, site_steps.take_part)
            member = self.members[name]
            member.result = member.error = None
            self.connect(member, coordinator)
            thread = threading.Thread(
                target=_run, args=(step, coordinator, member), name=name, daemon=True
            )
            thread.start()
            threads.append(thread)
        deadline = time.monotonic() + _LONGEST_S
        while (waiting := {thread.name for thread in threads if thread.is_alive()}) and (
            time.monotonic() < deadline
        ):
            if all(coordinator.polls.get(name, 0) >= _POLLS_IN_VAIN for name in waiting):
                break
            time.sleep(0.01)
        coordinator.over = True  # who still waits is let go
        for thread in threads:
            thread.join(_LONGEST_S)
            assert not thread.is_alive()
        for member in self.members.values():
            if member.error is not None:
                raise member.error

    def total(self, sites: Sequence[str]) -> IntVector:
        return np.sum([self.members[name].values for name in sites], axis=0)

    def lose_folder(self, member: Member) -> None:
        """The site's disk is gone, its log with it; it goes on from an empty one."""
        folder = member.site.store.folder
        shutil.rmtree(folder)
        coordinator, status = member.site.coordinator, member.site.status
        self._settle(folder, member)
        member.site.coordinator, member.site.status = coordinator, status

    def _settle(self, folder: Path, member: Member) -> None:
        session = self.manifest.session_id.hex()
        base = {"update": np.zeros(VALUES, dtype=np.float32)}
        member.site = self._site(folder, member)
        member.applied = Applied(session, 0, 0, "", BASE.hex(), m.NO_TRANSCRIPT.hex())
        member.site.store.save_applied(member.applied, base)
        member.site.private.save(0, member.site.trainer.memory)

    def _site(self, folder: Path, member: Member) -> Any:
        store = SiteStore(folder)
        return SimpleNamespace(
            name=member.name,
            session=self.manifest.session_id,
            manifest=self.manifest,
            identity=SimpleNamespace(seal_key=member.seal_key),
            roster=SimpleNamespace(
                entry=lambda name: SimpleNamespace(
                    seal_key=seal_public_key(self.members[name].seal_key)
                )
            ),
            store=store,
            signed=SigningRecord(store.folder, self.manifest.quorum),
            ledger=None,
            peers=None,
            parameters=SchemeParameters.from_json(self.manifest.scheme_parameters),
            factorization=SimpleNamespace(
                vector_size=VALUES,
                apply=lambda number, base, mean: {
                    "update": (base["update"] + mean).astype(np.float32)
                },
            ),
            codec=FixedPoint(1.0, PRECISION_BITS),
            private=PrivateStore(folder),
            trainer=SimpleNamespace(
                load_memory=lambda memory: None,
                settle=lambda *_, **__: None,
                memory={"specialized.passes": np.zeros(1, dtype=np.float32)},
            ),
            progress=ProgressLines(SimpleNamespace(write=lambda _: None, flush=lambda: None)),  # type: ignore[arg-type]
            log=member.take_down,
        )

    def verify(self, party: str, message: bytes, signature: bytes) -> None:
        """As the roster does."""
        verify_signature(self.members[party].key.public_key, message, signature)

    def connect(self, member: Member, coordinator: Coordinator) -> None:
        """Put a site on the line with a coordinator."""
        session = self.manifest.session_id
        sequence = iter(range(1, 1 << 20))

        def ask(method: str, message: Any, expected: type, *, round_number: int) -> Any:
            envelope = seal_envelope(
                member.key,
                message,
                session=session,
                round_number=round_number,
                sequence=next(sequence),
            )
            reply = coordinator.answer(member.name, envelope, message)
            assert isinstance(reply, expected)
            return reply

        member.site.coordinator = SimpleNamespace(certified=CertifiedCalls(ask, self, session))
        member.site.status = lambda: coordinator.status(member.name)


def _run(
    step: Callable[[Coordinator, Member], None], coordinator: Coordinator, member: Member
) -> None:
    try:
        step(coordinator, member)
    except BaseException as error:
        member.error = error
        coordinator.absent.add(member.name)
    finally:
        coordinator.polls.clear()
