"""Attacks on key shares, and on their sums, on the way from site to site.

HPKE says nothing of who has sealed, so a coordinator can put shares of its own making in the place
of any. What stops it is that a site believes only what its sender has signed for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client import round_keys, sum_keys
from fedmrg_secure.client.round_keys import ShareRefused
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, KeyShare, RoundKey, combine
from fedmrg_secure.protocol import certified as c
from tests.attacks.collusion import (
    assert_opened,
    empty_share,
    key_of_set,
    seal_as,
)
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import (
    accept_sum,
    decrypt,
    encrypt,
    fetch_key,
    publish_only,
)


def without_audit_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that do not ask whether a sender has signed for what is sealed to them."""
    for room in (round_keys, sum_keys):
        monkeypatch.setattr(room, "check_signed_for", lambda *_: None)


# ---- shares


class Isolator(Coordinator):
    """Hands out the victim's shares as they are, and shares of the key 0 in place of all others, so
    that each holder's sum is its share of the victim's key."""

    def __init__(self, consortium: Consortium, victim: str) -> None:
        super().__init__(consortium.manifest, consortium.plan())
        self.consortium, self.victim = consortium, victim

    def shares_for(self, site: str) -> tuple[c.ProvenShare, ...]:
        holder = self.consortium.members[site]
        empty = empty_share(self.plan.sites.index(site) + 1)
        return tuple(
            share
            if sender == self.victim
            else c.ProvenShare(seal_as(self, holder, "round-key-share", sender, empty), share.proof)
            for sender, share in zip(
                self.inclusion_for(site).sites, super().shares_for(site), strict=True
            )
        )


@pytest.mark.parametrize("weakened", [False, True])
def test_shares_of_another_than_their_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """Without their audit paths one colluder, who reads the published sums, would open the victim's
    update."""
    consortium = Consortium(tmp_path, 4)
    coordinator = Isolator(consortium, "s01")
    steps = dict.fromkeys(consortium.members, publish_only)
    if not weakened:
        with pytest.raises(ShareRefused, match=r"s0\d: not the share that it has signed for"):
            consortium.play(coordinator, steps)
        assert not coordinator.kept
        return
    without_audit_paths(monkeypatch)
    consortium.play(coordinator, steps)
    key = key_of_set(consortium, coordinator, ["s04"], "s01")
    assert key is not None
    parameters, digest = coordinator.parameters, coordinator.plan_hash
    opened = decrypt(parameters, digest, key, coordinator.uploads["s01"], 1)
    assert_opened(consortium, opened, ["s01"])


class Flipper(Coordinator):
    """Changes one bit of one sealed share on its way to its holder."""

    def shares_for(self, site: str) -> tuple[c.ProvenShare, ...]:
        first, *rest = super().shares_for(site)
        if site == "s03":
            flipped = first.sealed[:-1] + bytes([first.sealed[-1] ^ 1])
            first = c.ProvenShare(flipped, first.proof)
        return (first, *rest)


@pytest.mark.parametrize("weakened", [False, True])
def test_a_changed_share_names_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """By its audit path, and without that by HPKE's tag."""
    if weakened:
        without_audit_paths(monkeypatch)
    consortium = Consortium(tmp_path, 4)
    coordinator = Flipper(consortium.manifest, consortium.plan())
    why = "what it has sealed can not be opened" if weakened else "not the share that it has signed"
    with pytest.raises(ShareRefused, match=f"s01: {why}"):
        consortium.play(coordinator)


# ---- sums of shares


class Substitute(Coordinator):
    """Puts bytes of its own making in one holder's place."""

    def opening_for(self, site: str) -> c.Opening:
        opening = super().opening_for(site)
        first, *rest = opening.share_sums
        return with_sums(opening, [c.ProvenShare(first.sealed[::-1], first.proof), *rest])


def with_sums(opening: c.Opening, sums: Sequence[c.ProvenShare]) -> c.Opening:
    return c.Opening(
        opening.plan, opening.inclusion, opening.signatures, opening.publications, tuple(sums)
    )


def test_a_substituted_share_sum_is_left_out_and_the_rest_open(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 4)
    coordinator = Substitute(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, publish_only))
    assert len(coordinator.publications) == 4
    member = consortium.members["s01"]
    accept_sum(coordinator, member, fetch_key(coordinator, member))
    assert_opened(consortium, member.result, list(consortium.members))


class Inventor(Coordinator):
    """Seals shares of a key of its own in every holder's place, and hands out as the sum what it
    has encrypted under that key: the model that it wants."""

    def __init__(self, consortium: Consortium, wanted: IntVector) -> None:
        super().__init__(consortium.manifest, consortium.plan())
        self.consortium = consortium
        count = len(self.plan.cohort)
        key = RoundKey.generate(self.parameters)
        self.made = key.shares(count, self.manifest.quorum.threshold(count))
        scheme = CkksMultiparty(self.parameters, self.plan_hash, wanted.size, key=key)
        self.invented = encrypt(scheme, wanted)

    def opening_for(self, site: str) -> c.Opening:
        opening = super().opening_for(site)
        recipient = self.consortium.members[site]
        sums = []
        for holder, share in zip(self.publications, opening.share_sums, strict=True):
            made = self.made[self.plan.sites.index(holder)]
            sealed = seal_as(self, recipient, "round-key-share-sum", holder, made)
            sums.append(c.ProvenShare(sealed, share.proof))
        return with_sums(opening, sums)

    def sum_for(self, site: str) -> ResidueVector:
        return self.invented


@pytest.mark.parametrize("weakened", [False, True])
def test_share_sums_of_another_than_their_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """Without their audit paths every site would apply the coordinator's own model."""
    consortium = Consortium(tmp_path, 4)
    wanted = consortium.total(["s01"])[::-1].copy()
    coordinator = Inventor(consortium, wanted)
    if weakened:
        without_audit_paths(monkeypatch)
        consortium.play(coordinator)
        for member in consortium.members.values():
            assert member.result is not None
            bound = coordinator.parameters.sum_error_bound(4)
            assert np.abs(member.result - wanted).max() <= bound
        return
    with pytest.raises(ShareRefused, match=r"^0 share sums of round 1 can be used, 3 are needed"):
        consortium.play(coordinator)
    assert all(member.result is None for member in consortium.members.values())


# ---- a holder that lies


def lie(coordinator: Coordinator, member: Member) -> None:
    """Publish a sum, duly signed, that is none of the included keys' shares."""
    honest, own = round_keys.add_shares, coordinator.plan.sites.index(member.name) + 1

    def add(held: Sequence[KeyShare]) -> KeyShare:
        return empty_share(own) if held[0].holder == own else honest(held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(round_keys, "add_shares", add)
        publish_only(coordinator, member)


@pytest.mark.parametrize("weakened", [False, True])
def test_a_holder_that_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """t = 4 of 6: one wrong sum is not on the polynomial of the others. A site that took the first
    four that come would open nothing."""
    consortium = Consortium(tmp_path, 6)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, publish_only) | {"s01": lie})
    coordinator.publications = dict(sorted(coordinator.publications.items()))
    member = consortium.members["s02"]
    if weakened:
        monkeypatch.setattr(sum_keys, "combine", lambda found, t, **_: combine(found[:t], t))
        with pytest.raises(OpeningRefused):
            accept_sum(coordinator, member, fetch_key(coordinator, member))
        assert member.result is None
        return
    key = fetch_key(coordinator, member)
    assert key.wrong_holders == (1,)
    accept_sum(coordinator, member, key)
    assert_opened(consortium, member.result, list(consortium.members))
