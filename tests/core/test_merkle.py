"""RFC 6962 trees: known answers, proofs for every size, and proofs that must fail."""

from __future__ import annotations

import gc
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.merkle import (
    MerkleProofInvalid,
    MerkleRange,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    merkle_root,
    node_hash,
)

# The eight leaves and the roots of the Certificate Transparency reference implementation.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

leaf_lists = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70)


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_reference_implementation(size: int) -> None:
    leaves = [leaf_hash(data) for data in CT_LEAVES[:size]]
    assert merkle_root(leaves).hex() == CT_ROOTS[size]


@given(leaf_lists)
def test_the_running_root_is_the_recursive_definition_at_every_size(leaves: list[bytes]) -> None:
    tree = MerkleRange()
    for size, leaf in enumerate(leaves, start=1):
        tree.append(leaf)
        assert tree.size == size
        assert tree.root() == recursive_root(leaves[:size])


@given(leaf_lists, st.data())
def test_every_leaf_is_proven_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle_root(leaves), inclusion_proof(leaves, index)
    check_inclusion(leaves[index], index, len(leaves), proof, root)
    with pytest.raises(MerkleProofInvalid):
        check_inclusion(leaf_hash(b"another leaf"), index, len(leaves), proof, root)
    with pytest.raises(MerkleProofInvalid):
        check_inclusion(leaves[index], len(leaves), len(leaves), proof, root)
    with pytest.raises(MerkleProofInvalid):
        check_inclusion(leaves[index], index, len(leaves), [*proof, bytes(32)], root)
    if proof:
        with pytest.raises(MerkleProofInvalid):
            check_inclusion(leaves[index], index, len(leaves), proof[:-1], root)
        broken = data.draw(st.integers(0, len(proof) - 1))
        bad = [bytes(32) if at == broken else node for at, node in enumerate(proof)]
        with pytest.raises(MerkleProofInvalid):
            check_inclusion(leaves[index], index, len(leaves), bad, root)


@given(leaf_lists, st.data())
def test_every_prefix_is_consistent_and_no_fork_is(
    leaves: list[bytes], data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    old, new = merkle_root(leaves[:first]), merkle_root(leaves)
    proof = consistency_proof(leaves, first)
    check_consistency(first, old, len(leaves), new, proof)
    fork = merkle_root([*leaves[: first - 1], leaf_hash(b"a rewritten entry")])
    with pytest.raises(MerkleProofInvalid):
        check_consistency(first, fork, len(leaves), new, proof)
    with pytest.raises(MerkleProofInvalid):
        check_consistency(first, old, len(leaves), fork, proof)
    with pytest.raises(MerkleProofInvalid):
        check_consistency(first, old, len(leaves), new, [*proof, bytes(32)])


def test_all_proofs_of_all_small_trees() -> None:
    leaves = [leaf_hash(bytes([index])) for index in range(20)]
    for size in range(1, 21):
        root = merkle_root(leaves[:size])
        for index in range(size):
            check_inclusion(leaves[index], index, size, inclusion_proof(leaves[:size], index), root)
        for first in range(1, size + 1):
            check_consistency(
                first,
                merkle_root(leaves[:first]),
                size,
                root,
                consistency_proof(leaves[:size], first),
            )


def test_a_node_cannot_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_what_is_outside_the_tree_is_refused() -> None:
    leaves = [leaf_hash(b"a")]
    with pytest.raises(IndexError):
        inclusion_proof(leaves, 1)
    with pytest.raises(IndexError):
        consistency_proof(leaves, 0)
    with pytest.raises(MerkleProofInvalid):
        check_consistency(2, leaves[0], 1, leaves[0], [])
    with pytest.raises(MerkleProofInvalid):
        MerkleRange().append(b"too short")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
def test_all_proofs_at_once_are_the_proofs_one_by_one(count: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(count)]
    assert inclusion_proofs(leaves) == [inclusion_proof(leaves, place) for place in range(count)]


def test_proofs_leave_no_garbage_behind() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(100)]
    gc.collect()
    gc.disable()
    try:
        inclusion_proofs(leaves)
        assert gc.collect() == 0
    finally:
        gc.enable()
