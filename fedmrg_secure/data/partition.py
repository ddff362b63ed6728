"""Patients to splits and to pseudo-centres: the same on every machine, whatever the row order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.core.config import Splits
from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.data.errors import PartitionImpossible

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")

_ATTEMPTS: Final = 200
_NO_FINDING: Final = CHEXPERT_CLASSES.index("No Finding")


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


def dirichlet_centres(
    stated: Mapping[str, Iterable[str]],
    *,
    centres: int,
    alpha: float,
    min_patients: int,
    seed: int,
    splits: Mapping[str, Split] | None = None,
    training: int = 0,
) -> dict[str, int]:
    """Part patients into centres that see different things, each patient whole.

    A patient counts for one of the classes its reports state, chosen by a hash of seed and id.
    For each class the shares of the centres are drawn from Dirichlet(alpha, ..., alpha), and the
    patient goes where another hash falls among the shares of its class. So neither the order of
    patients nor the others of its class move a patient; only where a centre has too few patients,
    or a training one nobody to train on or to test on, are all shares drawn again.

    Args:
        stated: for each patient the classes, of `CHEXPERT_CLASSES`, that its reports state; none
            counts as No Finding.
        centres: how many, >= 1.
        alpha: concentration, >= 0.05: shares below that would underflow.
        min_patients: of every centre.
        seed: another seed gives an unrelated partition.
        splits: of the patients, where their source gives them.
        training: how many of the centres train, the first ones.

    Returns:
        The centre of each patient, from 0 to `centres` - 1.

    Raises:
        PartitionImpossible: none of 200 draws would do.

    Source:
        Label skew by class as in Yurochkin et al. 2019 (arXiv 1905.12022), section 4.1, and Li et
        al. 2022 (arXiv 2102.02079), here by patient.
    """
    patients = sorted(stated)
    classes = np.array([_class_of(patient, stated[patient], seed) for patient in patients], int)
    points = np.array([_fraction("place", seed, patient) for patient in patients])
    given = np.array([(splits or {}).get(patient, "") for patient in patients])
    groups = [given == split for split in ("train", "test")] if splits else []
    # numpy keeps the stream of its legacy generator for ever (NEP 19).
    key = np.frombuffer(tagged_hash("fedmrg pseudo-centres v1", str(seed).encode()), "<u4")
    generator = np.random.RandomState(key.astype(np.uint32))
    for _ in range(_ATTEMPTS):
        shares = generator.dirichlet(np.full(centres, alpha), size=len(CHEXPERT_CLASSES))
        places = _places(shares, classes, points)
        large = np.bincount(places, minlength=centres).min() >= min_patients
        if large and all(set(range(training)) <= set(places[group]) for group in groups):
            return dict(zip(patients, places.tolist(), strict=True))
    raise PartitionImpossible(
        f"{len(patients)} patients cannot be parted into {centres} pseudo-centres of at least "
        f"{min_patients} patients, with some to train and to test on, with alpha {alpha:g}",
        hint="raise alpha, or lower the number of pseudo-centres or min_patients",
        location="data.pseudo_centres",
    )


def _places(
    shares: npt.NDArray[np.float64], classes: npt.NDArray[np.int64], points: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """The centre in whose share of the patient's class its point falls, shape (patients,)."""
    upper = np.cumsum(shares, axis=1)[:, :-1]  # (classes, centres - 1)
    places: npt.NDArray[np.int64] = (points[:, None] >= upper[classes]).sum(axis=1)
    return places


def _class_of(patient: str, stated: Iterable[str], seed: int) -> int:
    found = sorted(CHEXPERT_CLASSES.index(name) for name in set(stated))
    if not found:
        return _NO_FINDING
    return found[int(_fraction("class", seed, patient) * len(found))]


def _fraction(use: str, seed: int, patient: str) -> float:
    """Uniform in [0, 1), with 53 bits."""
    digest = tagged_hash(f"fedmrg pseudo-centre {use} v1", str(seed).encode(), patient.encode())
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def _point(seed: int, patient: str) -> bytes:
    return tagged_hash("fedmrg split v1", str(seed).encode(), patient.encode())
