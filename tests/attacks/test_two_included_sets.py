"""A cheating coordinator has two included sets certified in one round and subtracts their sums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.client.certifying import certify_inclusion
from fedmrg_secure.client.signing_record import SignatureRefused, SigningRecord
from fedmrg_secure.client.waiting import reaches
from fedmrg_secure.protocol.hashes import inclusion_hash
from fedmrg_secure.protocol.phases import RoundPhase
from tests.attacks.collusion import (
    TwoFaced,
    assert_opened,
    assert_stolen,
    difference,
    sum_of_set,
)
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import commit_and_certify, publish_only, upload


def collude(coordinator: Coordinator, member: Member) -> None:
    """Sign every included set that is shown to anybody."""
    assert isinstance(coordinator, TwoFaced)
    commit_and_certify(coordinator, member)
    upload(coordinator, member)
    if not reaches(member.site, coordinator.plan.round, RoundPhase.INCLUDING):
        return
    calls = member.site.coordinator.certified
    for shown in coordinator.plan.sites:
        statement = inclusion_hash(coordinator.session, coordinator.inclusion_for(shown))
        calls.co_sign_inclusion(coordinator.plan.round, statement)


class Sets:
    """A round with two included sets, with the victim shown to one honest site, without to others.

    Attributes:
        whole, without_victim: their sums, opened by the first colluder; None where one can not be.
        difference: the victim's update, if both are open.
    """

    def __init__(self, folder: Path, colluders: Sequence[str], **changes: Any) -> None:
        self.consortium = Consortium(folder, 4, **changes)
        honest = [name for name in self.consortium.members if name not in colluders]
        coordinator = TwoFaced(
            self.consortium.manifest,
            self.consortium.plan(),
            others=honest[len(honest) // 2 :],
            colluders=colluders,
        )
        steps = dict.fromkeys(honest, publish_only) | dict.fromkeys(colluders, collude)
        self.consortium.play(coordinator, steps)
        self.whole = sum_of_set(self.consortium, coordinator, colluders, honest[0])
        self.without_victim = sum_of_set(self.consortium, coordinator, colluders, honest[-1])
        self.difference = difference([self.whole, self.without_victim])


def test_two_sets_cannot_be_certified_with_the_colluders_that_are_allowed_for(
    tmp_path: Path,
) -> None:
    sets = Sets(tmp_path, ["s04"])
    assert sets.whole is None
    assert_opened(sets.consortium, sets.without_victim, ["s02", "s03", "s04"])


def test_with_one_colluder_more_they_can_so_the_bound_is_tight(tmp_path: Path) -> None:
    sets = Sets(tmp_path, ["s03", "s04"])
    assert_stolen(sets.consortium, sets.difference, "s01")


def test_a_unanimous_certificate_stops_that_too(tmp_path: Path) -> None:
    sets = Sets(tmp_path, ["s03", "s04"], certificate="unanimous")
    assert sets.whole is None
    assert_opened(sets.consortium, sets.without_victim, ["s02", "s03", "s04"])


def asked_twice(coordinator: Coordinator, member: Member) -> None:
    """A site that has helped to open one set is shown the other."""
    assert isinstance(coordinator, TwoFaced)
    site, plan, digest = member.site, coordinator.plan, coordinator.plan_hash
    cohort = commit_and_certify(coordinator, member)
    upload(coordinator, member)
    assert certify_inclusion(site, plan, digest, cohort)
    coordinator.others.add(member.name)
    certify_inclusion(site, plan, digest, cohort)


@pytest.mark.parametrize("weakened", [False, True])
def test_a_site_that_is_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """Without the record of what it has signed, one honest site gives the victim's update away."""
    consortium = Consortium(tmp_path, 4)
    coordinator = TwoFaced(
        consortium.manifest, consortium.plan(), others=["s03"], colluders=["s04"]
    )
    steps = {"s01": publish_only, "s02": asked_twice, "s03": publish_only, "s04": collude}
    if weakened:
        monkeypatch.setattr(SigningRecord, "sign_inclusion", lambda *_, **__: None)
        consortium.play(coordinator, steps)
        assert_stolen(consortium, coordinator.difference(consortium, "s01", "s03"), "s01")
        return
    with pytest.raises(SignatureRefused, match="has co-signed another included set in round 1"):
        consortium.play(coordinator, steps)
    assert coordinator.difference(consortium, "s01", "s03") is None
