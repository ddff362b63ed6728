"""Splitting by patient, by a hash: the same on every machine, whatever the order of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.core.config import Splits

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


def split_patients(patients: Iterable[str], seed: int, splits: Splits) -> dict[str, Split]:
    """Assign the patients of one centre to splits in the wanted shares.

    Patients are ordered by a hash of seed and id; the first go to test, the next to validation,
    the rest to train. Sizes are the shares rounded; from three patients on no split is empty, of
    two the second trains and the first tests.

    Args:
        patients: ids, in any order; repetitions are ignored.
        seed: another seed gives an unrelated order.
        splits: the shares.
    """
    ordered = sorted(set(patients), key=lambda patient: (_point(seed, patient), patient))
    count = len(ordered)
    test = max(round(count * splits.test), 1 if count >= 2 else 0)
    validation = max(round(count * splits.validation), 1 if count >= 3 else 0)
    if test + validation >= count:
        test, validation = (1, 1) if count >= 3 else (1 if count == 2 else 0, 0)
    assigned: dict[str, Split] = {}
    for index, patient in enumerate(ordered):
        if index < test:
            assigned[patient] = "test"
        else:
            assigned[patient] = "validation" if index < test + validation else "train"
    return assigned


def _point(seed: int, patient: str) -> bytes:
    return tagged_hash("fedmrg split v1", str(seed).encode(), patient.encode())
