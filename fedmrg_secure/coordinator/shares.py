"""Sealed shares and share sums in the database. The coordinator can open none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

from sqlalchemy import Connection, and_, delete, insert, or_, select

from fedmrg_secure.coordinator import tables as t
from fedmrg_secure.protocol.phases import RoundPhase


class Kind(IntEnum):
    """What is sealed; the numbers stand in the database."""

    SHARE = 1
    """of the sender's round key"""
    SHARE_SUM = 2
    """of the included sites' keys, as the sender holds shares of them"""


def sealed_by(tx: Connection, round_number: int, kind: Kind, sender: str) -> dict[str, bytes]:
    """What a site has deposited, by recipient."""
    rows = tx.execute(
        select(t.SEALED_SHARE.c.recipient, t.SEALED_SHARE.c.sealed).where(
            t.SEALED_SHARE.c.round == round_number,
            t.SEALED_SHARE.c.kind == int(kind),
            t.SEALED_SHARE.c.sender == sender,
        )
    )
    return {str(row[0]): bytes(row[1]) for row in rows}


def sealed_to(tx: Connection, round_number: int, kind: Kind, recipient: str) -> dict[str, bytes]:
    """What is deposited for a site, by sender."""
    rows = tx.execute(
        select(t.SEALED_SHARE.c.sender, t.SEALED_SHARE.c.sealed).where(
            t.SEALED_SHARE.c.round == round_number,
            t.SEALED_SHARE.c.kind == int(kind),
            t.SEALED_SHARE.c.recipient == recipient,
        )
    )
    return {str(row[0]): bytes(row[1]) for row in rows}


def put_sealed(
    round_number: int, kind: Kind, sender: str, sealed: Mapping[str, bytes]
) -> Callable[[Connection], None]:
    """The write that puts a site's deposit, by recipient, in the place of its earlier one."""

    def write(tx: Connection) -> None:
        tx.execute(
            delete(t.SEALED_SHARE).where(
                t.SEALED_SHARE.c.round == round_number,
                t.SEALED_SHARE.c.kind == int(kind),
                t.SEALED_SHARE.c.sender == sender,
            )
        )
        rows = [
            {
                "round": round_number,
                "kind": int(kind),
                "sender": sender,
                "recipient": recipient,
                "sealed": blob,
            }
            for recipient, blob in sealed.items()
        ]
        tx.execute(insert(t.SEALED_SHARE), rows)

    return write


def drop_shares(tx: Connection, open_round: int | None) -> None:
    """Forget the shares of all rounds but the open one, and the share sums of aborted ones."""
    shares = t.SEALED_SHARE.c.kind == int(Kind.SHARE)
    if open_round is not None:
        shares = and_(shares, t.SEALED_SHARE.c.round != open_round)
    aborted = select(t.ROUND.c.number).where(t.ROUND.c.phase == int(RoundPhase.ABORTED))
    tx.execute(delete(t.SEALED_SHARE).where(or_(shares, t.SEALED_SHARE.c.round.in_(aborted))))
