"""The key of a round's sum, put together from the holders' share sums, also if some are wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

from fedmrg_secure.client.certificates import check_signatures
from fedmrg_secure.client.policy import AggregateRefused
from fedmrg_secure.client.round_keys import (
    SHARE_SUM,
    ShareRefused,
    check_signed_for,
    opened_share,
    share_info,
)
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.waiting import statuses
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.errors import OpeningRefused, SharesInconsistent
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, SumKey, combine
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.hashes import inclusion_hash, plan_hash
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan

_LONGEST_PAUSE_S: Final = 2.0
"""Between two looks for more share sums: each look fetches them all."""

Check = Callable[[SumKey], None]


def fetch_sum_key(
    site: Site, aggregate: AggregateInfo, check: Check, *, untried: bool = False
) -> SumKey:
    """The key of a round's sum, put together from the holders' share sums; also of a past round.

    Where the share sums that are there give no key that opens the sum, this waits for more: while
    the round is open, not all of the plan's sites have published, and the round's deadline has not
    passed since the call. Holders whose sums were wrong are logged, by name where that is certain.

    Args:
        check: raises `OpeningRefused` for a key that does not open the sum.
        untried: give a key that all usable share sums agree on without `check`; the caller sees
            whether it opens the sum.

    Returns:
        The key, for the caller to destroy.

    Raises:
        AggregateRefused: it belongs to another plan or included set, or is not certified.
        ShareRefused: too few share sums can be used.
        SharesInconsistent: no t share sums give a key that opens the sum.
        OpeningRefused: all share sums agree on a key that does not open the sum.
        ReplyRefused: a message that its sender has not signed.
    """
    missing: FedmrgError | None = None
    for opening in _openings(site, aggregate.round):
        found = _sum_key(site, aggregate, opening, check, untried=untried)
        if isinstance(found, SumKey):
            return found
        missing = found
        site.progress.enter("waiting", aggregate.round)
    assert missing is not None, "there is one opening at least"
    raise missing


def _openings(site: Site, number: int) -> Iterator[c.Opening]:
    """What opens a round's sum, and again whenever more share sums have come."""
    deadline = time.monotonic() + site.manifest.round_deadline_ms / 1000
    polls = statuses(site, number, longest_pause_s=_LONGEST_PAUSE_S)
    seen, is_open = -1, True
    while True:
        opening = site.coordinator.certified.opening(number)
        if opening is None:
            raise ShareRefused(f"the share sums of round {number} are not to be had")
        if len(opening.publications) > seen:
            seen = len(opening.publications)
            yield opening
        if not is_open or seen == len(opening.plan.cohort):
            return
        is_open = next(polls, None) is not None and time.monotonic() < deadline


def _sum_key(
    site: Site, aggregate: AggregateInfo, opening: c.Opening, check: Check, *, untried: bool
) -> SumKey | FedmrgError:
    """The key that some published share sums give, or why they give none though more may.

    Raises:
        See `fetch_sum_key`: what more share sums would not change.
    """
    plan, inclusion = opening.plan, opening.inclusion
    statement = inclusion_hash(site.session, inclusion)
    if (
        plan_hash(site.session, plan) != aggregate.plan_hash
        or inclusion.plan_hash != aggregate.plan_hash
        or statement != aggregate.inclusion_hash
        or inclusion.sites != aggregate.sites
    ):
        raise AggregateRefused(
            f"what opens the sum of round {aggregate.round} is of another plan or included set",
            hint="do not go on with this coordinator before it has been looked into",
        )
    check_signatures(site, plan, statement, c.CoSignInclusion, opening.signatures, inclusion.sites)
    threshold = site.manifest.quorum.threshold(len(plan.cohort))
    with ExitStack() as afterwards:
        shares, unusable = _share_sums(site, plan, opening, statement, afterwards)
        if len(shares) < threshold:
            return ShareRefused(
                f"{len(shares)} share sums of round {aggregate.round} can be used, {threshold} are "
                f"needed; refused: {'; '.join(unusable) or 'none'}",
                hint="the sites named here do not follow the protocol, or were shown other sums",
            )
        if untried and (agreed := _agreed(shares, threshold)) is not None:
            return agreed
        try:
            key = combine(shares, threshold, check=check, colluders=site.manifest.colluders)
        except SharesInconsistent as error:
            return error
        except OpeningRefused as error:
            if len(shares) >= threshold + site.manifest.colluders:
                raise  # t of these are honest: their key is right, and the sum is not what it was
            return error
    with ExitStack() as unless_told:
        unless_told.callback(key.destroy)
        _tell_wrong_holders(site, plan, key)
        unless_told.pop_all()
    return key


def _agreed(shares: list[KeyShare], threshold: int) -> SumKey | None:
    """The key that all share sums agree on; None if some do not fit."""
    try:
        key = combine(shares, threshold)
    except SharesInconsistent:
        return None
    if key.wrong_holders == ():
        return key
    key.destroy()
    return None


def _tell_wrong_holders(site: Site, plan: RoundPlan, key: SumKey) -> None:
    """Log and show whose share sums were wrong, or that it can not be told whose."""
    if key.wrong_holders is None:
        site.log({"type": "share_sums.inconsistent", "round": plan.round})
        site.progress.emit("share_sums_inconsistent", round=plan.round)
    elif key.wrong_holders:
        sites = [plan.sites[holder - 1] for holder in key.wrong_holders]
        site.log({"type": "share_sums.wrong", "round": plan.round, "sites": sites})
        site.progress.emit("share_sums_wrong", round=plan.round, sites=sites)


def _share_sums(
    site: Site, plan: RoundPlan, opening: c.Opening, statement: bytes, afterwards: ExitStack
) -> tuple[list[KeyShare], list[str]]:
    """Share sums by holder, destroyed `afterwards`; and why others cannot be used.

    One bad holder does not stop a round.
    """
    recipient = site.manifest.sites.index(site.name)
    shares: dict[str, KeyShare] = {}
    unusable = []
    for data, share in zip(opening.publications, opening.share_sums, strict=True):
        sender, _, published = site.coordinator.certified.signed(
            data, c.PublishShareSums, plan.round
        )
        if sender not in plan.sites or sender in shares:
            raise ShareRefused(f"{sender} holds no share of round {plan.round}, or came twice")
        if published.inclusion_hash != statement:
            unusable.append(f"{sender}: it has signed a sum of another included set")
            continue
        info = share_info(
            site,
            SHARE_SUM,
            plan.round,
            opening.inclusion.plan_hash,
            sender=sender,
            recipient=site.name,
        )
        try:
            check_signed_for(sender, share, published.sums_root, site.manifest.sites, recipient)
            holder = plan.sites.index(sender) + 1
            shares[sender] = opened_share(site, sender, share.sealed, info, holder=holder)
            afterwards.callback(shares[sender].destroy)
        except ShareRefused as error:
            unusable.append(error.message)
    return list(shares.values()), unusable
