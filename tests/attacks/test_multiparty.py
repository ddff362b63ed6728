"""Attacks on a round of ckks-multiparty. Each fails against the sites as they are, and succeeds
against a variant with one defence taken away, so that the defence is what stops it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import round_keys
from fedmrg_secure.client.certificates import CertificateRefused
from fedmrg_secure.client.certifying import certify_cohort, certify_inclusion, commit
from fedmrg_secure.client.round_keys import ShareRefused
from fedmrg_secure.client.schemes import scheme_to_encrypt
from fedmrg_secure.client.signing_record import SignatureRefused, SignedRound, SigningRecord
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import KeySpent, OpeningRefused
from fedmrg_secure.crypto.multiparty import scheme as multiparty
from fedmrg_secure.crypto.multiparty.scheme import (
    CkksMultiparty,
    KeyShare,
    RoundKey,
    SumKey,
    add_shares,
    combine,
)
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.seal_key import open_sealed
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash
from fedmrg_secure.protocol.phases import RoundPhase
from tests.attacks.consortium import (
    VALUES,
    Consortium,
    Coordinator,
    Member,
    commit_and_certify,
    decrypt,
    encrypt,
    fetch_key,
    open_with,
    upload,
)


def assert_opened(consortium: Consortium, opened: IntVector | None, sites: Sequence[str]) -> None:
    assert opened is not None
    assert np.abs(opened - consortium.total(sites)).max() <= _bound(consortium, len(sites))


def _bound(consortium: Consortium, sites: int) -> int:
    return next(iter(consortium.members.values())).site.parameters.sum_error_bound(sites)


def correlation(opened: IntVector, values: IntVector) -> float:
    return float(np.corrcoef(opened, values)[0, 1])


# ---- the protocol as it is


@pytest.mark.parametrize("rule", ["threshold", "unanimous"])
def test_every_site_opens_the_sum_of_all(tmp_path: Path, rule: str) -> None:
    consortium = Consortium(tmp_path, 4, certificate=rule)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator)
    results = [member.result for member in consortium.members.values()]
    for result in results:
        assert_opened(consortium, result, list(consortium.members))
        np.testing.assert_array_equal(result, results[0])


def vanish_after_commit(coordinator: Coordinator, member: Member) -> None:
    site, plan, digest = member.site, coordinator.plan, coordinator.plan_hash
    site.signed.begin(SignedRound(plan.round, plan.base_state_hash.hex(), digest.hex()))
    with scheme_to_encrypt(site, plan, digest) as scheme:
        residues = encrypt(scheme, member.values)
    commit(site, plan, digest, site.store.write_outgoing(digest.hex(), [residues.tobytes()]))
    coordinator.absent.add(member.name)


def vanish_after_certifying(coordinator: Coordinator, member: Member) -> None:
    commit_and_certify(coordinator, member)
    coordinator.absent.add(member.name)


def vanish_after_upload(coordinator: Coordinator, member: Member) -> None:
    commit_and_certify(coordinator, member)
    upload(coordinator, member)
    coordinator.absent.add(member.name)


@pytest.mark.parametrize(
    ("vanish", "uploaded"),
    [
        (vanish_after_commit, False),
        (vanish_after_certifying, False),
        (vanish_after_upload, True),
    ],
)
def test_n_minus_t_sites_may_vanish(
    tmp_path: Path, vanish: Callable[[Coordinator, Member], None], uploaded: bool
) -> None:
    consortium = Consortium(tmp_path, 10)
    assert consortium.manifest.quorum.threshold(10) == 6
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    gone = ["s02", "s05", "s07", "s09"]
    consortium.play(coordinator, dict.fromkeys(gone, vanish))
    stayed = [name for name in consortium.members if name not in gone]
    included = list(consortium.members) if uploaded else stayed
    for name in stayed:
        assert_opened(consortium, consortium.members[name].result, included)


def test_with_one_more_gone_nothing_is_opened(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 10)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    gone = [f"s{place:02}" for place in range(1, 6)]
    consortium.play(coordinator, dict.fromkeys(gone, vanish_after_upload), timeout_s=2)
    assert all(member.result is None for member in consortium.members.values())
    assert not coordinator.publications


# ---- the coordinator with t-1 sites


def key_from(consortium: Consortium, coordinator: Coordinator, victim: str, helpers: int) -> SumKey:
    """What the coordinator makes of a victim's deposit with the seal keys of `helpers` sites."""
    shares = []
    for place, name in enumerate(coordinator.plan.sites):
        if name == victim or len(shares) == helpers:
            continue
        member = consortium.members[name]
        info = round_keys.share_info(
            member.site, "round-key-share", 1, coordinator.plan_hash, sender=victim, recipient=name
        )
        sealed = coordinator.deposits[victim][place]
        shares.append(KeyShare.from_bytes(open_sealed(member.seal_key, sealed, info).reveal()))
    return combine(shares, helpers)


