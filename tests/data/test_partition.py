from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.config import Splits
from fedmrg_secure.data.partition import split_patients

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
