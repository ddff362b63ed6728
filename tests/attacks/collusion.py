"""What those do who break the protocol, with what they have: their own keys, and the coordinator's
whole storage; and how a broken variant of a site is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import policy, round_keys
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, SumKey, add_shares, combine
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import RING_DEGREE
from fedmrg_secure.crypto.seal_key import open_sealed, seal, seal_public_key
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.hashes import inclusion_hash
from fedmrg_secure.protocol.messages import RoundPlan
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import decrypt


def sum_error_bound(consortium: Consortium, sites: int) -> int:
    return next(iter(consortium.members.values())).site.parameters.sum_error_bound(sites)


def assert_opened(consortium: Consortium, opened: IntVector | None, sites: Sequence[str]) -> None:
    """These are the sites' values added, up to what encryption costs."""
    assert opened is not None
    error = np.abs(opened - consortium.total(sites)).max()
    assert error <= sum_error_bound(consortium, len(sites))


def assert_stolen(consortium: Consortium, difference: IntVector | None, victim: str) -> None:
    """The difference of two opened sums is one site's update, up to what encryption costs twice."""
    assert difference is not None
    error = np.abs(difference - consortium.total([victim])).max()
    assert error <= 2 * sum_error_bound(consortium, len(consortium.members))


def without_finding(
    monkeypatch: pytest.MonkeyPatch, room: ModuleType, check: str, why: str
) -> None:
    """Take one line out of a list of checks: the one that gives this reason."""
    whole = getattr(room, check)

    def weakened(what: Any, *findings: tuple[bool, str]) -> None:
        assert sum(why in text for _, text in findings) <= 1
        whole(what, *(finding for finding in findings if why not in finding[1]))

    monkeypatch.setattr(room, check, weakened)


def take_any_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that take a plan with whatever nonce it holds of theirs."""
    check = policy.check_plan

    def weakened(plan: RoundPlan, manifest: Any, **own: Any) -> None:
        nonces = {member.site: member.nonce for member in plan.cohort}
        check(plan, manifest, **{**own, "nonce": nonces[own["site"]]})

    monkeypatch.setattr(policy, "check_plan", weakened)


# ---- shares


def info_of(coordinator: Coordinator, site: Any, purpose: str, sender: str, to: str) -> bytes:
    digest, number = coordinator.plan_hash, coordinator.plan.round
    return round_keys.share_info(site, purpose, number, digest, sender=sender, recipient=to)


def read(
    coordinator: Coordinator, member: Member, purpose: str, sender: str, sealed: bytes
) -> KeyShare:
    """A sealed share, with the seal key of the site that it is for."""
    info = info_of(coordinator, member.site, purpose, sender, member.name)
    return KeyShare.from_bytes(open_sealed(member.seal_key, sealed, info).reveal())


def seal_as(
    coordinator: Coordinator, recipient: Member, purpose: str, sender: str, share: KeyShare
) -> bytes:
    """A share of anybody's making, sealed as if a site had: HPKE says nothing of who seals."""
    info = info_of(coordinator, recipient.site, purpose, sender, recipient.name)
    return seal(seal_public_key(recipient.seal_key), share.to_bytes(), info)


def empty_share(holder: int) -> KeyShare:
    """A share of the key 0."""
    zeros: RingVector = np.zeros(RING_DEGREE, dtype=np.uint32)
    return KeyShare(holder, SecretPolynomial(zeros))


def held_share(
    coordinator: Coordinator, member: Member, sender: str, site: str | None = None
) -> KeyShare:
    """A holder's share of a sender's key, as it is deposited."""
    place = coordinator.plan.sites.index(member.name)
    sealed = coordinator.deposits_for(site or member.name)[sender][place]
    return read(coordinator, member, "round-key-share", sender, sealed)


def key_from(consortium: Consortium, coordinator: Coordinator, victim: str, helpers: int) -> SumKey:
    """What the coordinator makes of a victim's deposit with the seal keys of `helpers` sites."""
    others = [name for name in coordinator.plan.sites if name != victim][:helpers]
    members = consortium.members
    return combine([held_share(coordinator, members[name], victim) for name in others], helpers)


# ---- sums


def key_of_set(
    consortium: Consortium, coordinator: Coordinator, colluders: Sequence[str], shown: str
) -> SumKey | None:
    """The key of the set that is shown to a site, or None: from the share sums that were ever
    published for it, as the first colluder reads them, and the colluders' own."""
    inclusion = coordinator.inclusion_for(shown)
    reader = consortium.members[colluders[0]]
    place = coordinator.manifest.sites.index(reader.name)
    published = coordinator.kept.get(inclusion_hash(coordinator.session, inclusion), {})
    shares = [
        read(coordinator, reader, "round-key-share-sum", holder, sealed[place])
        for holder, sealed in published.items()
    ]
    known = {share.holder for share in shares}
    for name in colluders:
        if name in coordinator.plan.sites:
            member = consortium.members[name]
            held = (held_share(coordinator, member, one, shown) for one in inclusion.sites)
            own = add_shares(list(held))
            shares += [own] if own.holder not in known else []
    threshold = coordinator.manifest.quorum.threshold(len(coordinator.plan.cohort))
    return combine(shares, threshold) if len(shares) >= threshold else None


def sum_of_set(
    consortium: Consortium, coordinator: Coordinator, colluders: Sequence[str], shown: str
) -> IntVector | None:
    """The opened sum of the set that is shown to a site, or None."""
    key = key_of_set(consortium, coordinator, colluders, shown)
    if key is None:
        return None
    parameters, digest = coordinator.parameters, coordinator.plan_hash
    sites = len(coordinator.inclusion_for(shown).sites)
    return decrypt(parameters, digest, key, coordinator.sum_for(shown), sites)


def difference(sums: Iterable[IntVector | None]) -> IntVector | None:
    first, second = sums
    return None if first is None or second is None else first - second


# ---- two included sets


class TwoFaced(Coordinator):
    """Shows some sites an included set without the victim, the first site of the plan."""

    def __init__(self, *args: Any, others: Sequence[str], colluders: Sequence[str]) -> None:
        super().__init__(*args)
        self.others, self.colluders = set(others), list(colluders)
        self.victim = self.plan.sites[0]

    def inclusion_for(self, site: str) -> c.Inclusion:
        everybody = list(self.plan.sites)
        shown = [name for name in everybody if name != self.victim]
        return self.make_inclusion(shown if site in self.others else everybody)

    def difference(self, consortium: Consortium, *shown: str) -> IntVector | None:
        """What the sums of the sets shown to two sites differ in, or None if one does not open."""
        return difference(sum_of_set(consortium, self, self.colluders, site) for site in shown)