@pytest.mark.parametrize("weakened", [False, True])
def test_the_coordinator_with_fewer_sites_than_the_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    consortium = Consortium(tmp_path, 5)
    threshold = consortium.manifest.quorum.threshold(5)
    if weakened:
        shares = RoundKey.shares
        monkeypatch.setattr(RoundKey, "shares", lambda key, n, t: shares(key, n, t - 1))
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, vanish_after_upload))
    key = key_from(consortium, coordinator, "s01", threshold - 1)
    parameters, digest = coordinator.parameters, coordinator.plan_hash
    if weakened:
        opened = decrypt(parameters, digest, key, coordinator.uploads["s01"], 1)
        assert_opened(consortium, opened, ["s01"])
    else:
        with pytest.raises(OpeningRefused):
            decrypt(parameters, digest, key, coordinator.uploads["s01"], 1)


def test_the_threshold_is_tight(tmp_path: Path) -> None:
    """With t sites it must succeed: the claim names the coalition that can."""
    consortium = Consortium(tmp_path, 5)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, vanish_after_upload))
    key = key_from(consortium, coordinator, "s01", consortium.manifest.quorum.threshold(5))
    opened = decrypt(
        coordinator.parameters, coordinator.plan_hash, key, coordinator.uploads["s01"], 1
    )
    assert_opened(consortium, opened, ["s01"])


# ---- two included sets in one round


class TwoFaced(Coordinator):
    """Shows one included set to some sites and another to the rest; colluders sign both."""

    def __init__(self, *args: Any, others: Sequence[str], colluders: Sequence[str]) -> None:
        super().__init__(*args)
        self.others, self.colluders = set(others), set(colluders)
        self.victim = self.plan.sites[0]

    def inclusion_for(self, site: str) -> c.Inclusion:
        everybody = list(self.plan.sites)
        shown = [name for name in everybody if name != self.victim]
        return self.make_inclusion(shown if site in self.others else everybody)

    def make_inclusion(self, sites: Sequence[str]) -> c.Inclusion:
        assert self._cohort is not None
        cohort = cohort_hash(self.session, self._cohort)
        return c.Inclusion(self.plan.round, self.plan_hash, cohort, tuple(sites))


def collude(coordinator: Coordinator, member: Member) -> None:
    """Sign every included set that is there, as often as it takes, and publish sums of both."""
    assert isinstance(coordinator, TwoFaced)
    calls = member.site.coordinator.certified
    commit_and_certify(coordinator, member)
    upload(coordinator, member)
    while coordinator.phase_for(member.name) is RoundPhase.UPLOADING:
        pass
    honest = [name for name in coordinator.plan.sites if name not in coordinator.colluders]
    for shown in honest:
        statement = inclusion_hash(coordinator.session, coordinator.inclusion_for(shown))
        calls.co_sign_inclusion(coordinator.plan.round, statement)


