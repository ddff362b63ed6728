"""A site that was away comes to the newest state: by a snapshot, or by the sums that it missed.

The sums are what every other site added: the state reached has the hash that the next plan starts
from, and the same transcript of hashes. They are taken where they have fewer bytes than a snapshot
of the state, and where no site offers one in time.
"""

from __future__ import annotations

from fedmrg_secure.client.opening import apply_sum, open_sum
from fedmrg_secure.client.policy import AggregateRefused, check_past_aggregate
from fedmrg_secure.client.progress import Stopwatch
from fedmrg_secure.client.schemes import scheme_to_open
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.snapshots import is_cheaper, take_snapshot
from fedmrg_secure.client.state import Applied
from fedmrg_secure.protocol.messages import SessionStatus


def catch_up(site: Site, status: SessionStatus, applied: Applied) -> Applied:
    """Come to the newest state by a snapshot, or apply every closed round that was missed.

    Durable round by round. Rounds that are closed meanwhile are left to the next call.

    Raises:
        AggregateRefused: a sum is missing or breaks the session's terms, or the state reached is
            not the federation's.
    """
    if is_cheaper(site, status, applied):
        after = take_snapshot(site, status, applied)
        if after is not None:
            return after
    for round_number in status.closed_rounds[applied.training_round :]:
        site.progress.enter("catching up", round_number)
        aggregate = site.coordinator.get_aggregate(round_number)
        if aggregate is None:
            raise AggregateRefused(f"the sum of closed round {round_number} is not to be had")
        check_past_aggregate(aggregate, site.manifest)
        watch = Stopwatch()
        with scheme_to_open(site, aggregate, watch) as scheme:
            total = open_sum(site, scheme, aggregate, watch)
        base = site.store.load_state(applied.training_round)
        applied = apply_sum(site, aggregate, base, total, applied)
    if applied.model_hash != status.state_hash.hex():
        raise AggregateRefused(
            "the sums of the closed rounds do not lead to the federation's model",
            hint="compare the logs of the sites: fedmrg log verify",
        )
    return applied
