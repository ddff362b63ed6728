"""Sites as they are, around a coordinator that tests may corrupt.

The sites run the client's own code with real keys, real signatures, real sealing and real
ciphertexts, each in a thread. The coordinator is a small one in memory, so that an attack is a
method overridden: what it shows to whom, what it says of others, what it adds up.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from fedmrg_secure import __version__
from fedmrg_secure.audit_log.record import check_event
from fedmrg_secure.client.certifying import certify_cohort, certify_inclusion, commit
from fedmrg_secure.client.progress import ProgressLines
from fedmrg_secure.client.schemes import scheme_to_encrypt
from fedmrg_secure.client.signing_record import SignedRound, SigningRecord
from fedmrg_secure.client.state import SiteStore
from fedmrg_secure.client.sum_keys import fetch_sum_key
from fedmrg_secure.core.merkle import inclusion_proof, leaf_hash, merkle_root
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, SumKey
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.seal_key import generate_seal_key, seal_public_key
from fedmrg_secure.crypto.signing import SigningKey, verify_signature
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.certified_calls import CertifiedCalls
from fedmrg_secure.protocol.envelope import Envelope, seal_envelope
from fedmrg_secure.protocol.errors import NotAvailable, WrongPhase
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash, plan_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase

VALUES = 3000
BASE = b"\x0b" * 32
MAX_ABS = 1 << 20


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
        "round_deadline_ms": 60_000,
    }
    return SessionManifest(**{**fields, **changes})


class Coordinator:
    """Follows the protocol for one round; attacks override what it does.

    Attributes:
        absent: sites that nobody waits for any more.
        uploads: each site's residues, as it sent them.
    """

    def __init__(self, manifest: SessionManifest, plan: m.RoundPlan) -> None:
        self.manifest, self.plan = manifest, plan
        self.session = manifest.session_id
        self.plan_hash = plan_hash(self.session, plan)
        self.lock = threading.RLock()
        self.absent: set[str] = set()
        self.deposits: dict[str, tuple[bytes, ...]] = {}
        self.commits: dict[str, Envelope] = {}
        self.roots: dict[str, bytes] = {}
        self.uploads: dict[str, ResidueVector] = {}
        self.co_signed: dict[bytes, dict[str, bytes]] = {}
        self.sums: dict[str, tuple[bytes, ...]] = {}
        self.publications: dict[str, bytes] = {}
        self._cohort: c.Cohort | None = None
        self._inclusion: c.Inclusion | None = None

    # What the sites are told. Attacks override these.

    def cohort_for(self, site: str) -> c.Cohort:
        assert self._cohort is not None
        return self._cohort

    def inclusion_for(self, site: str) -> c.Inclusion:
        assert self._inclusion is not None
        return self._inclusion

    def shares_for(self, site: str) -> tuple[c.ProvenShare, ...]:
        place = self.plan.sites.index(site)
        senders = self.inclusion_for(site).sites
        return tuple(proven(self.deposits[sender], place) for sender in senders)

    def opening_for(self, site: str) -> c.Opening:
        inclusion = self.inclusion_for(site)
        statement = inclusion_hash(self.session, inclusion)
        place = self.manifest.sites.index(site)
        return c.Opening(
            self.plan,
            inclusion,
            tuple(self.co_signed.get(statement, {}).values()),
            tuple(self.publications.values()),
            tuple(proven(self.sums[holder], place) for holder in self.publications),
        )

    def sum_for(self, site: str) -> ResidueVector:
        return self.add(self.inclusion_for(site).sites)

    def certified(self, statement: bytes, named: Sequence[str]) -> bool:
        signers = self.co_signed.get(statement, {})
        return self.manifest.quorum.is_certified(signers, self.plan.sites, named)

    # The rest follows the protocol.

    def add(self, sites: Sequence[str]) -> ResidueVector:
        total = np.zeros_like(next(iter(self.uploads.values())))
        for site in sites:
            add_mod(total, self.uploads[site], self.parameters.modulus)
        return total

    @property
    def parameters(self) -> SchemeParameters:
        return SchemeParameters.from_json(self.manifest.scheme_parameters)

    def phase_for(self, site: str) -> RoundPhase:
        with self.lock:
            expected = set(self.plan.sites) - self.absent
            if self._cohort is None:
                if not expected <= set(self.commits):
                    return RoundPhase.COMMITTING
                self._cohort = self.make_cohort(sorted(self.commits))
            cohort = self.cohort_for(site)
            if not self.certified(cohort_hash(self.session, cohort), cohort.sites):
                return RoundPhase.CERTIFYING
            if self._inclusion is None:
                if not expected & set(cohort.sites) <= set(self.uploads):
                    return RoundPhase.UPLOADING
                self._inclusion = self.make_inclusion(sorted(self.uploads))
            inclusion = self.inclusion_for(site)
            if not self.certified(inclusion_hash(self.session, inclusion), inclusion.sites):
                return RoundPhase.INCLUDING
            return RoundPhase.AGGREGATED

    def make_cohort(self, sites: Sequence[str]) -> c.Cohort:
        entries = (
            c.CommittedSite(site, self.roots[site], self.commits[site].digest) for site in sites
        )
        return c.Cohort(self.plan.round, self.plan_hash, tuple(entries))

    def make_inclusion(self, sites: Sequence[str]) -> c.Inclusion:
        cohort = cohort_hash(self.session, self.cohort_for(sites[0]))
        return c.Inclusion(self.plan.round, self.plan_hash, cohort, tuple(sites))

    def opening_available(self) -> bool:
        return len(self.publications) >= self.manifest.quorum.threshold(len(self.plan.cohort))

    def status(self, site: str) -> m.SessionStatus:
        return m.SessionStatus(
            SessionPhase.RUNNING,
            "",
            self.plan.round,
            self.phase_for(site),
            self.plan.base_state_hash,
            (),
            self.plan,
            key_available=False,
            announced=True,
            uploaded=site in self.uploads,
            acknowledged=False,
            sites=(),
            committed=site in self.commits,
            opening_available=self.opening_available(),
        )

    def answer(self, site: str, envelope: Envelope, message: Any) -> Any:
        with self.lock:
            return self._answer(site, envelope, message)

    def _answer(self, site: str, envelope: Envelope, message: Any) -> Any:
        if isinstance(message, c.DepositShares):
            self.deposits[site] = message.sealed
        elif isinstance(message, c.Commit):
            if self._cohort is not None:
                raise WrongPhase("the cohort is fixed")
            self.commits[site], self.roots[site] = envelope, message.upload_root
        elif isinstance(message, c.GetCohort):
            cohort = self.cohort_for(site)
            signed = self.co_signed.get(cohort_hash(self.session, cohort), {})
            envelopes = tuple(self.commits[one].to_bytes() for one in cohort.sites)
            return c.CohortDelivery(cohort, envelopes, tuple(signed.values()))
        elif isinstance(message, c.CoSignCohort):
            self.co_signed.setdefault(message.cohort_hash, {})[site] = envelope.to_bytes()
        elif isinstance(message, c.GetInclusion):
            inclusion = self.inclusion_for(site)
            signed = self.co_signed.get(inclusion_hash(self.session, inclusion), {})
            return c.InclusionDelivery(inclusion, tuple(signed.values()))
        elif isinstance(message, c.CoSignInclusion):
            self.co_signed.setdefault(message.inclusion_hash, {})[site] = envelope.to_bytes()
        elif isinstance(message, c.FetchShares):
            return c.SharesDelivery(self.shares_for(site))
        elif isinstance(message, c.DepositShareSums):
            self.sums[site] = message.sealed
        elif isinstance(message, c.PublishShareSums):
            self.publications[site] = envelope.to_bytes()
        elif isinstance(message, c.FetchOpening):
            if not self.opening_available():
                raise NotAvailable("too few share sums")
            return self.opening_for(site)
        else:
            raise AssertionError(message)
        return m.Receipt()


def proven(sealed: Sequence[bytes], place: int) -> c.ProvenShare:
    """A share of a deposit with its proof."""
    leaves = [leaf_hash(one) for one in sealed]
    return c.ProvenShare(sealed[place], tuple(inclusion_proof(leaves, place)))


@dataclass
class Member:
    """One site: its keys, its disk, and what the client's functions take for a `Site`."""

    name: str
    key: SigningKey
    seal_key: SecretBytes
    site: Any = None
    result: IntVector | None = None
    error: BaseException | None = None
    values: IntVector = field(default_factory=lambda: np.empty(0, dtype=np.int64))
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
            member.site = self._site(folder / name, member)

    def plan(self, number: int = 1, sites: Sequence[str] | None = None) -> m.RoundPlan:
        cohort = tuple(
            m.CohortMember(name, secrets.token_bytes(32), 1) for name in sites or self.members
        )
        return m.RoundPlan(number, BASE, cohort, 0, "", m.NO_TRANSCRIPT)

    def play(
        self,
        coordinator: Coordinator,
        steps: Mapping[str, Callable[[Coordinator, Member], None]] | None = None,
        timeout_s: float = 20,
    ) -> None:
        """Let every site of the plan take part, each in its own thread.

        Args:
            steps: what some sites do in place of taking part.
            timeout_s: then whoever still waits stays as it is.
        """
        threads = []
        for name in coordinator.plan.sites:
            step = (steps or {}).get(name, take_part)
            member = self.members[name]
            self.connect(member, coordinator)
            thread = threading.Thread(target=_run, args=(step, coordinator, member), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(timeout_s)
        coordinator.absent |= set(coordinator.plan.sites)  # who still waits is let go
        for member in self.members.values():
            if member.error is not None:
                raise member.error

    def total(self, sites: Sequence[str]) -> IntVector:
        return np.sum([self.members[name].values for name in sites], axis=0)

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
            signed=SigningRecord(store.folder),
            ledger=None,
            peers=None,
            parameters=SchemeParameters.from_json(self.manifest.scheme_parameters),
            factorization=SimpleNamespace(vector_size=VALUES),
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


def commit_and_certify(coordinator: Coordinator, member: Member) -> Any:
    """A site's part of a round up to its upload; the checked cohort, or None."""
    site, plan, digest = member.site, coordinator.plan, coordinator.plan_hash
    site.signed.begin(SignedRound(plan.round, plan.base_state_hash.hex(), digest.hex()))
    with scheme_to_encrypt(site, plan, digest) as scheme:
        residues = encrypt(scheme, member.values)
    outgoing = site.store.write_outgoing(digest.hex(), [residues.tobytes()])
    commit(site, plan, digest, outgoing)
    cohort = certify_cohort(site, plan, digest)
    if cohort is not None:
        assert merkle_root([leaf_hash(residues.tobytes())]).hex() == outgoing.merkle_root
        member.site.residues = residues
    return cohort


def upload(coordinator: Coordinator, member: Member) -> None:
    with coordinator.lock:
        coordinator.uploads[member.name] = member.site.residues


def take_part(coordinator: Coordinator, member: Member) -> None:
    """A whole round at an honest site."""
    site, plan, digest = member.site, coordinator.plan, coordinator.plan_hash
    cohort = commit_and_certify(coordinator, member)
    if cohort is None:
        return
    upload(coordinator, member)
    if not certify_inclusion(site, plan, digest, cohort):
        return
    while not coordinator.opening_available():
        threading.Event().wait(0.05)
        if coordinator.absent >= set(plan.sites):
            return
    key = fetch_key(coordinator, member)
    try:
        member.result = open_with(coordinator, member, key)
    finally:
        key.destroy()


def fetch_key(coordinator: Coordinator, member: Member) -> SumKey:
    inclusion = coordinator.inclusion_for(member.name)
    aggregate: Any = SimpleNamespace(
        round=coordinator.plan.round,
        plan_hash=coordinator.plan_hash,
        inclusion_hash=inclusion_hash(coordinator.session, inclusion),
        sites=inclusion.sites,
    )
    parameters = coordinator.parameters
    scheme = CkksMultiparty(parameters, coordinator.plan_hash, VALUES)
    last = parameters.chunk_count(VALUES) - 1
    check_block = parameters.chunk_blocks(last, VALUES) * parameters.block_residues
    residues = coordinator.sum_for(member.name)[-check_block:]
    return fetch_sum_key(
        member.site,
        aggregate,
        lambda key: scheme.check_sum_key(key, residues, len(inclusion.sites)),
    )


def open_with(coordinator: Coordinator, member: Member, key: SumKey) -> IntVector:
    return decrypt(
        coordinator.parameters,
        coordinator.plan_hash,
        key,
        coordinator.sum_for(member.name),
        len(coordinator.inclusion_for(member.name).sites),
    )


def encrypt(scheme: Any, values: IntVector) -> ResidueVector:
    parameters = scheme.parameters
    return np.concatenate(
        [
            scheme.encrypt_chunk(index, values[parameters.chunk_slice(index, values.size)]).residues
            for index in range(parameters.chunk_count(values.size))
        ]
    )


def decrypt(
    parameters: SchemeParameters, digest: bytes, key: SumKey, total: ResidueVector, sites: int
) -> IntVector:
    scheme = CkksMultiparty(parameters, digest, VALUES, sum_key=key)
    opened, place = [], 0
    for index in range(parameters.chunk_count(VALUES)):
        values = parameters.chunk_slice(index, VALUES)
        size = parameters.chunk_blocks(index, VALUES) * parameters.block_residues
        opened.append(
            scheme.open_chunk(
                index, total[place : place + size], [b""] * sites, values.stop - values.start
            )
        )
        place += size
    return np.concatenate(opened)


def _run(
    step: Callable[[Coordinator, Member], None], coordinator: Coordinator, member: Member
) -> None:
    try:
        step(coordinator, member)
    except BaseException as error:
        member.error = error
        coordinator.absent.add(member.name)