def share_sum_of(member: Member, coordinator: Coordinator, sites: Sequence[str]) -> KeyShare:
    """What a colluding site adds up for the coordinator, of any keys that it holds shares of."""
    place = coordinator.plan.sites.index(member.name)
    shares = []
    for sender in sites:
        info = round_keys.share_info(
            member.site,
            "round-key-share",
            coordinator.plan.round,
            coordinator.plan_hash,
            sender=sender,
            recipient=member.name,
        )
        sealed = coordinator.deposits[sender][place]
        shares.append(KeyShare.from_bytes(open_sealed(member.seal_key, sealed, info).reveal()))
    return add_shares(shares)


def published(
    consortium: Consortium, coordinator: TwoFaced, colluder: Member, shown: str
) -> list[KeyShare]:
    """Share sums of one included set that a colluding site can read, and the colluders' own."""
    inclusion = coordinator.inclusion_for(shown)
    statement = inclusion_hash(coordinator.session, inclusion)
    place = coordinator.manifest.sites.index(colluder.name)
    shares = []
    for holder, data in coordinator.publications.items():
        _, _, message = colluder.site.coordinator.certified.signed(
            data, c.PublishShareSums, coordinator.plan.round
        )
        if message.inclusion_hash == statement:
            info = round_keys.share_info(
                colluder.site,
                "round-key-share-sum",
                coordinator.plan.round,
                coordinator.plan_hash,
                sender=holder,
                recipient=colluder.name,
            )
            opened = open_sealed(colluder.seal_key, coordinator.sums[holder][place], info)
            shares.append(KeyShare.from_bytes(opened.reveal()))
    known = {share.holder for share in shares}
    for name in coordinator.colluders:
        share = share_sum_of(consortium.members[name], coordinator, inclusion.sites)
        if share.holder not in known:
            shares.append(share)
    return shares


def publish_only(coordinator: Coordinator, member: Member) -> None:
    """An honest site up to its share sum."""
    cohort = commit_and_certify(coordinator, member)
    assert cohort is not None
    upload(coordinator, member)
    certify_inclusion(member.site, coordinator.plan, coordinator.plan_hash, cohort)


