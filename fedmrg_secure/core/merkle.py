"""Merkle trees of RFC 6962: roots, inclusion proofs and consistency proofs over SHA-256.

Leaves and nodes are hashed under different prefixes, so no node can be passed off as a leaf. All
functions work on leaf hashes (32 bytes); `MerkleRange` keeps only the O(log n) subtree roots
that a growing tree needs, so a stream of leaves costs no memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import ClassVar

from fedmrg_secure.core.canonical import HASH_BYTES
from fedmrg_secure.core.errors import FedmrgError


class MerkleProofInvalid(FedmrgError):
    """A Merkle proof does not lead to the stated root."""

    code: ClassVar[str] = "FMRG-7001"


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 | data), 32 bytes (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 | left | right), 32 bytes (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleRange:
    """A growing tree reduced to the roots of its perfect subtrees.

    Appending costs amortised one hash, `root` at most 64; memory is O(log n).
    """

    def __init__(self) -> None:
        self._size = 0
        self._peaks: list[bytes] = []  # left to right, one for each bit set in the size

    @property
    def size(self) -> int:
        """Leaves appended so far."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash (32 bytes) at the right end."""
        _check_hash(leaf)
        node, level = leaf, self._size
        while level & 1:
            node = node_hash(self._peaks.pop(), node)
            level >>= 1
        self._peaks.append(node)
        self._size += 1

    def copy(self) -> MerkleRange:
        """The same tree, growing on its own."""
        twin = MerkleRange()
        twin._size, twin._peaks = self._size, list(self._peaks)
        return twin

    def root(self) -> bytes:
        """The tree's root, 32 bytes; SHA-256 of nothing for the empty tree."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, in order, 32 bytes (RFC 6962, MTH)."""
    tree = MerkleRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index`, from the leaf's sibling upwards (RFC 6962, PATH).

    Raises:
        IndexError: `index` is not in [0, len(leaves)).
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree with {len(leaves)} leaves")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(merkle_root(leaves[middle:high]))
            high = middle
        else:
            path.append(merkle_root(leaves[low:middle]))
            low = middle
    return path[::-1]


def inclusion_proofs(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """`inclusion_proof` of every leaf, all from one pass of about as many hashes as leaves."""
    if not leaves:
        return []
    proofs: list[list[bytes]] = [[] for _ in leaves]
    _append_siblings(leaves, 0, len(leaves), proofs)
    return proofs


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if `proof` shows `leaf` at `index` of the tree of `size` leaves with `root`.

    Raises:
        MerkleProofInvalid: it does not, or it is of the wrong length.

    Source:
        RFC 9162, section 2.1.3.2 (the same trees as RFC 6962).
    """
    if not 0 <= index < size:
        raise MerkleProofInvalid(f"leaf {index} lies outside a tree of {size} leaves")
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        _check_hash(sibling)
        if last == 0:
            raise MerkleProofInvalid("the inclusion proof is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or node != root:
        raise MerkleProofInvalid(f"leaf {index} is not in the tree of {size} leaves")


def consistency_proof(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """The proof that the tree of the first `first` leaves is a prefix (RFC 6962, PROOF).

    Raises:
        IndexError: `first` is not in [1, len(leaves)].
    """
    if not 1 <= first <= len(leaves):
        raise IndexError(f"prefix of {first} leaves of a tree with {len(leaves)} leaves")
    path: list[bytes] = []
    low, high, whole = 0, len(leaves), True
    while first - low < high - low:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(merkle_root(leaves[middle:high]))
            high = middle
        else:
            path.append(merkle_root(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        path.append(merkle_root(leaves[low:high]))
    return path[::-1]


def check_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if `proof` shows that the tree of `first` leaves is a prefix of that of `second`.

    Raises:
        MerkleProofInvalid: it does not, or the sizes are not 1 <= first <= second.

    Source:
        RFC 9162, section 2.1.4.2.
    """
    if not 1 <= first <= second:
        raise MerkleProofInvalid(f"{first} leaves cannot be a prefix of {second}")
    if first == second:
        if proof or first_root != second_root:
            raise MerkleProofInvalid(f"two different trees of {first} leaves")
        return
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        raise MerkleProofInvalid("the consistency proof is empty")
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        _check_hash(sibling)
        if last == 0:
            raise MerkleProofInvalid("the consistency proof is too long")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or old != first_root or new != second_root:
        raise MerkleProofInvalid(f"the tree of {second} leaves does not extend that of {first}")


def _split(size: int) -> int:
    """The largest power of two below `size` (> 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_hash(value: bytes) -> None:
    if len(value) != HASH_BYTES:
        raise MerkleProofInvalid(f"a tree hash has {HASH_BYTES} bytes, not {len(value)}")


def _append_siblings(
    leaves: Sequence[bytes], low: int, high: int, proofs: list[list[bytes]]
) -> bytes:
    """The root of leaves `low` to `high`; each one's proof grows by its siblings below that root.

    No function inside another: its reference to itself would keep the proofs until garbage is
    collected, a megabyte for every site's deposit.
    """
    if high - low == 1:
        return leaves[low]
    middle = low + _split(high - low)
    left = _append_siblings(leaves, low, middle, proofs)
    right = _append_siblings(leaves, middle, high, proofs)
    for index in range(low, middle):
        proofs[index].append(right)
    for index in range(middle, high):
        proofs[index].append(left)
    return node_hash(left, right)
