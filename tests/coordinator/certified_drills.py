"""Sites for drills of certified rounds: they seal nothing, but say who was to open what.

As in `drills`, over real mutual TLS. A sealed share is a readable text with sender, recipient and
round, so that a share that reaches the wrong site, or one of another round, shows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fedmrg_secure.core.merkle import check_inclusion, leaf_hash
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.certified_calls import root_of
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope, open_envelope
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash, plan_hash
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from tests.coordinator.drills import DrillSite, Federation, ignoring, make_federation, state_hash

M = TypeVar("M", bound=Message)
OVER = (SessionPhase.FINISHED, SessionPhase.FAILED)


def make_certified(root: Path, sites: Sequence[str], **changes: Any) -> Federation:
    terms = {"round_keys": True, "colluders": 1, "min_sites": 3, "values": 2000, **changes}
    return make_federation(root, sites, **terms)


def ask(client: CoordinatorClient, number: int, message: Message, expected: type[M]) -> M:
    return client._ask(type(message).__name__, message, expected, round_number=number)


def tell(client: CoordinatorClient, number: int, message: Message) -> None:
    ask(client, number, message, m.Receipt)


def share(sender: str, recipient: str, number: int, what: str = "share") -> bytes:
    return f"{what} of {sender} to {recipient} in round {number}".ljust(64, ".").encode()


def check_proven(one: c.ProvenShare, place: int, sealed: Sequence[bytes]) -> None:
    check_inclusion(leaf_hash(one.sealed), place, len(sealed), one.proof, root_of(sealed))


@dataclass
class CertifiedSite(DrillSite):
    """A site that keeps to the protocol of certified rounds.

    Attributes:
        before: called with a word for what comes next, and the round; may raise.
        done: what it has done in which round, so that it does not do it over and over.
        inclusions: hash of the included set that it signed, by round.
    """

    before: Callable[[str, int], None] = lambda step, number: None
    done: set[tuple[str, int]] = field(default_factory=set)
    inclusions: dict[int, bytes] = field(default_factory=dict)

    def run(self) -> SessionPhase:
        """Take part until the session ends, through restarts of the coordinator."""
        with self.federation.client(self.name, patience_s=90.0) as client:
            return self.take_part(client)

    def take_part(self, client: CoordinatorClient) -> SessionPhase:
        client.accept_session(self.weight)
        while not self.stop.is_set():
            status = self.act(client)
            if status.session_phase in OVER and self.applied >= max((0, *status.closed_rounds)):
                return status.session_phase
            time.sleep(0.02)
        return SessionPhase.RUNNING

    def act(self, client: CoordinatorClient) -> m.SessionStatus:
        """Poll and do what is next."""
        if self.state is None:
            self.state = np.zeros(self.federation.manifest.value_count, dtype=np.int64)
        status = client.get_status()
        missed = [number for number in status.closed_rounds if number > self.applied]
        if missed:
            self.apply(client, missed[0])
        elif status.session_phase not in OVER:
            self.step(client, status)
        return status

    def step(self, client: CoordinatorClient, status: m.SessionStatus) -> None:
        number, phase, plan = status.round, status.round_phase, status.plan
        if phase is RoundPhase.ANNOUNCING and not status.announced:
            self.before("announce", number)
            assert self.state is not None
            ignoring(client.announce, number, os.urandom(32), state_hash(self.state))
        if plan is None or self.name not in plan.sites:
            return
        if phase is RoundPhase.COMMITTING and not status.committed:
            self.once("commit", plan, self.commit, client)
        elif phase is RoundPhase.CERTIFYING:
            self.once("sign cohort", plan, self.sign_cohort, client)
        elif phase is RoundPhase.UPLOADING and status.committed and not status.uploaded:
            self.once("upload", plan, self.send, client)
        elif phase is RoundPhase.INCLUDING:
            self.once("sign inclusion", plan, self.sign_inclusion, client)
        elif phase in (RoundPhase.AGGREGATING, RoundPhase.AGGREGATED):
            self.once("share sums", plan, self.give_share_sum, client)
        if phase is RoundPhase.AGGREGATED and status.opening_available and not status.acknowledged:
            self.once("acknowledge", plan, self.finish, client)

    def once(self, step: str, plan: m.RoundPlan, do: Callable[..., None], client: Any) -> None:
        """Do it unless it is done; what is refused meanwhile, the next status settles."""
        if (step, plan.round) in self.done:
            return
        self.before(step, plan.round)
        ignoring(do, client, plan)
        self.done.add((step, plan.round))

    def digest(self, plan: m.RoundPlan) -> bytes:
        return plan_hash(self.federation.manifest.session_id, plan)

    def upload_manifest(self, plan: m.RoundPlan) -> m.UploadManifest:
        return manifest_of(self.digest(plan), self.frames(plan.round))

    def shares(self, plan: m.RoundPlan) -> tuple[bytes, ...]:
        return tuple(share(self.name, holder, plan.round) for holder in plan.sites)

    def commitment(self, plan: m.RoundPlan) -> c.Commit:
        root = self.upload_manifest(plan).merkle_root
        return c.Commit(self.digest(plan), root, root_of(self.shares(plan)))

    def commit(self, client: CoordinatorClient, plan: m.RoundPlan) -> None:
        tell(client, plan.round, c.DepositShares(self.digest(plan), self.shares(plan)))
        tell(client, plan.round, self.commitment(plan))

    def sign_cohort(self, client: CoordinatorClient, plan: m.RoundPlan) -> None:
        delivery = ask(client, plan.round, c.GetCohort(), c.CohortDelivery)
        self.check_cohort(delivery, plan)
        due = cohort_hash(self.federation.manifest.session_id, delivery.cohort)
        tell(client, plan.round, c.CoSignCohort(due))

    def check_cohort(self, delivery: c.CohortDelivery, plan: m.RoundPlan) -> None:
        assert delivery.cohort.plan_hash == self.digest(plan)
        for one, data in zip(delivery.cohort.committed, delivery.commitments, strict=True):
            envelope = Envelope.from_bytes(data)
            said = self.opened(envelope, c.Commit, plan.round, one.site)
            assert (said.upload_root, envelope.digest) == (one.upload_root, one.commitment)
            assert said.plan_hash == self.digest(plan)
        if self.name in delivery.cohort.sites:
            mine = delivery.cohort.committed[delivery.cohort.sites.index(self.name)]
            assert mine.upload_root == self.upload_manifest(plan).merkle_root

    def opened(self, envelope: Envelope, kind: type[M], number: int, sender: str) -> M:
        assert envelope.round == number
        kit = self.federation.kits[self.name]
        session = self.federation.manifest.session_id
        return open_envelope(envelope, kit.roster, kind, session=session, sender=sender)

    def send(self, client: CoordinatorClient, plan: m.RoundPlan) -> None:
        frames = self.frames(plan.round)
        client.upload(plan.round, self.upload_manifest(plan), frames.__getitem__)

    def sign_inclusion(self, client: CoordinatorClient, plan: m.RoundPlan) -> None:
        delivery = ask(client, plan.round, c.GetInclusion(), c.InclusionDelivery)
        due = inclusion_hash(self.federation.manifest.session_id, delivery.inclusion)
        assert self.inclusions.setdefault(plan.round, due) == due, "two included sets in one round"
        tell(client, plan.round, c.CoSignInclusion(due))

    def give_share_sum(self, client: CoordinatorClient, plan: m.RoundPlan) -> None:
        number, session = plan.round, self.federation.manifest.session_id
        delivery = ask(client, number, c.GetInclusion(), c.InclusionDelivery)
        due = inclusion_hash(session, delivery.inclusion)
        assert self.inclusions.get(number, due) == due
        signers = self.check_signatures(delivery.signatures, c.CoSignInclusion, number)
        quorum = self.federation.manifest.quorum
        assert quorum.is_certified(signers, plan.sites, delivery.inclusion.sites)
        shares = ask(client, number, c.FetchShares(), c.SharesDelivery).shares
        for sender, one in zip(delivery.inclusion.sites, shares, strict=True):
            assert one.sealed == share(sender, self.name, number)
            sealed = [share(sender, holder, number) for holder in plan.sites]
            check_proven(one, plan.sites.index(self.name), sealed)
        sums = self.share_sums(number)
        tell(client, number, c.DepositShareSums(due, sums))
        tell(client, number, c.PublishShareSums(due, root_of(sums)))

    def share_sums(self, number: int) -> tuple[bytes, ...]:
        sites = self.federation.manifest.sites
        return tuple(share(self.name, site, number, "sum") for site in sites)

    def check_signatures(
        self, envelopes: Sequence[bytes], kind: type[Message], number: int
    ) -> list[str]:
        found = [Envelope.from_bytes(data) for data in envelopes]
        for envelope in found:
            self.opened(envelope, kind, number, envelope.sender)
        return [envelope.sender for envelope in found]

    def finish(self, client: CoordinatorClient, plan: m.RoundPlan) -> None:
        if self.applied < plan.round:
            self.apply(client, plan.round)
        assert self.state is not None
        client.acknowledge(plan.round, self.digest(plan), state_hash(self.state))

    def apply(self, client: CoordinatorClient, round_number: int) -> None:
        """Open and add the sum of a round, which may be long over."""
        opening = ask(client, round_number, c.FetchOpening(), c.Opening)
        manifest = self.federation.manifest
        due = inclusion_hash(manifest.session_id, opening.inclusion)
        info = client.get_aggregate(round_number)
        assert info is not None
        assert info.inclusion_hash == due
        assert info.sites == opening.inclusion.sites
        assert info.plan_hash == self.digest(opening.plan)
        signers = self.check_signatures(opening.signatures, c.CoSignInclusion, round_number)
        assert manifest.quorum.is_certified(signers, opening.plan.sites, opening.inclusion.sites)
        publishers = self.check_signatures(opening.publications, c.PublishShareSums, round_number)
        assert len(set(publishers)) >= manifest.quorum.threshold(len(opening.plan.sites))
        for publisher, one in zip(publishers, opening.share_sums, strict=True):
            sealed = [share(publisher, site, round_number, "sum") for site in manifest.sites]
            assert one.sealed == share(publisher, self.name, round_number, "sum")
            check_proven(one, manifest.sites.index(self.name), sealed)
        super().apply(client, round_number)