def steal_by_difference(
    tmp_path: Path, colluders: Sequence[str], **changes: Any
) -> tuple[Consortium, IntVector | None]:
    """The victim's update, from the sums of two included sets that differ in the victim."""
    consortium = Consortium(tmp_path, 4, **changes)
    honest = [name for name in consortium.members if name not in colluders]
    coordinator = TwoFaced(
        consortium.manifest,
        consortium.plan(),
        others=honest[len(honest) // 2 :],
        colluders=colluders,
    )
    steps = dict.fromkeys(honest, publish_only) | dict.fromkeys(colluders, collude)
    consortium.play(coordinator, steps, timeout_s=3)
    threshold = consortium.manifest.quorum.threshold(4)
    sums = []
    colluder = consortium.members[colluders[0]]
    for shown in (honest[0], honest[-1]):
        shares = published(consortium, coordinator, colluder, shown)
        if len(shares) < threshold:
            return consortium, None
        sites = coordinator.inclusion_for(shown).sites
        sums.append(
            decrypt(
                coordinator.parameters,
                coordinator.plan_hash,
                combine(shares, threshold),
                coordinator.add(sites),
                len(sites),
            )
        )
    return consortium, sums[0] - sums[1]


def test_two_sets_cannot_be_certified_with_the_colluders_that_are_allowed_for(
    tmp_path: Path,
) -> None:
    _, stolen = steal_by_difference(tmp_path, ["s04"])
    assert stolen is None


def test_with_one_colluder_more_they_can_so_the_bound_is_tight(tmp_path: Path) -> None:
    consortium, stolen = steal_by_difference(tmp_path, ["s03", "s04"])
    assert stolen is not None
    assert np.abs(stolen - consortium.total(["s01"])).max() <= _bound(consortium, 4) * 2


def test_a_unanimous_certificate_stops_that_too(tmp_path: Path) -> None:
    _, stolen = steal_by_difference(tmp_path, ["s03", "s04"], certificate="unanimous")
    assert stolen is None


def test_a_site_that_signs_twice_would_give_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the record of what is signed, one honest site that is asked twice is enough."""
    consortium = Consortium(tmp_path, 4)
    coordinator = TwoFaced(
        consortium.manifest, consortium.plan(), others=["s03"], colluders=["s04"]
    )
    consortium.play(
        coordinator,
        {**dict.fromkeys(["s01", "s02", "s03"], publish_only), "s04": collude},
        timeout_s=3,
    )
    asked = consortium.members["s02"]
    cohort = certify_cohort(asked.site, coordinator.plan, coordinator.plan_hash)
    assert cohort is not None
    coordinator.others.add("s02")  # the same site is now shown the other set
    with pytest.raises(SignatureRefused, match="has co-signed another included set in round 1"):
        certify_inclusion(asked.site, coordinator.plan, coordinator.plan_hash, cohort)
    monkeypatch.setattr(SigningRecord, "sign_inclusion", lambda *_, **__: None)
    assert certify_inclusion(asked.site, coordinator.plan, coordinator.plan_hash, cohort)
    shares = published(consortium, coordinator, consortium.members["s04"], "s03")
    assert len(shares) >= 2


# ---- what is shown to a site


class Forger(Coordinator):
    """Puts another upload in a site's place in the cohort."""

    def cohort_for(self, site: str) -> c.Cohort:
        cohort = super().cohort_for(site)
        forged = (
            c.CommittedSite(one.site, bytes(32), one.commitment) if one.site == "s02" else one
            for one in cohort.committed
        )
        return c.Cohort(cohort.round, cohort.plan_hash, tuple(forged))


def test_a_forged_commitment_is_not_co_signed(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 3)
    coordinator = Forger(consortium.manifest, consortium.plan())
    with pytest.raises(CertificateRefused, match="commitment of s02 in round 1"):
        consortium.play(coordinator, timeout_s=3)
    assert not coordinator.co_signed


class Loner(Coordinator):
    """Claims that nobody but one site uploaded."""

    def inclusion_for(self, site: str) -> c.Inclusion:
        return self.make_inclusion(["s01"])

    def make_inclusion(self, sites: Sequence[str]) -> c.Inclusion:
        return super().make_inclusion(["s01"])


def test_a_sum_of_one_is_not_co_signed(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 3)
    coordinator = Loner(consortium.manifest, consortium.plan())
    with pytest.raises(CertificateRefused, match="it has 1 sites, 3 are needed"):
        consortium.play(coordinator, timeout_s=3)


class Swapper(Coordinator):
    """Replaces the sum by one site's upload."""

    def sum_for(self, site: str) -> ResidueVector:
        return self.add(["s01"])


def test_a_sum_replaced_by_one_upload_is_refused(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 3)
    coordinator = Swapper(consortium.manifest, consortium.plan())
    with pytest.raises(OpeningRefused):
        consortium.play(coordinator)
    assert all(member.result is None for member in consortium.members.values())


def test_without_the_checks_of_an_opening_it_would_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CkksMultiparty, "_check_last_block", lambda *_: None)
    monkeypatch.setattr(multiparty, "check_sum", lambda *_: None)
    monkeypatch.setattr(SchemeParameters, "sum_error_bound", lambda *_: 1 << 40)
    consortium = Consortium(tmp_path, 3)
    consortium.play(Swapper(consortium.manifest, consortium.plan()))
    taken = consortium.members["s02"].result
    assert taken is not None
    assert np.abs(taken - consortium.total(["s01", "s02", "s03"])).max() > 10_000


class Tamperer(Coordinator):
    """Changes one sealed share on its way to its holder."""

    def shares_for(self, site: str) -> tuple[c.ProvenShare, ...]:
        first, *rest = super().shares_for(site)
        if site == "s03":
            flipped = first.sealed[:-1] + bytes([first.sealed[-1] ^ 1])
            first = c.ProvenShare(flipped, first.proof)
        return (first, *rest)


