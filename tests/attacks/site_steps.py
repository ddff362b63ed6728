"""What a site that follows the protocol does in a round: all of it, or up to where it is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fedmrg_secure.client import policy
from fedmrg_secure.client.certifying import certify_cohort, certify_inclusion, commit
from fedmrg_secure.client.opening import apply_sum
from fedmrg_secure.client.round_keys import seal_shares
from fedmrg_secure.client.schemes import scheme_to_encrypt
from fedmrg_secure.client.signing_record import SignedRound
from fedmrg_secure.client.sum_keys import fetch_sum_key
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, SumKey
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.certified_calls import root_of
from fedmrg_secure.protocol.hashes import inclusion_hash

if TYPE_CHECKING:
    from tests.attacks.consortium import Member
    from tests.attacks.coordinator import Coordinator

VALUES = 2 * 2048 - 64
"""Two whole blocks with the check block: no padding stands beside it."""


def accept_plan(coordinator: Coordinator, member: Member) -> None:
    """The plan that the coordinator shows, checked against the site's own state and nonce."""
    site, plan, applied = member.site, coordinator.plan, member.applied
    assert applied is not None
    policy.check_plan(
        plan,
        site.manifest,
        round_number=coordinator.shown_round,
        site=site.name,
        nonce=site.store.nonce(plan.round),
        base_state_hash=applied.model_hash,
        transcript=bytes.fromhex(applied.transcript),
    )
    digest = coordinator.plan_hash.hex()
    site.signed.begin(
        SignedRound(coordinator.shown_round, applied.model_hash, digest, sites=plan.sites)
    )


def commit_update(coordinator: Coordinator, member: Member) -> None:
    """A site's part of a round up to its commitment."""
    site, plan, digest = member.site, coordinator.plan, coordinator.plan_hash
    accept_plan(coordinator, member)
    with scheme_to_encrypt(site, plan, digest) as scheme:
        residues = encrypt(scheme, member.values)
    outgoing = site.store.write_outgoing(digest.hex(), [residues.tobytes()])
    assert merkle_root([leaf_hash(residues.tobytes())]).hex() == outgoing.merkle_root
    site.residues = residues
    commit(site, plan, digest, outgoing)


def commit_and_certify(coordinator: Coordinator, member: Member) -> Any:
    """A site's part of a round up to its upload; the checked cohort, or None."""
    commit_update(coordinator, member)
    return certify_cohort(member.site, coordinator.plan, coordinator.plan_hash)


def upload(coordinator: Coordinator, member: Member) -> None:
    member.site.signed.send(coordinator.plan.round)
    with coordinator.lock:
        coordinator.polls.clear()
        coordinator.take_upload(member.name, member.site.residues)


def publish_only(coordinator: Coordinator, member: Member) -> None:
    """A site's part of a round up to its share sum."""
    cohort = commit_and_certify(coordinator, member)
    if cohort is None:
        return
    upload(coordinator, member)
    certify_inclusion(member.site, coordinator.plan, coordinator.plan_hash, cohort)


def take_part(coordinator: Coordinator, member: Member) -> None:
    """A whole round; leaves what the site has accepted in `member.result`."""
    publish_only(coordinator, member)
    while not member.site.status().opening_available:
        time.sleep(0.02)
        if coordinator.over:
            return
    key = fetch_key(coordinator, member)
    try:
        accept_sum(coordinator, member, key)
    finally:
        key.destroy()


def accept_sum(coordinator: Coordinator, member: Member, key: SumKey) -> None:
    """Open the sum that the coordinator shows, check it as a site does, and apply it."""
    assert member.applied is not None
    total = open_with(coordinator, member, key)
    base = member.site.store.load_state(member.applied.training_round)
    aggregate = aggregate_for(coordinator, member)
    policy.check_aggregate(aggregate, coordinator.plan, coordinator.plan_hash, coordinator.manifest)
    member.applied = apply_sum(member.site, aggregate, base, total, member.applied)
    member.result = total


