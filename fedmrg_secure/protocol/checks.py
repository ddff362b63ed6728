"""Range checks of message fields; each raises `InvalidMessage` that names the field."""

from __future__ import annotations

import itertools
from typing import Final

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.merkle import merkle_root
from fedmrg_secure.core.types import check_party_name
from fedmrg_secure.protocol.errors import InvalidMessage

HASH_BYTES: Final = 32
MAX_UINT32: Final = (1 << 32) - 1
MAX_CHUNKS: Final = 65_536
"""Chunks of one update; their hashes fill 2 MiB of a signed message."""
MAX_COHORT: Final = 10_000


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raise `InvalidMessage` unless `low <= value <= high`."""
    if not low <= value <= high:
        raise InvalidMessage(f"{name} must be {low} to {high}, got {value}")


def check_length(name: str, value: bytes, low: int, high: int) -> None:
    """Raise `InvalidMessage` unless `value` has `low` to `high` bytes."""
    if not low <= len(value) <= high:
        raise InvalidMessage(f"{name} must have {low} to {high} bytes, got {len(value)}")


def check_hash(name: str, value: bytes) -> None:
    """Raise `InvalidMessage` unless `value` has 32 bytes."""
    check_length(name, value, HASH_BYTES, HASH_BYTES)


def check_name(name: str, value: str) -> None:
    """Raise `InvalidMessage` unless `value` is a party name."""
    try:
        check_party_name(value)
    except InputError as error:
        raise InvalidMessage(f"{name} is not a party name") from error


def check_key(epoch: int, maker: str) -> None:
    """Raise `InvalidMessage` unless a key epoch has a maker, or both are absent."""
    check_range("key_epoch", epoch, 0, MAX_UINT32)
    if epoch:
        check_name("key_maker", maker)
    elif maker:
        raise InvalidMessage("key_maker is named without a key epoch")


def check_sorted_names(name: str, names: list[str]) -> None:
    """Raise `InvalidMessage` unless there are names, in order, none twice."""
    check_range(f"length of {name}", len(names), 1, MAX_COHORT)
    if any(first >= second for first, second in itertools.pairwise(names)):
        raise InvalidMessage(f"{name} is not sorted by name, or names a site twice")


def check_chunks(chunk_hashes: tuple[bytes, ...], root: bytes, total_bytes: int) -> None:
    """Raise `InvalidMessage` unless `root` is the RFC 6962 root over `chunk_hashes`."""
    check_range("number of chunks", len(chunk_hashes), 1, MAX_CHUNKS)
    for chunk_hash in chunk_hashes:
        check_hash("chunk_hashes", chunk_hash)
    if merkle_root(chunk_hashes) != root:
        raise InvalidMessage("merkle_root is not the root over chunk_hashes")
    check_range("total_bytes", total_bytes, 1, 1 << 48)