def test_a_tampered_share_names_whose_it_is(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 4)
    coordinator = Tamperer(consortium.manifest, consortium.plan())
    with pytest.raises(ShareRefused, match="s01: not the share that it has signed for"):
        consortium.play(coordinator, timeout_s=5)


class Substitute(Coordinator):
    """Puts a share sum of its own making in one holder's place."""

    def opening_for(self, site: str) -> c.Opening:
        opening = super().opening_for(site)
        first, *rest = opening.share_sums
        return c.Opening(
            opening.plan,
            opening.inclusion,
            opening.signatures,
            opening.publications,
            (c.ProvenShare(first.sealed[::-1], first.proof), *rest),
        )


def test_a_substituted_share_sum_is_left_out_and_the_rest_open(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 4)
    coordinator = Substitute(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, publish_only))
    assert len(coordinator.publications) == 4
    member = consortium.members["s01"]
    key = fetch_key(coordinator, member)
    assert_opened(consortium, open_with(coordinator, member, key), list(consortium.members))


# ---- keys and reference strings


def test_a_round_key_serves_one_plan_only(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 3)
    parameters = next(iter(consortium.members.values())).site.parameters
    key = RoundKey.generate(parameters)
    values = np.arange(VALUES) % 7
    scheme = CkksMultiparty(parameters, b"\7" * 32, VALUES, key=key)
    encrypt(scheme, values)
    with pytest.raises(KeySpent):
        encrypt(scheme, values + 1)
    with pytest.raises(KeySpent):
        CkksMultiparty(parameters, b"\1" * 32, VALUES, key=key)


def test_two_contents_under_one_key_and_string_would_show_their_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium = Consortium(tmp_path, 3)
    parameters = next(iter(consortium.members.values())).site.parameters
    key = RoundKey.generate(parameters)
    stored = key.to_secret_bytes()
    first, second = np.arange(VALUES) % 701, np.arange(VALUES) % 13
    wires = []
    for values in (first, second):  # a site that restores its disk and forgets
        again = RoundKey.from_secret_bytes(stored, parameters)
        wires.append(encrypt(CkksMultiparty(parameters, b"\7" * 32, VALUES, key=again), values))
    unit = 1073692673 / parameters.modulus
    apart = (wires[0].astype(np.int64) - wires[1].astype(np.int64)) % parameters.modulus
    apart = np.where(apart > parameters.modulus // 2, apart - parameters.modulus, apart)
    recovered = apart[:VALUES] * unit / parameters.scale
    assert np.abs(recovered - (first - second)).max() < 2
    # So a site makes a new key whenever it has to encrypt again, and its trained update is kept.
    site = next(iter(consortium.members.values())).site
    made = [round_keys.new_round_key(site, b"\7" * 32).to_secret_bytes().reveal() for _ in range(2)]
    assert made[0] != made[1]


def test_a_reference_string_that_somebody_chooses_would_show_the_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium = Consortium(tmp_path, 3)
    parameters = next(iter(consortium.members.values())).site.parameters
    values = np.arange(VALUES) % 701

    def wire() -> IntVector:
        key = RoundKey.generate(parameters)
        residues = encrypt(CkksMultiparty(parameters, b"\7" * 32, VALUES, key=key), values)
        signed = residues.astype(np.int64)
        half = parameters.modulus // 2
        return np.where(signed > half, signed - parameters.modulus, signed)[:VALUES]

    assert abs(correlation(wire(), values)) < 0.1
    chosen = multiparty.ReferenceString.take

    def zeros(reference: Any, count: int) -> Any:
        return np.zeros_like(chosen(reference, count))

    monkeypatch.setattr(multiparty.ReferenceString, "take", zeros)
    assert correlation(wire(), values) > 0.99
