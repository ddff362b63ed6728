"""Records of sealed shares: each recipient's is found alone, with its proof."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.coordinator.shares import Deposit, pack_records, unpack_record
from fedmrg_secure.core.merkle import check_inclusion, leaf_hash, merkle_root
from fedmrg_secure.protocol.certified import MAX_MEMBERS


def sealed_shares(count: int, size: int) -> list[bytes]:
    return [number.to_bytes(2, "big") * size for number in range(count)]


@given(count=st.integers(1, 40), size=st.integers(1, 20))
def test_a_record_holds_the_share_and_a_proof_to_the_root(count: int, size: int) -> None:
    sealed = sealed_shares(count, size)
    records, root = pack_records(sealed)
    assert root == merkle_root(map(leaf_hash, sealed))
    deposit = Deposit("", root, count, 2 * size)
    for place, one in enumerate(sealed):
        first, length = deposit.place(place)
        found = unpack_record(records[first : first + length])
        assert found.sealed == one
        check_inclusion(leaf_hash(one), place, count, found.proof, root)
    assert deposit.place(count)[0] == len(records)


def test_the_longest_proof_fits_a_record() -> None:
    sealed = sealed_shares(MAX_MEMBERS, 1)
    records, root = pack_records(sealed)
    first, length = Deposit("", root, MAX_MEMBERS, 2).place(MAX_MEMBERS - 1)
    found = unpack_record(records[first : first + length])
    check_inclusion(leaf_hash(sealed[-1]), MAX_MEMBERS - 1, MAX_MEMBERS, found.proof, root)
