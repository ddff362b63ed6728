"""A round's state as rows of the database, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from fedmrg_secure.coordinator import tables as t
from fedmrg_secure.protocol.codec import decode_as, encode_message
from fedmrg_secure.protocol.messages import RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.state import Commitment, RoundState

Rows = Mapping[str, dict[str, Any]]
"""Of one table and round, by site."""


def load_round(tx: Connection, number: int | None = None) -> RoundState | None:
    """The round of that number, or the latest one; None if there is none."""
    query = select(t.ROUND).order_by(t.ROUND.c.number.desc()).limit(1)
    if number is not None:
        query = query.where(t.ROUND.c.number == number)
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    aborted = (
        select(t.ROUND)
        .where(
            t.ROUND.c.number < row.number,
            t.ROUND.c.base_state == row.base_state,
            t.ROUND.c.phase == int(RoundPhase.ABORTED),
        )
        .order_by(t.ROUND.c.number)
    )
    earlier = tuple(_round(tx, each) for each in tx.execute(aborted))
    return replace(_round(tx, row), earlier=earlier)


def _round(tx: Connection, row: Any) -> RoundState:
    members = tx.execute(select(t.PARTICIPATION).where(t.PARTICIPATION.c.round == row.number)).all()
    holders = tx.execute(
        select(t.HOLDER).where(t.HOLDER.c.round == row.number).order_by(t.HOLDER.c.site)
    ).all()
    return RoundState(
        number=row.number,
        phase=RoundPhase(row.phase),
        base_state=row.base_state,
        announced={member.site: member.nonce for member in members},
        plan=decode_as(RoundPlan, row.plan) if row.plan else None,
        plan_hash=row.plan_hash,
        committed={
            holder.site: Commitment(holder.upload_root, holder.commitment)
            for holder in holders
            if holder.commitment
        },
        certified=tuple(holder.site for holder in holders if holder.certified),
        cohort_signers=frozenset(holder.site for holder in holders if holder.signed_cohort),
        uploaded={member.site: member.upload_root for member in members if member.upload_root},
        included=tuple(row.included.split()),
        inclusion_signers=frozenset(holder.site for holder in holders if holder.signed_inclusion),
        share_sums=frozenset(holder.site for holder in holders if holder.gave_share_sum),
        acknowledged={member.site: member.model_hash for member in members if member.model_hash},
        model_hash=row.model_hash,
        reason=row.reason,
    )


def write_round(tx: Connection, before: RoundState | None, state: RoundState) -> None:
    """Write what has changed of a round since `before`, the latest state that stands written."""
    values = {
        "phase": int(state.phase),
        "base_state": state.base_state,
        "plan": encode_message(state.plan) if state.plan else b"",
        "plan_hash": state.plan_hash,
        "included": " ".join(state.included),
        "model_hash": state.model_hash,
        "reason": state.reason,
    }
    changed = tx.execute(update(t.ROUND).where(t.ROUND.c.number == state.number).values(**values))
    if changed.rowcount == 0:
        tx.execute(
            insert(t.ROUND).values(number=state.number, aggregate=b"", transcript=b"", **values)
        )
    known = before if before is not None and before.number == state.number else None
    for table, rows_of in ((t.PARTICIPATION, _members), (t.HOLDER, _holders)):
        _write_changed(tx, table, rows_of(known) if known else {}, rows_of(state))


def _write_changed(tx: Connection, table: Table, before: Rows, after: Rows) -> None:
    """Only the rows that differ: with many sites a message of one must not rewrite them all."""
    rows = [row for site, row in after.items() if row != before.get(site)]
    if not rows:
        return
    stale = [row["site"] for row in rows if row["site"] in before]
    if stale:
        tx.execute(delete(table).where(table.c.round == rows[0]["round"], table.c.site.in_(stale)))
    tx.execute(insert(table), rows)


def _members(state: RoundState) -> Rows:
    return {
        site: {
            "round": state.number,
            "site": site,
            "nonce": nonce,
            "upload_root": state.uploaded.get(site, b""),
            "model_hash": state.acknowledged.get(site, b""),
        }
        for site, nonce in state.announced.items()
    }


def _holders(state: RoundState) -> Rows:
    if not state.committed:  # nobody signs or publishes before somebody commits
        return {}
    nothing, certified = Commitment(b"", b""), frozenset(state.certified)
    return {
        site: {
            "round": state.number,
            "site": site,
            "upload_root": state.committed.get(site, nothing).upload_root,
            "commitment": state.committed.get(site, nothing).digest,
            "certified": site in certified,
            "signed_cohort": site in state.cohort_signers,
            "signed_inclusion": site in state.inclusion_signers,
            "gave_share_sum": site in state.share_sums,
        }
        for site in state.cohort
    }