def aggregate_for(coordinator: Coordinator, member: Member) -> m.AggregateInfo:
    """What the coordinator says of the sum that it shows to a site."""
    inclusion = coordinator.inclusion_for(member.name)
    total = coordinator.sum_for(member.name).tobytes()
    chunks = (leaf_hash(total),)
    return m.AggregateInfo(
        round=coordinator.plan.round,
        plan_hash=coordinator.plan_hash,
        included=tuple(
            m.IncludedSite(name, 1, coordinator.roots[name]) for name in inclusion.sites
        ),
        chunk_hashes=chunks,
        merkle_root=merkle_root(chunks),
        total_bytes=len(total),
        key_epoch=0,
        key_maker="",
        inclusion_hash=inclusion_hash(coordinator.session, inclusion),
    )


def fetch_key(coordinator: Coordinator, member: Member) -> SumKey:
    """The key that opens the check block of the sum that the coordinator shows to a site."""
    aggregate, parameters = aggregate_for(coordinator, member), coordinator.parameters
    scheme = CkksMultiparty(parameters, coordinator.plan_hash, VALUES)
    last = parameters.chunk_count(VALUES) - 1
    size = parameters.chunk_blocks(last, VALUES) * parameters.block_residues
    residues = coordinator.sum_for(member.name)[-size:]
    return fetch_sum_key(
        member.site,
        aggregate,
        lambda key: scheme.check_sum_key(key, residues, len(aggregate.included)),
    )


def open_with(coordinator: Coordinator, member: Member, key: SumKey) -> IntVector:
    return decrypt(
        coordinator.parameters,
        coordinator.plan_hash,
        key,
        coordinator.sum_for(member.name),
        len(coordinator.inclusion_for(member.name).sites),
    )


def encrypt(scheme: Any, values: IntVector) -> ResidueVector:
    parameters = scheme.parameters
    return np.concatenate(
        [
            scheme.encrypt_chunk(index, values[parameters.chunk_slice(index, values.size)]).residues
            for index in range(parameters.chunk_count(values.size))
        ]
    )


def decrypt(
    parameters: SchemeParameters, digest: bytes, key: SumKey, total: ResidueVector, sites: int
) -> IntVector:
    scheme = CkksMultiparty(parameters, digest, VALUES, sum_key=key)
    opened, place = [], 0
    for index in range(parameters.chunk_count(VALUES)):
        values = parameters.chunk_slice(index, VALUES)
        size = parameters.chunk_blocks(index, VALUES) * parameters.block_residues
        opened.append(
            scheme.open_chunk(
                index, total[place : place + size], [b""] * sites, values.stop - values.start
            )
        )
        place += size
    return np.concatenate(opened)


# ---- sites that are lost on the way


def vanish_after_sharing(coordinator: Coordinator, member: Member) -> None:
    """Its shares are deposited, and it has committed to nothing."""
    site, plan, digest = member.site, coordinator.plan, coordinator.plan_hash
    accept_plan(coordinator, member)
    with scheme_to_encrypt(site, plan, digest):
        pass
    sealed = seal_shares(site, plan, digest)
    site.signed.commit(plan.round, "", root_of(sealed).hex())
    site.coordinator.certified._ask(
        "DepositShares", c.DepositShares(digest, sealed), m.Receipt, round_number=plan.round
    )
    coordinator.absent.add(member.name)


def vanish_after_commit(coordinator: Coordinator, member: Member) -> None:
    commit_update(coordinator, member)
    coordinator.absent.add(member.name)


def vanish_after_certifying(coordinator: Coordinator, member: Member) -> None:
    commit_and_certify(coordinator, member)
    coordinator.absent.add(member.name)


def vanish_after_upload(coordinator: Coordinator, member: Member) -> None:
    commit_and_certify(coordinator, member)
    upload(coordinator, member)
    coordinator.absent.add(member.name)
