from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.core.config import IuXrayData
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.errors import (
    ManifestUnreadable,
    OutsideRoot,
    PartitionImpossible,
    UnknownCentre,
)
from fedmrg_secure.data.task import describe_task, load_centre
from tests.data.layouts import all_records, r2gen_entry, report_of, write_image, write_r2gen

SMALL = {"participating": 2, "unseen": 1, "alpha": 5, "min_patients": 4}


def studies() -> dict[str, list[Any]]:
    return {
        "train": [r2gen_entry(number) for number in range(1, 43)],
        "val": [r2gen_entry(number) for number in range(43, 49)],
        "test": [r2gen_entry(number) for number in range(49, 61)],
    }


def config(root: Path, **options: Any) -> IuXrayData:
    return IuXrayData.model_validate(
        {"source": "iu-xray", "root": root, "pseudo_centres": SMALL} | options
    )


def rewrite(root: Path, entries: Any) -> None:
    text = entries if isinstance(entries, str) else json.dumps(entries)
    (root / "annotation.json").write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_r2gen(tmp_path / "iu", studies())


def test_pseudo_centres_hold_every_study_once_in_its_given_split(root: Path) -> None:
    task = describe_task(config(root))
    assert task.participating == ("pseudo-centre-1", "pseudo-centre-2")
    assert task.unseen == ("unseen-pseudo-centre-1",)
    assert task.titles["unseen-pseudo-centre-1"] == "Unseen pseudo-centre 1"
    assert task.skipped == ()
    assert len(all_records(config(root))) == 60
    data = load_centre(config(root), "pseudo-centre-1")
    numbers = {
        split: {int(record.patient_id.removeprefix("CXR")) for record in getattr(data, split)}
        for split in ("train", "validation", "test")
    }
    assert numbers["train"] <= set(range(1, 43))
    assert numbers["validation"] <= set(range(43, 49))
    assert numbers["test"] <= set(range(49, 61))
    assert load_centre(config(root), "unseen-pseudo-centre-1").train == ()


def test_a_record_has_its_report_labels_and_frontal_image(root: Path) -> None:
    records = all_records(config(root))
    record = records["CXR1_IM-0001"]
    assert record.patient_id == "CXR1"
    assert record.report == report_of(1)
    assert record.labels[CHEXPERT_CLASSES.index("Pleural Effusion")] is Status.POSITIVE
    level = record.load_image(32).max() * 255
    assert level == pytest.approx(0)  # the first image of the first entry
    lateral = all_records(config(root, view=2))["CXR1_IM-0001"]
    assert lateral.load_image(32).max() * 255 == pytest.approx(1)


def test_splits_can_be_drawn_by_patient_and_follow_the_seed(root: Path) -> None:
    by_patient = config(root, split_by="patient")
    records = all_records(by_patient)
    assert records.keys() == all_records(by_patient).keys()
    train = load_centre(by_patient, "pseudo-centre-1").train
    assert {r.record_id for r in train} - {f"CXR{n}_IM-{n:04d}" for n in range(1, 43)}
    other = load_centre(config(root, split_by="patient", seed=1), "pseudo-centre-1").train
    assert {r.record_id for r in train} != {r.record_id for r in other}


def test_a_key_of_the_entries_can_name_the_centres(root: Path) -> None:
    entries = studies()
    for listed in entries.values():
        for index, entry in enumerate(listed):
            entry["hospital"] = ("North Town", "South Town", 7)[index % 3]
    rewrite(root, entries)
    column = {"column": "hospital", "participating": ["North Town", "South Town"]}
    task = describe_task(config(root, centres=column | {"unseen": "rest"}))
    assert task.participating == ("north-town", "south-town")
    assert task.unseen == ("7",)
    assert len(all_records(config(root, centres=column))) == 40
    with pytest.raises(UnknownCentre) as caught:
        describe_task(config(root, centres=column | {"unseen": ["Atlantis"]}))
    assert "'hospital' has 7, north-town, south-town" in caught.value.hint
    with pytest.raises(UnknownCentre):
        load_centre(config(root, centres=column), "7")


