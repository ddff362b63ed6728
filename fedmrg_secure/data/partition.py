"""Splitting by patient, by a hash: the same patient always lands in the same split."""

from __future__ import annotations

from typing import Final, Literal

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.core.config import Splits

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


def split_of(patient_id: str, seed: int, splits: Splits) -> Split:
    """The split of a patient: independent of all other patients and of the order of rows."""
    digest = tagged_hash("fedmrg split v1", str(seed).encode(), patient_id.encode())
    point = int.from_bytes(digest[:8], "big") / 2**64
    if point < splits.train:
        return "train"
    return "validation" if point < splits.train + splits.validation else "test"
