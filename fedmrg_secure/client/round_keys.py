"""This site's key of a round: made, shared out, and its holders' part in the sum's key.

The key lies in the site's state folder, readable by its owner only, from before the update is
encrypted until the site has committed to its shares. In memory a key, a share or a sum of shares
lives as long as one of the steps here, and is overwritten at its end.

Shares travel sealed to one holder, bound to session, round, plan, sender and holder; the sum of
shares travels the same way. The coordinator opens none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import ClassVar, Final

from fedmrg_secure.client.certificates import CheckedCohort
from fedmrg_secure.client.site import Site
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import MerkleProofInvalid, check_inclusion, leaf_hash
from fedmrg_secure.crypto.multiparty.scheme import (
    KeyShare,
    RoundKey,
    add_shares,
)
from fedmrg_secure.crypto.seal_key import SealedKeyInvalid, open_sealed, seal, sealing_info
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.errors import Conflict
from fedmrg_secure.protocol.hashes import inclusion_hash
from fedmrg_secure.protocol.messages import RoundPlan

SHARE: Final = "round-key-share"
SHARE_SUM: Final = "round-key-share-sum"


class ShareRefused(FedmrgError):
    """A key share, or a sum of shares, is not what its sender has committed to."""

    code: ClassVar[str] = "FMRG-6253"


def new_round_key(site: Site, digest: bytes) -> RoundKey:
    """A fresh key, tied to one plan and on disk before anything is encrypted under it."""
    key = RoundKey.generate(site.parameters)
    with ExitStack() as unless_saved:
        unless_saved.callback(key.destroy)
        key.bind(digest, site.parameters)
        stored = key.to_secret_bytes()
        try:
            site.store.save_round_key(digest.hex(), stored)
        finally:
            stored.wipe()
        unless_saved.pop_all()
    return key


def seal_shares(site: Site, plan: RoundPlan, digest: bytes) -> tuple[bytes, ...]:
    """The shares of this site's key, each sealed to its holder, in the plan's order."""
    secret = site.store.round_key(digest.hex())
    if secret is None:
        raise ShareRefused(
            f"the key of round {plan.round} is gone from this site's state folder",
            hint="the round goes on without this site; the next one makes a new key",
        )
    count = len(plan.cohort)
    with ExitStack() as afterwards:
        afterwards.callback(secret.wipe)
        key = RoundKey.from_secret_bytes(secret, site.parameters)
        afterwards.callback(key.destroy)
        shares = key.shares(count, site.manifest.quorum.threshold(count))
        for share in shares:
            afterwards.callback(share.destroy)
        return tuple(
            seal(
                site.roster.entry(holder).seal_key,
                share.to_bytes(),
                share_info(site, SHARE, plan.round, digest, sender=site.name, recipient=holder),
            )
            for holder, share in zip(plan.sites, shares, strict=True)
        )


def publish_share_sum(
    site: Site, plan: RoundPlan, digest: bytes, cohort: CheckedCohort, inclusion: c.Inclusion
) -> None:
    """Add the shares that this site holds of exactly the included keys, and seal the sum to all.

    Raises:
        ShareRefused: a share is missing, is not the one that its site has committed to, or can not
            be opened; the site is named.
    """
    statement = inclusion_hash(site.session, inclusion)
    sums = _seal_share_sum(site, plan, digest, cohort, inclusion)
    site.log(
        {
            "type": "share_sums.published",
            "round": plan.round,
            "inclusion_hash": statement.hex(),
        }
    )
    try:
        site.coordinator.certified.publish_share_sums(plan.round, statement, sums)
    except Conflict:
        return  # published before a restart: sealing is randomised, the sums are the same


def _seal_share_sum(
    site: Site, plan: RoundPlan, digest: bytes, cohort: CheckedCohort, inclusion: c.Inclusion
) -> tuple[bytes, ...]:
    """The sum of this site's shares of the included keys, sealed to each site of the session."""
    place = plan.sites.index(site.name)
    delivered = site.coordinator.certified.shares(plan.round)
    if len(delivered) != len(inclusion.sites):
        raise ShareRefused(
            f"{len(delivered)} shares came for {len(inclusion.sites)} included sites"
        )
    with ExitStack() as afterwards:
        shares = []
        for sender, share in zip(inclusion.sites, delivered, strict=True):
            root = cohort.commitments[sender].shares_root
            check_signed_for(sender, share, root, plan.sites, place)
            info = share_info(site, SHARE, plan.round, digest, sender=sender, recipient=site.name)
            shares.append(opened_share(site, sender, share.sealed, info, holder=place + 1))
            afterwards.callback(shares[-1].destroy)
        total = add_shares(shares)
        afterwards.callback(total.destroy)
        content = total.to_bytes()
        return tuple(
            seal(
                site.roster.entry(name).seal_key,
                content,
                share_info(site, SHARE_SUM, plan.round, digest, sender=site.name, recipient=name),
            )
            for name in site.manifest.sites
        )


def check_signed_for(
    sender: str, share: c.ProvenShare, root: bytes, recipients: Sequence[str], place: int
) -> None:
    """Raise `ShareRefused` unless it is the one for recipient number `place` under `root`."""
    try:
        check_inclusion(leaf_hash(share.sealed), place, len(recipients), share.proof, root)
    except MerkleProofInvalid as error:
        raise ShareRefused(f"{sender}: not the share that it has signed for") from error


def opened_share(site: Site, sender: str, sealed: bytes, info: bytes, *, holder: int) -> KeyShare:
    """The share that `sender` has sealed to this site.

    Raises:
        ShareRefused: it can not be opened or read, or is not holder number `holder`'s.
    """
    try:
        revealed = open_sealed(site.identity.seal_key, sealed, info)
        try:
            share = KeyShare.from_bytes(revealed.reveal())
        finally:
            revealed.wipe()
    except (SealedKeyInvalid, FedmrgError) as error:
        raise ShareRefused(f"{sender}: what it has sealed can not be opened or read") from error
    if share.holder != holder:
        share.destroy()
        raise ShareRefused(f"{sender}: its share is for another holder")
    return share


def share_info(
    site: Site, purpose: str, round_number: int, plan: bytes, *, sender: str, recipient: str
) -> bytes:
    return sealing_info(
        f"{purpose}/{plan.hex()}",
        session=site.session,
        epoch=round_number,
        sender=sender,
        recipient=recipient,
    )
