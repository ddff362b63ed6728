"""Sealed shares and share sums on the coordinator's disk. The coordinator can open none of them.

A site's deposit is one blob: for each recipient, in order, a record of fixed length with the share
and the proof that it is the one under the root that the site signs. So a deposit is written and
signed for in one go, and what a recipient fetches is one short read from each deposit: with n sites
no message, row or memory grows faster than n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sqlalchemy import Connection, and_, delete, insert, or_, select

from fedmrg_secure.coordinator import tables as t
from fedmrg_secure.core.canonical import HASH_BYTES
from fedmrg_secure.core.merkle import inclusion_proofs, leaf_hash, merkle_root
from fedmrg_secure.protocol.certified import MAX_PROOF_HASHES, ProvenShare
from fedmrg_secure.protocol.phases import RoundPhase

_PROOF_BYTES: Final = 1 + MAX_PROOF_HASHES * HASH_BYTES
"""Number of hashes, then the hashes, then zeros."""


class Kind(IntEnum):
    """What is sealed; the numbers stand in the database."""

    SHARE = 1
    """of the sender's round key"""
    SHARE_SUM = 2
    """of the included sites' keys, as the sender holds shares of them"""


@dataclass(frozen=True, slots=True)
class Deposit:
    """What the database knows of a site's deposit.

    Attributes:
        blob: name of the records.
        root: RFC 6962 root over the sealed shares.
        recipients: number of records.
        sealed_bytes: length of each sealed share.
    """

    blob: str
    root: bytes
    recipients: int
    sealed_bytes: int

    def place(self, index: int) -> tuple[int, int]:
        """First byte and length of recipient number `index`'s record in the blob."""
        length = _PROOF_BYTES + self.sealed_bytes
        return index * length, length


def pack_records(sealed: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The records of a deposit, and the root over its shares.

    Args:
        sealed: one share a recipient, all of one length.
    """
    leaves = [leaf_hash(one) for one in sealed]
    records = bytearray()
    for one, proof in zip(sealed, inclusion_proofs(leaves), strict=True):
        records += bytes([len(proof)]) + b"".join(proof).ljust(_PROOF_BYTES - 1, b"\0") + one
    return bytes(records), merkle_root(leaves)


def unpack_record(record: bytes) -> ProvenShare:
    """The share in a record of `pack_records`."""
    hashes = record[1 : 1 + record[0] * HASH_BYTES]
    return ProvenShare(
        record[_PROOF_BYTES:],
        tuple(hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)),
    )


def deposits(
    tx: Connection, round_number: int, kind: Kind, sender: str | None = None
) -> dict[str, Deposit]:
    """The deposits of a round by sender, of one sender or of all."""
    query = select(t.DEPOSIT).where(
        t.DEPOSIT.c.round == round_number, t.DEPOSIT.c.kind == int(kind)
    )
    rows = tx.execute(query if sender is None else query.where(t.DEPOSIT.c.sender == sender))
    return {
        row.sender: Deposit(row.blob, row.root, row.recipients, row.sealed_bytes) for row in rows
    }


def put_deposit(
    round_number: int, kind: Kind, sender: str, deposit: Deposit
) -> Callable[[Connection], None]:
    """The write that puts a site's deposit in the place of its earlier one."""

    def write(tx: Connection) -> None:
        tx.execute(
            delete(t.DEPOSIT).where(
                t.DEPOSIT.c.round == round_number,
                t.DEPOSIT.c.kind == int(kind),
                t.DEPOSIT.c.sender == sender,
            )
        )
        tx.execute(
            insert(t.DEPOSIT).values(
                round=round_number,
                kind=int(kind),
                sender=sender,
                blob=deposit.blob,
                root=deposit.root,
                recipients=deposit.recipients,
                sealed_bytes=deposit.sealed_bytes,
            )
        )

    return write


def drop_shares(tx: Connection, open_round: int | None) -> None:
    """Forget the shares of all rounds but the open one, and the share sums of aborted ones."""
    shares = t.DEPOSIT.c.kind == int(Kind.SHARE)
    if open_round is not None:
        shares = and_(shares, t.DEPOSIT.c.round != open_round)
    aborted = select(t.ROUND.c.number).where(t.ROUND.c.phase == int(RoundPhase.ABORTED))
    tx.execute(delete(t.DEPOSIT).where(or_(shares, t.DEPOSIT.c.round.in_(aborted))))
