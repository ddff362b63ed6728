"""Holders that publish wrong share sums: the sum opens all the same, and the log names them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client import round_keys, sum_keys
from fedmrg_secure.client.round_keys import ShareRefused
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.errors import OpeningRefused, SharesInconsistent
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, add_shares
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS as Q
from fedmrg_secure.protocol import certified as c
from tests.attacks.collusion import assert_opened
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import fetch_key, publish_only, take_part


def wrong_sums(monkeypatch: pytest.MonkeyPatch, added: Mapping[int, int]) -> None:
    """Let some holders, by their number, add something to every coefficient of their share sum."""

    def add(shares: list[KeyShare]) -> KeyShare:
        total = add_shares(shares)
        off = added.get(total.holder, 0)
        coefficients = (total.coefficients.astype(np.int64) + off) % Q
        total.destroy()
        return KeyShare(total.holder, SecretPolynomial(coefficients.astype(np.uint32)))

    monkeypatch.setattr(round_keys, "add_shares", add)


def told(member: Member) -> list[Mapping[str, object]]:
    """What a site's log has of wrong share sums."""
    kinds = ("share_sums.wrong", "share_sums.inconsistent")
    return [event for event in member.logged if event["type"] in kinds]


def late(coordinator: Coordinator, member: Member) -> None:
    """An honest site that publishes when every other has looked and found nothing to open with."""
    waiting = coordinator.waiting  # type: ignore[attr-defined]
    publish = member.site.coordinator.certified.publish_share_sums

    def publish_late(*arguments: object) -> None:
        for _ in range(len(coordinator.plan.sites) - 1):
            assert waiting.acquire(timeout=20)
        publish(*arguments)

    certified = member.site.coordinator.certified
    certified.publish_share_sums = publish_late
    take_part(coordinator, member)


def assert_all_opened(consortium: Consortium) -> None:
    for member in consortium.members.values():
        assert_opened(consortium, member.result, list(consortium.members))


def test_a_wrong_share_sum_does_not_stop_the_round_and_the_log_names_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_sums(monkeypatch, {3: 1})
    consortium = Consortium(tmp_path, 5)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator)
    assert_all_opened(consortium)
    for member in consortium.members.values():
        named = [event for event in told(member) if "s03" in event["sites"]]  # type: ignore[operator]
        assert named == told(member)
    # Whoever looked before the fifth had come may have found four right ones, and nothing to tell.
    member = consortium.members["s01"]
    member.logged.clear()
    fetch_key(coordinator, member)
    assert told(member) == [{"type": "share_sums.wrong", "round": 1, "sites": ["s03"]}]


def test_with_only_the_threshold_published_sites_wait_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of five are there, one of them wrong: nothing opens until the fifth comes."""
    wrong_sums(monkeypatch, {3: 1})
    consortium = Consortium(tmp_path, 5, round_deadline_ms=60_000)
    assert consortium.manifest.quorum.threshold(5) == 4
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    coordinator.waiting = threading.Semaphore(0)  # type: ignore[attr-defined]
    for member in consortium.members.values():
        monkeypatch.setattr(
            member.site.progress,
            "enter",
            lambda phase, _: phase == "waiting" and coordinator.waiting.release(),  # type: ignore[attr-defined]
        )
    consortium.play(coordinator, {"s05": late})
    assert_all_opened(consortium)
    for name in ("s01", "s02", "s03", "s04"):
        assert told(consortium.members[name]) == [
            {"type": "share_sums.wrong", "round": 1, "sites": ["s03"]}
        ]


def test_colluders_that_cannot_be_told_are_not_and_nobody_else_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of seven add values of x (x - 3) (x - 4) (x - 5): S is right, and 6 and 7 do not fit."""
    product = {h: h * (h - 3) * (h - 4) * (h - 5) % Q for h in (1, 2)}
    wrong_sums(monkeypatch, product)
    consortium = Consortium(tmp_path, 7, colluders=2, min_sites=4)
    assert consortium.manifest.quorum.threshold(7) == 5
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator)
    assert_all_opened(consortium)
    assert not any("sites" in event for one in consortium.members.values() for event in told(one))
    member = consortium.members["s06"]
    member.logged.clear()
    fetch_key(coordinator, member)
    assert told(member) == [{"type": "share_sums.inconsistent", "round": 1}]