def test_the_annotation_of_mimic_has_subjects(root: Path) -> None:
    entries = studies()
    for listed in entries.values():
        for index, entry in enumerate(listed):
            entry |= {"id": f"{entry['id'][3:]}-dicom", "subject_id": 10_000 + index // 2}
    for name, listed in entries.items():
        for entry in listed:
            entry["subject_id"] = f"{name}-{entry['subject_id']}"
    rewrite(root, entries)
    records = all_records(config(root))
    assert len({record.patient_id for record in records.values()}) == 30


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"image_path": ["absent/0.png"]}, "FMRG-2202", "no file"),
        ({"image_path": []}, "FMRG-2103", "no image"),
        ({"image_path": None}, "FMRG-2103", "image_path"),
        ({"image_path": [7]}, "FMRG-2103", "image_path"),
        ({"image_path": ["../outside.png"]}, "FMRG-2201", "plain path"),
        ({"image_path": ["/etc/passwd"]}, "FMRG-2201", "plain path"),
        ({"image_path": [""]}, "FMRG-2201", "plain path"),
        ({"image_path": ["link.png"]}, "FMRG-2201", "leads out"),
        ({"image_path": ["broken.png"]}, "FMRG-2203", "truncated"),
        ({"image_path": ["CXR1_IM-0001/0.png"]}, "FMRG-2107", "two patients"),
        ({"report": "  "}, "FMRG-2103", "nothing in 'report'"),
        ({"report": ["a"]}, "FMRG-2103", "nothing in 'report'"),
        ({"id": None}, "FMRG-2103", "nothing in 'id'"),
        ({"id": "CXR1_IM-0001"}, "FMRG-2104", "first at annotation.json:train[0]"),
        ({"id": "CXR50_IM-9999"}, "FMRG-2105", "two splits"),
        ({"id": "IM-0001"}, "FMRG-2103", "begin with CXR"),
    ],
)
def test_a_bad_entry_is_one_error_or_one_listed_skip(
    root: Path, change: dict[str, Any], code: str, says: str
) -> None:
    write_image(root.parent / "outside.png", 9)
    (root / "images" / "link.png").symlink_to(root.parent / "outside.png")
    (root / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    entries = studies()
    # The patient of number 50 is met before, in train.
    bad = ("val", 3) if "IM-9999" in str(change.get("id")) else ("train", 10)
    entries[bad[0]][bad[1]] |= change
    if bad[0] == "val":
        entries["val"][bad[1]]["id"] = "CXR5_IM-9999"
    rewrite(root, entries)
    with pytest.raises(ErrorGroup) as caught:
        describe_task(config(root))
    error = only(caught.value)
    assert (error.code, error.location) == (code, f"{root}/annotation.json:{bad[0]}[{bad[1]}]")
    assert says in error.message
    skipping = config(root, on_error="skip")
    skipped = describe_task(skipping).skipped
    row = 46 if bad[0] == "val" else 11
    assert [(skip.row, skip.reason) for skip in skipped] == [(row, error.message)]
    assert len(all_records(skipping)) == 59


def only(group: ErrorGroup) -> FedmrgError:
    assert len(group.errors) == 1, group.explain()
    return group.errors[0]


def test_an_entry_that_is_no_object_and_a_list_of_another_name(root: Path) -> None:
    rewrite(root, studies() | {"holdout": [r2gen_entry(99)], "dev": ["CXR3"]})
    write_image(root / "images" / "CXR99_IM-0099" / "0.png", 3)
    with pytest.raises(ErrorGroup) as caught:
        describe_task(config(root))
    assert [error.code for error in caught.value.errors] == ["FMRG-2108", "FMRG-2102"]
    assert caught.value.errors[1].location.endswith("annotation.json:dev[0]")


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"train": 1}', "[" * 100_000, '{"train": {"id": 1}}']
)
def test_a_file_that_is_no_annotation_is_one_clear_error(root: Path, content: str) -> None:
    rewrite(root, content)
    with pytest.raises(ManifestUnreadable) as caught:
        describe_task(config(root))
    assert caught.value.location == f"{root}/annotation.json"


def test_what_is_absent_names_the_key_to_set(root: Path) -> None:
    with pytest.raises(ManifestUnreadable, match=r"no file 'absent\.json'") as caught:
        describe_task(config(root, reports="absent.json"))
    assert caught.value.location == "data.reports"
    with pytest.raises(OutsideRoot):
        describe_task(config(root, reports="../annotation.json"))
    with pytest.raises(ManifestUnreadable, match="no data folder"):
        describe_task(config(root / "absent"))
    with pytest.raises(PartitionImpossible) as impossible:
        describe_task(config(root, pseudo_centres=SMALL | {"min_patients": 30}))
    assert impossible.value.location == "data.pseudo_centres"


def test_images_need_not_be_decoded_before_they_are_used(root: Path) -> None:
    (root / "images" / "CXR1_IM-0001" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    record = all_records(config(root, check_images=False))["CXR1_IM-0001"]
    with pytest.raises(FedmrgError) as caught:
        record.load_image(32)
    assert caught.value.location == f"{root}/annotation.json:train[0]"
