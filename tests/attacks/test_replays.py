"""A coordinator that shows a site what it has shown before: a plan, a round, a certificate."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.client import certifying
from fedmrg_secure.client.policy import PlanRefused
from fedmrg_secure.client.signing_record import SignatureRefused, SignedRound, SigningRecord
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import ReplyRefused
from fedmrg_secure.protocol.hashes import inclusion_hash
from fedmrg_secure.protocol.messages import RoundPlan
from tests.attacks.collusion import (
    TwoFaced,
    assert_opened,
    assert_stolen,
    difference,
    sum_of_set,
    take_any_nonce,
)
from tests.attacks.consortium import Consortium
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import publish_only

ALL = ["s01", "s02", "s03", "s04"]


def sum_by_one_reader(consortium: Consortium, plan: RoundPlan) -> IntVector | None:
    """Play a round up to its share sums; one site reads them for the coordinator."""
    coordinator = Coordinator(consortium.manifest, plan)
    consortium.play(coordinator, dict.fromkeys(plan.sites, publish_only))
    return sum_of_set(consortium, coordinator, ["s04"], "s02")


# ---- a second sum from one state


def rebind(record: SigningRecord, entry: SignedRound) -> SignedRound:
    """A record that binds itself to whatever plan comes."""
    record._save([entry])
    return entry


def test_a_round_with_another_plan_is_refused(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 4)
    whole = sum_by_one_reader(consortium, consortium.plan(1))
    assert_opened(consortium, whole, ALL)
    with pytest.raises(SignatureRefused, match="another plan of round 1 was shown"):
        sum_by_one_reader(consortium, consortium.plan(1, ALL[1:]))


def test_a_record_that_forgets_its_rounds_plan_would_give_a_second_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sites keep their nonce of a round, and send the same update from the same state."""
    monkeypatch.setattr(SigningRecord, "begin", rebind)
    consortium = Consortium(tmp_path, 4)
    whole = sum_by_one_reader(consortium, consortium.plan(1))
    rest = sum_by_one_reader(consortium, consortium.plan(1, ALL[1:]))
    assert_stolen(consortium, difference([whole, rest]), "s01")


def sign_by_round_alone(
    record: SigningRecord, number: int, inclusion: str, included: tuple[str, ...]
) -> None:
    """A record that looks at the round in hand only."""
    entry = record._entry(number)
    assert entry.inclusion in ("", inclusion)
    record._change(number, inclusion=inclusion, included=included)


@pytest.mark.parametrize("weakened", [False, True])
def test_a_round_in_the_place_of_one_that_was_said_to_be_aborted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """The coordinator lies about the abort, and leaves the victim out of the next one."""
    consortium = Consortium(tmp_path, 4)
    whole = sum_by_one_reader(consortium, consortium.plan(1))
    again = consortium.plan(2, ALL[1:])
    if not weakened:
        with pytest.raises(SignatureRefused, match="rounds 1 and 2 have the same updates"):
            sum_by_one_reader(consortium, again)
        return
    monkeypatch.setattr(SigningRecord, "sign_inclusion", sign_by_round_alone)
    assert_stolen(consortium, difference([whole, sum_by_one_reader(consortium, again)]), "s01")


def test_an_old_plan_is_refused_by_its_nonce_and_by_what_was_signed_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium = Consortium(tmp_path, 4)
    old = consortium.plan(1)
    sum_by_one_reader(consortium, old)
    sum_by_one_reader(consortium, consortium.plan(2))
    with pytest.raises(PlanRefused, match="it does not hold this site's nonce"):
        sum_by_one_reader(consortium, old)
    take_any_nonce(monkeypatch)
    with pytest.raises(SignatureRefused, match="round 1 is not the one that"):
        sum_by_one_reader(consortium, old)


# ---- a certificate of another round


class Replayer(TwoFaced):
    """Certifies whatever it shows with the co-signatures of an earlier round's included set."""

    old: tuple[bytes, ...] = ()

    def signatures_for(self, site: str, statement: bytes) -> tuple[bytes, ...]:
        if self.is_inclusion(statement):
            return self.old
        return super().signatures_for(site, statement)

    def certified(self, statement: bytes, named: Any) -> bool:
        return self.is_inclusion(statement) or super().certified(statement, named)

    def is_inclusion(self, statement: bytes) -> bool:
        shown = (inclusion_hash(self.session, self.inclusion_for(site)) for site in self.plan.sites)
        return self._cohort is not None and statement in shown


def who_has_signed(
    site: Any,
    plan: RoundPlan,
    statement: bytes,
    expected: type,
    signatures: Iterable[bytes],
    named: Collection[str],
) -> None:
    """A certificate's check that asks who has signed, and not what."""
    signers = []
    for data in signatures:
        envelope = Envelope.from_bytes(data)
        calls = site.coordinator.certified
        signers.append(calls.signed(data, expected, envelope.round)[0])
    assert site.manifest.quorum.is_certified(signers, plan.sites, named)


def replayed(folder: Path, rule: str, colluders: list[str]) -> tuple[Consortium, Replayer]:
    """A round that is over, and the coordinator of the next one."""
    consortium = Consortium(folder, 4, certificate=rule)
    first = Coordinator(consortium.manifest, consortium.plan(1))
    consortium.play(first)
    assert_opened(consortium, consortium.members["s01"].result, ALL)
    statement = inclusion_hash(first.session, first.inclusion_for("s01"))
    second = Replayer(consortium.manifest, consortium.plan(2), others=["s02"], colluders=colluders)
    second.old = tuple(first.co_signed[statement].values())
    return consortium, second


@pytest.mark.parametrize("weakened", [False, True])
def test_a_certificate_of_an_earlier_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """Unanimity holds against more than T colluders, and is as good as its signatures."""
    consortium, second = replayed(tmp_path, "unanimous", ["s03", "s04"])
    steps = dict.fromkeys(ALL, publish_only)
    if weakened:
        monkeypatch.setattr(certifying, "check_signatures", who_has_signed)
        consortium.play(second, steps)
        assert_stolen(consortium, second.difference(consortium, "s01", "s02"), "s01")
        return
    with pytest.raises(ReplyRefused, match="it is for round 1, not 2"):
        consortium.play(second, steps)
    assert not second.kept


def test_share_sums_alone_keep_the_bound_of_certificates_by_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each set needs share sums of t holders, and a holder publishes those of one set a round."""
    monkeypatch.setattr(certifying, "check_signatures", who_has_signed)
    consortium, second = replayed(tmp_path, "threshold", ["s04"])
    consortium.play(second, dict.fromkeys(ALL, publish_only))
    assert len(second.kept) == 2
    assert second.difference(consortium, "s01", "s02") is None
