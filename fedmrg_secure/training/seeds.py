"""Seeds that every implementation of a run derives alike."""

from __future__ import annotations

from fedmrg_secure.core.canonical import tagged_hash


def round_seed(seed: int, site: str, round_number: int) -> int:
    """Seed of one site's training in one round: order of records, mixing, augmentation.

    Args:
        seed: of the run.
        site: party name.
        round_number: 1, 2, ...

    Returns:
        In [0, 2^32).
    """
    parts = (str(seed).encode(), site.encode(), str(round_number).encode())
    return int.from_bytes(tagged_hash("fedmrg/training-seed/v1", *parts)[:4], "big")
