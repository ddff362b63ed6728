from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.config import Splits
from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.data.errors import PartitionImpossible
from fedmrg_secure.data.partition import dirichlet_centres, split_patients

SPLITS = Splits()


def test_shares_are_met() -> None:
    sizes = Counter(split_patients(map(str, range(200)), 0, SPLITS).values())
    assert sizes == {"train": 140, "validation": 20, "test": 40}


@given(st.permutations([f"p{index}" for index in range(12)]))
def test_the_order_of_patients_does_not_matter(patients: list[str]) -> None:
    assert split_patients(patients, 3, SPLITS) == split_patients(sorted(patients), 3, SPLITS)


def test_the_seed_matters() -> None:
    patients = [str(index) for index in range(50)]
    assert split_patients(patients, 0, SPLITS) != split_patients(patients, 1, SPLITS)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (4, {"train": 2, "validation": 1, "test": 1}),
    ],
)
def test_few_patients_still_fill_the_splits(count: int, expected: dict[str, int]) -> None:
    assert Counter(split_patients(map(str, range(count)), 0, SPLITS).values()) == expected


def test_extreme_shares_leave_someone_to_train() -> None:
    mostly_test = Splits(train=0.05, validation=0.05, test=0.9)
    assert set(split_patients(map(str, range(4)), 0, mostly_test).values()) == {
        "train",
        "validation",
        "test",
    }


FEW: dict[str, list[str]] = {f"p{index}": [CHEXPERT_CLASSES[index % 3]] for index in range(60)}
STATED = {f"p{index}": [CHEXPERT_CLASSES[index % 7 + 1]] for index in range(700)}


def parted(stated: dict[str, list[str]], **options: Any) -> dict[str, int]:
    chosen: dict[str, Any] = {"centres": 4, "alpha": 0.5, "min_patients": 0, "seed": 3} | options
    return dirichlet_centres(stated, **chosen)


def skew(places: dict[str, int]) -> float:
    """Mean distance in total variation between a centre's classes and those of all, in [0, 1]."""
    distances = []
    for centre in set(places.values()):
        own = Counter(STATED[patient][0] for patient, place in places.items() if place == centre)
        shares = [own[name] / own.total() for name in CHEXPERT_CLASSES[1:8]]
        distances.append(sum(abs(share - 1 / 7) for share in shares) / 2)
    return sum(distances) / len(distances)


@given(st.permutations(sorted(STATED)[:40]), st.integers(0, 2**40), st.integers(1, 6))
def test_every_patient_is_in_one_pseudo_centre_in_whatever_order(
    patients: list[str], seed: int, centres: int
) -> None:
    stated = {patient: STATED[patient] for patient in patients}
    places = parted(stated, seed=seed, centres=centres)
    assert places.keys() == stated.keys()
    assert set(places.values()) <= set(range(centres))
    assert places == parted(dict(sorted(stated.items())), seed=seed, centres=centres)


def test_other_patients_do_not_move_a_patient_nor_does_the_order_of_its_classes() -> None:
    places = parted(STATED)
    some = dict(list(STATED.items())[::3])
    assert parted(some) == {patient: places[patient] for patient in some}
    many = {patient: ["Edema", "Pneumonia", "Fracture"] for patient in STATED}
    assert parted(many) == parted({patient: classes[::-1] for patient, classes in many.items()})


def test_the_same_partition_on_every_machine() -> None:
    places = parted(STATED)
    assert Counter(places.values()) == {0: 150, 1: 99, 2: 306, 3: 145}
    assert places != parted(STATED, seed=4)


def test_a_small_alpha_makes_centres_differ_and_a_large_one_makes_them_alike() -> None:
    assert skew(parted(STATED, alpha=1000)) < 0.15
    assert skew(parted(STATED, alpha=0.1)) > 0.4


def test_patients_that_state_nothing_are_parted_as_without_finding() -> None:
    silent: dict[str, list[str]] = {f"p{index}": [] for index in range(50)}
    assert parted(silent) == parted({patient: ["No Finding"] for patient in silent})


def test_too_small_centres_are_drawn_again_or_refused() -> None:
    first = Counter(parted(STATED, alpha=0.3, centres=6).values())
    assert min(first[centre] for centre in range(6)) < 60
    again = Counter(parted(STATED, alpha=0.3, centres=6, min_patients=60).values())
    assert min(again[centre] for centre in range(6)) >= 60
    with pytest.raises(PartitionImpossible, match="700 patients cannot be parted into 6"):
        parted(STATED, centres=6, min_patients=120)
    with pytest.raises(PartitionImpossible):
        parted({}, min_patients=1)


def test_training_centres_have_patients_to_train_and_to_test_on() -> None:
    splits = {patient: "test" if index % 9 == 0 else "train" for index, patient in enumerate(FEW)}
    for seed in range(20):
        places = parted(FEW, alpha=0.3, seed=seed, splits=splits, training=3)
        found = {(place, splits[patient]) for patient, place in places.items()}
        assert found >= {(centre, split) for centre in range(3) for split in ("train", "test")}
    with pytest.raises(PartitionImpossible, match="to train and to test on"):
        parted(FEW, splits=dict.fromkeys(FEW, "train"), training=1)
