from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.data.errors import UnknownCentre
from fedmrg_secure.data.task import describe_task, load_centre

SMALL = PhantomData(source="phantom", patients_per_centre=30, patients_per_unseen_centre=8)


def test_four_centres_take_part_and_two_are_unseen() -> None:
    task = describe_task(SMALL)
    assert len(task.participating) == 4
    assert len(task.unseen) == 2
    assert set(task.titles) == {*task.participating, *task.unseen}
    assert task.skipped == ()


def test_a_participating_centre_is_split_by_patient() -> None:
    data = load_centre(SMALL, describe_task(SMALL).participating[0])
    patients = [{r.patient_id for r in part} for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in patients] == [21, 3, 6]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    assert len(data.train) + len(data.validation) + len(data.test) > 30  # some come again


def test_an_unseen_centre_only_tests() -> None:
    data = load_centre(SMALL, describe_task(SMALL).unseen[0])
    assert data.train == ()
    assert data.validation == ()
    assert len({r.patient_id for r in data.test}) == 8


def test_loading_is_deterministic_and_depends_on_the_seed() -> None:
    name = describe_task(SMALL).participating[1]
    first, again = load_centre(SMALL, name), load_centre(SMALL, name)
    assert first == again
    assert np.array_equal(first.train[0].load_image(48), again.train[0].load_image(48))
    other = load_centre(SMALL.model_copy(update={"seed": 1}), name)
    assert [r.report for r in other.train] != [r.report for r in first.train]


def test_record_ids_are_unique_across_centres() -> None:
    ids = [
        record.record_id
        for name in describe_task(SMALL).titles
        for data in [load_centre(SMALL, name)]
        for record in (*data.train, *data.validation, *data.test)
    ]
    assert len(ids) == len(set(ids))


def test_more_patients_leave_the_others_as_they_were() -> None:
    name = describe_task(SMALL).unseen[0]
    more = SMALL.model_copy(update={"patients_per_unseen_centre": 12})
    few = load_centre(SMALL, name).test
    assert load_centre(more, name).test[: len(few)] == few


def test_an_unknown_centre_is_refused() -> None:
    with pytest.raises(UnknownCentre, match="no centre 'atlantis'"):
        load_centre(SMALL, "atlantis")
