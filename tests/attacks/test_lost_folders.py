"""An old plan at a site that has lost its folder, and with it the record of what it has signed.

Nothing is left of that record but the site's nonce in the plan: the new folder has another one. A
site that took the old plan all the same would commit a second time in the same round, and sign a
second included set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.client.policy import PlanRefused
from fedmrg_secure.client.waiting import reaches
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash
from fedmrg_secure.protocol.phases import RoundPhase
from tests.attacks.collusion import TwoFaced, assert_stolen, take_any_nonce
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import commit_update, publish_only, upload

LOSER = "s02"


class Replayer(TwoFaced):
    """Plays one round twice under one plan, with a cohort each.

    The first time everybody's commitment counts and the victim is included; the second time the
    loser's new commitment takes the place of its first, and the victim is left out. A site that has
    not signed yet waits for the second time.
    """

    def __init__(self, consortium: Consortium) -> None:
        super().__init__(consortium.manifest, consortium.plan(), others=["s03"], colluders=["s04"])
        self.first_commits: dict[str, Envelope] = {}
        self.first_roots: dict[str, bytes] = {}
        self.first_deposits: dict[str, tuple[bytes, ...]] = {}
        self.first_uploads: dict[str, ResidueVector] = {}
        self.again = False

    def is_second(self, site: str) -> bool:
        return site in self.others

    def commits_for(self, site: str) -> Mapping[str, Envelope]:
        return self.commits if self.is_second(site) else self.first_commits

    def deposits_for(self, site: str) -> Mapping[str, tuple[bytes, ...]]:
        return self.deposits if self.is_second(site) else self.first_deposits

    def cohort_for(self, site: str) -> c.Cohort:
        roots = self.roots if self.is_second(site) else self.first_roots
        entries = (
            c.CommittedSite(name, roots[name], envelope.digest)
            for name, envelope in sorted(self.commits_for(site).items())
        )
        return c.Cohort(self.plan.round, self.plan_hash, tuple(entries))

    def inclusion_for(self, site: str) -> c.Inclusion:
        cohort = cohort_hash(self.session, self.cohort_for(site))
        sites = self.plan.sites[1:] if self.is_second(site) else self.plan.sites
        return c.Inclusion(self.plan.round, self.plan_hash, cohort, sites)

    def sum_for(self, site: str) -> ResidueVector:
        first = {} if self.is_second(site) else self.first_uploads
        return self.add(self.inclusion_for(site).sites, self.uploads | first)

    def is_committed(self, site: str) -> bool:
        return site in self.commits and (site != LOSER or self.again or not self.is_second(site))

    def begin_again(self) -> None:
        """The loser's folder is gone: it is shown the plan once more, and from now on the rest."""
        with self.lock:
            self.first_uploads[LOSER] = self.uploads.pop(LOSER)
            self.others.add(LOSER)

    def _answer(self, site: str, envelope: Envelope, message: Any) -> Any:
        answer = super()._answer(site, envelope, message)
        if isinstance(message, c.Commit):
            self.again = site == LOSER and self.is_second(site)
            if len(self.commits) == len(self.plan.sites) and not self.again:
                self.first_commits, self.first_roots = dict(self.commits), dict(self.roots)
                self.first_deposits = dict(self.deposits)
        return answer

    def phase_for(self, site: str) -> RoundPhase:
        with self.lock:
            if not self.first_commits or (self.is_second(site) and not self.again):
                return RoundPhase.COMMITTING
            cohort, inclusion = self.cohort_for(site), self.inclusion_for(site)
            if not self.certified(cohort_hash(self.session, cohort), cohort.sites):
                return RoundPhase.CERTIFYING
            if site not in self.uploads:
                return RoundPhase.UPLOADING
            if not self.certified(inclusion_hash(self.session, inclusion), inclusion.sites):
                return RoundPhase.INCLUDING
            return RoundPhase.AGGREGATED


def collude(coordinator: Coordinator, member: Member) -> None:
    """Sign every cohort and every included set, as soon as they are there."""
    assert isinstance(coordinator, Replayer)
    number, calls = coordinator.plan.round, member.site.coordinator.certified
    commit_update(coordinator, member)
    if not reaches(member.site, number, RoundPhase.CERTIFYING):
        return
    upload(coordinator, member)
    for shown in ("s01", "s03"):
        while shown == "s03" and not coordinator.again:
            member.site.status()
            if coordinator.over:
                return
            time.sleep(0.02)
        session = coordinator.session
        calls.co_sign_cohort(number, cohort_hash(session, coordinator.cohort_for(shown)))
        calls.co_sign_inclusion(number, inclusion_hash(session, coordinator.inclusion_for(shown)))


@pytest.mark.parametrize("weakened", [False, True])
def test_an_old_plan_at_a_site_that_has_lost_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    consortium = Consortium(tmp_path, 4)
    coordinator = Replayer(consortium)

    def lose_folder(coordinator: Coordinator, member: Member) -> None:
        assert isinstance(coordinator, Replayer)
        publish_only(coordinator, member)
        consortium.lose_folder(member)
        coordinator.begin_again()
        publish_only(coordinator, member)

    steps = {"s01": publish_only, LOSER: lose_folder, "s03": publish_only, "s04": collude}
    if weakened:
        take_any_nonce(monkeypatch)
        consortium.play(coordinator, steps)
        assert_stolen(consortium, coordinator.difference(consortium, "s01", "s03"), "s01")
        return
    with pytest.raises(PlanRefused, match="it does not hold this site's nonce"):
        consortium.play(coordinator, steps)
    assert len(coordinator.kept) == 1, "of the first included set alone"
