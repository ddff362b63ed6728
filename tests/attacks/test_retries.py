"""A round that is called aborted and repeated from the same state gives no site's update away.

The coordinator shows an included set to a part of the sites only, tells the others that the round
is over, and has one colluding site's share sums: it knows the sum of a round that nobody closes. It
then repeats the round: with other sites, under other sets, or under the number of an earlier round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.client import policy
from fedmrg_secure.client.certificates import CertificateRefused
from fedmrg_secure.client.policy import PlanRefused
from fedmrg_secure.client.signing_record import SignatureRefused, SignedRound, SigningRecord
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.messages import RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase
from tests.attacks.collusion import assert_stolen, difference, sum_error_bound, sum_of_set
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import publish_only


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
    """A site up to its share sum; one that refuses to go on says nothing more."""
    try:
        publish_only(coordinator, member)
    except (SignatureRefused, CertificateRefused):
        coordinator.absent.add(member.name)


def stolen_sum(
    consortium: Consortium,
    plan: RoundPlan,
    included: Sequence[str],
    shown: Sequence[str],
    colluder: str,
) -> IntVector | None:
    """One round; the sum of the included sites if the colluder comes to read enough shares."""
    record = consortium.members[colluder].site.signed
    if record._load():  # who colludes need not remember what it has signed
        record._save([replace(one, inclusion="", sent="") for one in record._load()])
    whom = {*shown, colluder}
    coordinator = Repeating(consortium.manifest, plan, shown=whom, included=included)
    consortium.play(coordinator, dict.fromkeys(plan.sites, publish))
    if coordinator._inclusion is None:
        return None
    return sum_of_set(consortium, coordinator, [colluder], colluder)


# ---- a smaller cohort: its certificate needs none of those who signed the first one

FIRST, SECOND = ["s01", "s02", "s03", "s06"], ["s01", "s02", "s06"]


def begin_alone(record: SigningRecord, entry: SignedRound) -> SignedRound:
    """`SigningRecord.begin` without its look at earlier rounds from the same state."""
    record._save([*record._load(), entry])
    return entry


@pytest.mark.parametrize("weakened", [False, True])
def test_a_cohort_that_shares_no_signer_with_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    if weakened:
        monkeypatch.setattr(SigningRecord, "begin", begin_alone)
    consortium = Consortium(tmp_path, 6)
    first = stolen_sum(consortium, consortium.plan(1), FIRST, ["s03", "s04", "s05"], "s06")
    second = stolen_sum(consortium, consortium.plan(2, SECOND), SECOND, SECOND, "s06")
    assert first is not None
    if weakened:
        assert_stolen(consortium, difference([first, second]), "s03")
    else:
        assert second is None


def test_a_unanimous_certificate_needs_no_such_rule_for_those_who_signed(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 6, certificate="unanimous")
    first = stolen_sum(consortium, consortium.plan(1), FIRST, [*FIRST, "s04"], "s06")
    assert first is not None
    assert stolen_sum(consortium, consortium.plan(2, SECOND), SECOND, SECOND, "s06") is None


# ---- the same cohort: sets that differ in a crowd, pair by pair

P, Q = ["s01", "s02", "s07"], ["s03", "s04", "s05"]
SETS = (
    ([*P, "s06"], ["s01", "s02", "s03", "s04"]),
    (Q, ["s03", "s04", "s05", "s06"]),
    (P + Q, ["s01", "s02", "s05", "s06"]),
)
"""Any two differ in three sites or more; and who is shown which."""


def sign_by_round_alone(
    record: SigningRecord, number: int, inclusion: str, included: tuple[str, ...]
) -> None:
    """`SigningRecord.sign_inclusion` without its look at earlier rounds from the same state."""
    assert record._entry(number).inclusion in ("", inclusion)
    record._change(number, inclusion=inclusion, included=included)


@pytest.mark.parametrize("weakened", [False, True])
def test_three_sets_of_one_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    if weakened:
        monkeypatch.setattr(SigningRecord, "sign_inclusion", sign_by_round_alone)
    consortium = Consortium(tmp_path, 7)
    sums = [
        stolen_sum(consortium, consortium.plan(number), included, shown, "s07")
        for number, (included, shown) in enumerate(SETS, 1)
    ]
    if not weakened:
        assert [opened is not None for opened in sums] == [True, False, False]
        return
    first, second, third = sums
    assert first is not None
    assert second is not None
    error = abs(difference([first + second, third]) - consortium.total(["s06"])).max()
    assert error <= 3 * sum_error_bound(consortium, 7)


# ---- a plan under the number of an earlier round, which the record knows from another state

EARLIER = "e0" * 32
ALL = ["s01", "s02", "s03", "s04"]


@pytest.mark.parametrize("weakened", [False, True])
def test_a_round_under_the_number_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    consortium = Consortium(tmp_path, 4)
    for member in consortium.members.values():  # round 1 was aborted before anything was signed
        member.site.signed.begin(SignedRound(1, EARLIER, "aborted", sites=tuple(ALL)))
    consortium.play(Coordinator(consortium.manifest, consortium.plan(2)))
    whole = stolen_sum(consortium, consortium.plan(3), ALL, ALL, "s04")
    coordinator = Coordinator(consortium.manifest, consortium.plan(1, ALL[1:]))
    coordinator.shown_round = 4
    if weakened:
        check = policy.check_plan

        def by_content(plan: RoundPlan, manifest: Any, **own: Any) -> None:
            check(plan, manifest, **{**own, "round_number": plan.round})

        monkeypatch.setattr(policy, "check_plan", by_content)
        monkeypatch.setattr(SigningRecord, "_entry", SigningRecord.of_round)
        consortium.play(coordinator, dict.fromkeys(ALL[1:], publish_only))
        rest = sum_of_set(consortium, coordinator, ["s04"], "s02")
        assert_stolen(consortium, difference([whole, rest]), "s01")
        return
    with pytest.raises(PlanRefused, match="it was shown as that of round 4"):
        consortium.play(coordinator, dict.fromkeys(ALL[1:], publish_only))
    assert not coordinator.kept
