"""A site that was away comes to the newest state: by a snapshot, or by the sums that it missed.

The sums are what every other site added: each must lead to the state that the next plan starts
from, by the same transcript of hashes, and does so before it becomes this site's own. They are
taken where they have fewer bytes than a snapshot of the state, and where no site offers one in
time.
"""

from __future__ import annotations

from fedmrg_secure.client.history import follow_history
from fedmrg_secure.client.opening import apply_sum
from fedmrg_secure.client.progress import Stopwatch
from fedmrg_secure.client.schemes import open_round
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.snapshots import is_cheaper, take_snapshot
from fedmrg_secure.client.state import Applied
from fedmrg_secure.protocol.messages import SessionStatus


def catch_up(site: Site, status: SessionStatus, applied: Applied) -> Applied:
    """Come to the newest state by a snapshot, or apply every closed round that was missed.

    Durable round by round. Rounds that are closed meanwhile are left to the next call.

    Raises:
        PlanRefused, AggregateRefused: the missed rounds do not continue what this site has applied,
            or break the session's terms (`history.follow_history`); or a sum does not lead to the
            state that the federation has reached. Nothing of that round is kept then.
    """
    if is_cheaper(site, status, applied):
        after = take_snapshot(site, status, applied)
        if after is not None:
            return after
    missed = status.closed_rounds[applied.training_round :]
    for past in follow_history(site, missed, applied, status.state_hash):
        aggregate, watch = past.aggregate, Stopwatch()
        site.progress.enter("catching up", aggregate.round)
        total = open_round(site, aggregate, watch)
        base = site.store.load_state(applied.training_round)
        applied = apply_sum(site, aggregate, base, total, applied, expected=past.model_hash)
    return applied
