"""What a cheating coordinator shows to a site for its co-signature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client import certificates
from fedmrg_secure.client.certificates import CertificateRefused
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, RoundKey
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.certified_calls import root_of
from fedmrg_secure.protocol.envelope import seal_envelope
from tests.attacks.collusion import (
    assert_opened,
    assert_stolen,
    difference,
    seal_as,
    sum_of_set,
    without_finding,
)
from tests.attacks.consortium import Consortium
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import VALUES, encrypt, publish_only

# ---- a commitment that its site has not made


class Impostor(Coordinator):
    """Keeps one honest site away and plays it, with a key and an update of its own making; a
    colluder signs. Then it includes the victim, the colluder and its own creature only."""

    def __init__(self, consortium: Consortium, *, played: str, colluder: str) -> None:
        super().__init__(consortium.manifest, consortium.plan())
        self.absent.add(played)
        key = RoundKey.generate(self.parameters)
        scheme = CkksMultiparty(self.parameters, self.plan_hash, VALUES, key=key)
        self.creature = played
        self.nothing: ResidueVector = encrypt(scheme, np.zeros(VALUES, dtype=np.int64))
        count = len(self.plan.cohort)
        shares = key.shares(count, self.manifest.quorum.threshold(count))
        sealed = tuple(
            seal_as(self, consortium.members[holder], "round-key-share", played, share)
            for holder, share in zip(self.plan.sites, shares, strict=True)
        )
        root = merkle_root([leaf_hash(self.nothing.tobytes())])
        self.deposits[played], self.roots[played] = sealed, root
        self.commits[played] = seal_envelope(
            consortium.members[colluder].key,
            c.Commit(self.plan_hash, root, root_of(sealed)),
            session=self.session,
            round_number=self.plan.round,
            sequence=1,
        )
        self.uploads[played] = self.nothing

    def make_inclusion(self, sites: list[str]) -> c.Inclusion:  # type: ignore[override]
        return super().make_inclusion(["s01", "s02", "s04"])


@pytest.mark.parametrize("weakened", [False, True])
def test_a_site_that_the_coordinator_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """Who may commit in a site's name is one more of the crowd that a victim hides in."""
    consortium = Consortium(tmp_path, 4)
    coordinator = Impostor(consortium, played="s02", colluder="s04")
    steps = dict.fromkeys(consortium.members, publish_only) | {"s02": lambda *_: None}
    if not weakened:
        with pytest.raises(CertificateRefused, match=r"s02 in round 1 .* is signed by s04"):
            consortium.play(coordinator, steps)
        assert not coordinator.kept
        return
    without_finding(monkeypatch, certificates, "_check", "it is signed by")
    consortium.play(coordinator, steps)
    opened = sum_of_set(consortium, coordinator, ["s04"], "s01")
    assert_stolen(consortium, difference([opened, consortium.total(["s04"])]), "s01")


class Forger(Coordinator):
    """Names another upload than a site has committed to."""

    def cohort_for(self, site: str) -> c.Cohort:
        cohort = super().cohort_for(site)
        forged = (
            c.CommittedSite(one.site, bytes(32), one.commitment) if one.site == "s02" else one
            for one in cohort.committed
        )
        return c.Cohort(cohort.round, cohort.plan_hash, tuple(forged))


@pytest.mark.parametrize("weakened", [False, True])
def test_an_upload_that_its_site_has_not_committed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """Without the comparison the sites would certify it, and the record of the round would lie."""
    consortium = Consortium(tmp_path, 3)
    coordinator = Forger(consortium.manifest, consortium.plan())
    steps = dict.fromkeys(consortium.members, publish_only)
    if not weakened:
        with pytest.raises(CertificateRefused, match="commitment of s02 in round 1"):
            consortium.play(coordinator, steps)
        assert not coordinator.co_signed
        return
    without_finding(monkeypatch, certificates, "_check", "its upload is not the cohort's")
    consortium.play(coordinator, steps)
    certified = [
        statement
        for statement, signers in coordinator.co_signed.items()
        if len(signers) == len(consortium.members)
    ]
    cohort = certificates.cohort_hash(coordinator.session, coordinator.cohort_for("s01"))
    assert cohort in certified


# ---- a sum of one


class Loner(Coordinator):
    """Claims that nobody but one site uploaded."""

    def inclusion_for(self, site: str) -> c.Inclusion:
        return self.make_inclusion(["s01"])

    def make_inclusion(self, sites: list[str]) -> c.Inclusion:  # type: ignore[override]
        return super().make_inclusion(["s01"])


@pytest.mark.parametrize("weakened", [False, True])
def test_a_sum_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool) -> None:
    """Without a smallest crowd the share sums would be those of the victim's key."""
    consortium = Consortium(tmp_path, 4)
    coordinator = Loner(consortium.manifest, consortium.plan())
    steps = dict.fromkeys(consortium.members, publish_only)
    if not weakened:
        with pytest.raises(CertificateRefused, match="it has 1 sites, 3 are needed"):
            consortium.play(coordinator, steps)
        assert not coordinator.kept
        return
    without_finding(monkeypatch, certificates, "_check", "are needed")
    consortium.play(coordinator, steps)
    assert_opened(consortium, sum_of_set(consortium, coordinator, ["s04"], "s02"), ["s01"])
