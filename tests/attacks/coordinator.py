"""A small coordinator in memory: an attack is a method overridden.

What it shows to whom, what it says of others, what it adds up. As it is here it follows the
protocol for one round.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedmrg_secure.core.merkle import inclusion_proof, leaf_hash
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import NotAvailable, WrongPhase
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash, plan_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase


class Coordinator:
    """Follows the protocol for one round; attacks override what it does.

    Attributes:
        absent: sites that nobody waits for any more.
        shown_round: the number under which the round's plan is shown.
        over: the round has ended; sites that still wait leave it.
        polls: how often each site has asked how things stand since anything happened.
        uploads: each site's residues, as it sent them.
        kept: every share sum that was ever deposited, by included set and holder.
    """

    def __init__(self, manifest: SessionManifest, plan: m.RoundPlan) -> None:
        self.manifest, self.plan, self.shown_round = manifest, plan, plan.round
        self.session = manifest.session_id
        self.plan_hash = plan_hash(self.session, plan)
        self.lock = threading.RLock()
        self.absent: set[str] = set()
        self.over = False
        self.polls: dict[str, int] = {}
        self.deposits: dict[str, tuple[bytes, ...]] = {}
        self.commits: dict[str, Envelope] = {}
        self.roots: dict[str, bytes] = {}
        self.uploads: dict[str, ResidueVector] = {}
        self.co_signed: dict[bytes, dict[str, bytes]] = {}
        self.sums: dict[str, tuple[bytes, ...]] = {}
        self.publications: dict[str, bytes] = {}
        self.kept: dict[bytes, dict[str, tuple[bytes, ...]]] = {}
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
        deposits = self.deposits_for(site)
        return tuple(proven(deposits[sender], place) for sender in senders)

    def commits_for(self, site: str) -> Mapping[str, Envelope]:
        return self.commits

    def deposits_for(self, site: str) -> Mapping[str, tuple[bytes, ...]]:
        return self.deposits

    def signatures_for(self, site: str, statement: bytes) -> tuple[bytes, ...]:
        return tuple(self.co_signed.get(statement, {}).values())

    def is_committed(self, site: str) -> bool:
        return site in self.commits

    def take_upload(self, site: str, residues: ResidueVector) -> None:
        self.uploads[site] = residues

    def opening_for(self, site: str) -> c.Opening:
        inclusion = self.inclusion_for(site)
        statement = inclusion_hash(self.session, inclusion)
        place = self.manifest.sites.index(site)
        return c.Opening(
            self.plan,
            inclusion,
            self.signatures_for(site, statement),
            tuple(self.publications.values()),
            tuple(proven(self.sums[holder], place) for holder in self.publications),
        )

    def sum_for(self, site: str) -> ResidueVector:
        return self.add(self.inclusion_for(site).sites)

    def certified(self, statement: bytes, named: Sequence[str]) -> bool:
        signers = self.co_signed.get(statement, {})
        return self.manifest.quorum.is_certified(signers, self.plan.sites, named)

    # The rest follows the protocol.

    def add(
        self, sites: Sequence[str], uploads: Mapping[str, ResidueVector] | None = None
    ) -> ResidueVector:
        uploads = self.uploads if uploads is None else uploads
        total = np.zeros_like(uploads[sites[0]])
        for site in sites:
            add_mod(total, uploads[site], self.parameters.modulus)
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
        cohort = cohort_hash(self.session, self.cohort_for(self.plan.sites[0]))
        return c.Inclusion(self.plan.round, self.plan_hash, cohort, tuple(sites))

    def opening_available(self) -> bool:
        return len(self.publications) >= self.manifest.quorum.threshold(len(self.plan.cohort))

    def status(self, site: str) -> m.SessionStatus:
        with self.lock:
            self.polls[site] = self.polls.get(site, 0) + 1
        return m.SessionStatus(
            SessionPhase.RUNNING,
            "",
            self.plan.round,
            RoundPhase.ABORTED if self.over else self.phase_for(site),
            self.plan.base_state_hash,
            (),
            self.plan,
            key_available=False,
            announced=True,
            uploaded=site in self.uploads,
            acknowledged=False,
            sites=(),
            committed=self.is_committed(site),
            opening_available=self.opening_available(),
        )

    def answer(self, site: str, envelope: Envelope, message: Any) -> Any:
        with self.lock:
            self.polls.clear()
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
            commits = self.commits_for(site)
            envelopes = tuple(commits[one].to_bytes() for one in cohort.sites)
            signed = self.signatures_for(site, cohort_hash(self.session, cohort))
            return c.CohortDelivery(cohort, envelopes, signed)
        elif isinstance(message, c.CoSignCohort):
            self.co_signed.setdefault(message.cohort_hash, {})[site] = envelope.to_bytes()
        elif isinstance(message, c.GetInclusion):
            inclusion = self.inclusion_for(site)
            signed = self.signatures_for(site, inclusion_hash(self.session, inclusion))
            return c.InclusionDelivery(inclusion, signed)
        elif isinstance(message, c.CoSignInclusion):
            self.co_signed.setdefault(message.inclusion_hash, {})[site] = envelope.to_bytes()
        elif isinstance(message, c.FetchShares):
            return c.SharesDelivery(self.shares_for(site))
        elif isinstance(message, c.DepositShareSums):
            self.sums[site] = message.sealed
            self.kept.setdefault(message.inclusion_hash, {})[site] = message.sealed
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
