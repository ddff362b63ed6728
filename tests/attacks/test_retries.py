"""A round that is called aborted and repeated from the same state gives no site's update away.

The coordinator shows the included set to a part of the sites only, tells the others that the round
is over, and has one colluding site's share sums: it knows the sum of a round that nobody closes.
It then repeats the round among other sites. Each attack is made against sites as they are, and
against sites with one rule taken away, where it opens the victim's update.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import round_keys
from fedmrg_secure.client.certificates import CertificateRefused
from fedmrg_secure.client.certifying import certify_inclusion
from fedmrg_secure.client.policy import PlanRefused, check_plan
from fedmrg_secure.client.signing_record import SignatureRefused, SignedRound, SigningRecord
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, combine
from fedmrg_secure.crypto.seal_key import open_sealed
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.messages import RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase
from tests.attacks import consortium as world
from tests.attacks.consortium import Consortium, Coordinator, Member


class Repeating(Coordinator):
    """Has a set certified by some sites; the others hear that the round was aborted."""

    def __init__(self, *args: Any, shown: Sequence[str], included: Sequence[str]) -> None:
        super().__init__(*args)
        self.shown, self.wanted = set(shown), sorted(included)

    def make_inclusion(self, sites: Sequence[str]) -> c.Inclusion:
        return super().make_inclusion(self.wanted)

    def phase_for(self, site: str) -> RoundPhase:
        phase = super().phase_for(site)
        hidden = site not in self.shown and phase.has_reached(RoundPhase.INCLUDING)
        return RoundPhase.ABORTED if hidden else phase


def publish(coordinator: Coordinator, member: Member) -> None:
    """An honest site up to its share sum; one that refuses to go on says nothing more."""
    try:
        cohort = world.commit_and_certify(coordinator, member)
        if cohort is not None:
            world.upload(coordinator, member)
            certify_inclusion(member.site, coordinator.plan, coordinator.plan_hash, cohort)
    except (SignatureRefused, CertificateRefused):
        coordinator.absent.add(member.name)


def play(
    consortium: Consortium,
    plan: RoundPlan,
    included: Sequence[str],
    shown: Sequence[str],
    colluder: str,
) -> IntVector | None:
    """One round; the sum of the included sites if the colluder has shares enough to open it."""
    record = consortium.members[colluder].site.store.folder / "signed.json"
    record.unlink(missing_ok=True)  # who colludes need not remember
    coordinator = Repeating(consortium.manifest, plan, shown={*shown, colluder}, included=included)
    consortium.play(coordinator, dict.fromkeys(plan.sites, publish), timeout_s=5)
    threshold = consortium.manifest.quorum.threshold(len(plan.cohort))
    if len(coordinator.publications) < threshold:
        return None
    member, place = consortium.members[colluder], consortium.manifest.sites.index(colluder)
    shares = []
    for holder in coordinator.publications:
        info = round_keys._info(
            member.site,
            "round-key-share-sum",
            plan.round,
            coordinator.plan_hash,
            sender=holder,
            recipient=colluder,
        )
        sealed = coordinator.sums[holder][place]
        shares.append(KeyShare.from_bytes(open_sealed(member.seal_key, sealed, info).reveal()))
    return world.decrypt(
        coordinator.parameters,
        coordinator.plan_hash,
        combine(shares, threshold),
        coordinator.add(coordinator.wanted),
        len(coordinator.wanted),
    )


def alone(self: SigningRecord, entry: SignedRound) -> SignedRound:
    """`SigningRecord.begin` without its look at earlier rounds from the same state."""
    self._save([*self._load(), entry])
    return entry


def one_set_a_round(self: SigningRecord, number: int, inclusion: str, included: Any) -> None:
    """`SigningRecord.sign_inclusion` as it would be if only the round in hand counted."""
    assert self._entry(number).inclusion in ("", inclusion)
    self._change(number, inclusion=inclusion, included=included)


# ---- a smaller cohort: its certificate needs none of those who signed the first one

FIRST, SECOND = ["s01", "s02", "s03", "s06"], ["s01", "s02", "s06"]


def sums_of_two_cohorts(consortium: Consortium) -> tuple[IntVector | None, IntVector | None]:
    first = play(consortium, consortium.plan(1), FIRST, ["s03", "s04", "s05"], "s06")
    return first, play(consortium, consortium.plan(2, SECOND), SECOND, SECOND, "s06")


@pytest.mark.parametrize("rule", ["threshold", "unanimous"])
def test_what_was_sent_is_not_sent_to_a_cohort_of_others(tmp_path: Path, rule: str) -> None:
    consortium = Consortium(tmp_path, 6, certificate=rule)
    first = play(consortium, consortium.plan(1), FIRST, [*FIRST, "s04"], "s06")
    assert first is not None
    assert play(consortium, consortium.plan(2, SECOND), SECOND, SECOND, "s06") is None


def test_a_cohort_that_shares_no_signer_would_give_an_update_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SigningRecord, "begin", alone)
    consortium = Consortium(tmp_path, 6)
    first, second = sums_of_two_cohorts(consortium)
    assert first is not None
    assert second is not None
    assert np.abs(first - second - consortium.members["s03"].values).max() <= 4


# ---- the same cohort: sets that differ in a crowd, pair by pair

P, Q = ["s01", "s02", "s07"], ["s03", "s04", "s05"]
SETS = (
    ([*P, "s06"], ["s01", "s02", "s03", "s04"]),
    (Q, ["s03", "s04", "s05", "s06"]),
    (P + Q, ["s01", "s02", "s05", "s06"]),
)
"""Any two differ in three sites or more; and who is shown which."""


def sums_of_three_sets(consortium: Consortium) -> list[IntVector | None]:
    return [
        play(consortium, consortium.plan(number), included, shown, "s07")
        for number, (included, shown) in enumerate(SETS, 1)
    ]


def test_from_one_state_one_set_is_opened(tmp_path: Path) -> None:
    first, second, third = sums_of_three_sets(Consortium(tmp_path, 7))
    assert first is not None
    assert second is None
    assert third is None


def test_a_set_of_each_round_s_own_would_give_an_update_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SigningRecord, "sign_inclusion", one_set_a_round)
    consortium = Consortium(tmp_path, 7)
    first, second, third = sums_of_three_sets(consortium)
    assert first is not None
    assert second is not None
    assert third is not None
    victim = consortium.members["s06"].values
    assert np.abs(first + second - third - victim).max() <= 8


# ---- a plan under another round's number: the record of that round has another state


def test_a_plan_is_taken_only_as_that_of_the_round_in_hand(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 4)
    plan = consortium.plan(1)
    site: Any = consortium.members["s01"].site
    terms = {
        "site": "s01",
        "nonce": plan.cohort[0].nonce,
        "base_state_hash": world.BASE.hex(),
        "transcript": m.NO_TRANSCRIPT,
    }
    check_plan(plan, consortium.manifest, round_number=1, **terms)
    with pytest.raises(PlanRefused, match="it was shown as that of round 4"):
        check_plan(plan, consortium.manifest, round_number=4, **terms)
    site.signed.begin(SignedRound(4, world.BASE.hex(), "plan", sites=plan.sites))
    for sign in (
        lambda: site.signed.commit(1, "aa" * 32, "bb" * 32),
        lambda: site.signed.sign_inclusion(1, "cc" * 32, ("s01", "s02", "s03")),
    ):
        with pytest.raises(SignatureRefused, match="round 1 is not the one"):
            sign()