def test_a_nearer_wrong_word_does_not_stop_the_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of seven agree with four honest holders on a wrong key."""
    product = {h: (h - 1) * (h - 2) * (h - 3) * (h - 4) % Q for h in (6, 7)}
    wrong_sums(monkeypatch, product)
    consortium = Consortium(tmp_path, 7, colluders=2, min_sites=4)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator)
    assert_all_opened(consortium)


class Refusing:
    """A round whose share sums are all there, looked at by one site."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.consortium = Consortium(folder, 5, **changes)
        self.coordinator = Coordinator(self.consortium.manifest, self.consortium.plan())
        self.member = self.consortium.members["s01"]
        self.consortium.play(self.coordinator, dict.fromkeys(self.consortium.members, publish_only))
        assert len(self.coordinator.publications) == 5
        self.coordinator.over = False

    def withhold(self, *names: str) -> None:
        for name in names:
            del self.coordinator.publications[name]


def test_an_altered_sum_is_refused_at_once_though_more_share_sums_may_come(
    tmp_path: Path,
) -> None:
    """t + T holders that agree do not lie all: waiting for others would change nothing."""
    round_ = Refusing(tmp_path)
    sums = round_.coordinator.sum_for
    honest: ResidueVector = sums("s01").copy()
    honest[-3] = (int(honest[-3]) + (1 << 22)) % round_.coordinator.parameters.modulus
    round_.coordinator.sum_for = lambda site: honest  # type: ignore[method-assign]
    started = time.monotonic()
    with pytest.raises(OpeningRefused):
        fetch_key(round_.coordinator, round_.member)
    assert time.monotonic() - started < 5


def test_nobody_waits_beyond_the_round_s_deadline_nor_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_sums(monkeypatch, {3: 1})
    round_ = Refusing(tmp_path, round_deadline_ms=1000)
    round_.withhold("s05")
    started = time.monotonic()
    with pytest.raises(OpeningRefused):
        fetch_key(round_.coordinator, round_.member)
    assert 1 < time.monotonic() - started < 10
    status = round_.coordinator.status("s01")
    object.__setattr__(status, "round", 2)  # as while catching up: the round is past
    round_.member.site.status = lambda: status
    started = time.monotonic()
    with pytest.raises(OpeningRefused):
        fetch_key(round_.coordinator, round_.member)
    assert time.monotonic() - started < 1


def test_too_few_usable_ones_are_waited_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_ = Refusing(tmp_path, round_deadline_ms=1000)
    round_.withhold("s05")
    opening_for = round_.coordinator.opening_for

    def spoilt(site: str) -> c.Opening:
        opening = opening_for(site)
        first, *rest = opening.share_sums
        first = c.ProvenShare(first.sealed[::-1], first.proof)
        return c.Opening(
            opening.plan,
            opening.inclusion,
            opening.signatures,
            opening.publications,
            (first, *rest),
        )

    round_.coordinator.opening_for = spoilt  # type: ignore[method-assign]
    with pytest.raises(ShareRefused, match="3 share sums of round 1 can be used, 4 are needed"):
        fetch_key(round_.coordinator, round_.member)


def test_an_opening_without_any_share_sum_is_refused(tmp_path: Path) -> None:
    round_ = Refusing(tmp_path, round_deadline_ms=500)
    round_.withhold(*round_.consortium.members)
    round_.coordinator.opening_available = lambda: True  # type: ignore[method-assign]
    with pytest.raises(ShareRefused, match="0 share sums of round 1 can be used"):
        fetch_key(round_.coordinator, round_.member)


def test_without_the_check_block_the_wrong_holder_would_stop_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_sums(monkeypatch, {3: 1})
    round_ = Refusing(tmp_path)
    combine = sum_keys.combine
    monkeypatch.setattr(sum_keys, "combine", lambda shares, t, **_: combine(shares, t))
    with pytest.raises(SharesInconsistent):
        fetch_key(round_.coordinator, round_.member)
