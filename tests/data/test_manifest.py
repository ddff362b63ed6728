from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedmrg_secure.core.config import ManifestData
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.errors import (
    CentreTooSmall,
    ImageMissing,
    ManifestUnreadable,
    MissingColumn,
    OutsideRoot,
    UnknownCentre,
)
from fedmrg_secure.data.paths import inside_root
from fedmrg_secure.data.task import describe_task, load_centre

REAL_PAIRS = Path(__file__).parents[3] / "shared" / "data" / "covid_cxr"
CENTRES = ("North Town", "South Town", "Rest Home")


def rows() -> list[dict[str, Any]]:
    """Sixteen studies of ten patients in each of three centres."""
    found = []
    for c, centre in enumerate(CENTRES):
        for index in range(16):
            found.append(
                {
                    "study_id": f"s{c}-{index}",
                    "patient_id": f"p{c}-{index % 10}",
                    "image": f"images/{c}-{index}.png",
                    "report": f"There is a small left pleural effusion, number {index}.",
                    "centre": centre,
                    "view": "PA",
                }
            )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    for row in rows():
        level = int(row["study_id"].split("-")[1]) * 10
        Image.fromarray(np.full((20, 10), level, dtype=np.uint8)).save(root / row["image"])
    return root


def task(folder: Path, listed: list[dict[str, Any]], **options: Any) -> ManifestData:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
    settings: dict[str, Any] = {
        "participating": ["North Town", "South Town"],
        "unseen": "rest",
        **options,
    }
    return ManifestData(source="manifest", root=folder, **settings)


def only_error(folder: Path, listed: list[dict[str, Any]], **options: Any) -> FedmrgError:
    with pytest.raises(ErrorGroup) as caught:
        describe_task(task(folder, listed, **options))
    assert len(caught.value.errors) == 1, caught.value.explain()
    return caught.value.errors[0]


def test_centres_and_splits(folder: Path) -> None:
    config = task(folder, rows())
    described = describe_task(config)
    assert described.participating == ("north-town", "south-town")
    assert described.unseen == ("rest-home",)
    assert described.titles["north-town"] == "North Town"
    assert described.skipped == ()
    data = load_centre(config, "north-town")
    parts = [{r.patient_id for r in part} for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [7, 1, 2]
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 16
    assert len(load_centre(config, "rest-home").test) == 16


def test_a_record_has_its_image_report_and_labels(folder: Path) -> None:
    data = load_centre(task(folder, rows()), "rest-home")
    record = next(r for r in data.test if r.record_id == "s2-5")
    assert record.centre == "rest-home"
    assert record.labels[CHEXPERT_CLASSES.index("Pleural Effusion")] is Status.POSITIVE
    image = record.load_image(40)
    assert image.shape == (40, 40)
    assert image[20, 20] == pytest.approx(50 / 255, abs=1e-3)
    assert image[20, 2] == 0  # padded at the sides


def test_csv_gives_the_same_task_as_jsonl(folder: Path) -> None:
    config = task(folder, rows())
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows()[0]))
        writer.writeheader()
        writer.writerows(rows())
    as_csv = config.model_copy(update={"manifest": "pairs.csv"})
    ids = [[r.record_id for r in load_centre(c, "north-town").train] for c in (config, as_csv)]
    assert ids[0] == ids[1]


def test_the_order_of_rows_moves_no_patient(folder: Path) -> None:
    forward = load_centre(task(folder, rows()), "north-town")
    backward = load_centre(task(folder, rows()[::-1]), "north-town")
    assert {r.record_id for r in forward.test} == {r.record_id for r in backward.test}


def test_where_keeps_only_the_rows_asked_for(folder: Path) -> None:
    listed = rows()
    for row in listed[:8]:
        row["view"] = "L"
    listed[0]["image"] = "absent.png"  # not looked at
    config = task(folder, listed, where={"view": ["PA", "AP"]})
    described = describe_task(config)
    assert described.skipped == ()
    data = load_centre(config, "north-town")
    assert len(data.train) + len(data.validation) + len(data.test) == 8


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"report": "  "}, "FMRG-2103", "nothing in 'report'"),
        ({"report": None}, "FMRG-2103", "nothing in 'report'"),
        ({"patient_id": ""}, "FMRG-2103", "nothing in 'patient_id'"),
        ({"study_id": "s0-1"}, "FMRG-2104", "listed twice, first at pairs.jsonl:2"),
        ({"patient_id": "p0-3"}, "FMRG-2106", "two centres"),
        ({"image": "images/1-1.png"}, "FMRG-2107", "one image"),
        ({"image": "images/absent.png"}, "FMRG-2202", "no file"),
        ({"image": "images"}, "FMRG-2202", "no file"),
        ({"image": "../outside.png"}, "FMRG-2201", "plain path"),
        ({"image": "/etc/passwd"}, "FMRG-2201", "plain path"),
        ({"image": "images/../../outside.png"}, "FMRG-2201", "plain path"),
        ({"image": "..\\outside.png"}, "FMRG-2201", "plain path"),
        ({"image": "C:\\outside.png"}, "FMRG-2201", "plain path"),
        ({"image": "a\0b.png"}, "FMRG-2201", "plain path"),
        ({"image": "."}, "FMRG-2201", "plain path"),
        ({"image": "link.png"}, "FMRG-2201", "leads out"),
        ({"image": "truncated.png"}, "FMRG-2203", "truncated"),
        ({"image": "empty.png"}, "FMRG-2203", "empty"),
        ({"image": "notes.txt"}, "FMRG-2205", "neither PNG"),
        ({"centre": "!!!"}, "FMRG-2000", "cannot name a centre"),
        ({"centre": "rest home"}, "FMRG-2109", "one name"),
    ],
)
def test_a_bad_row_is_one_error_or_one_listed_skip(
    folder: Path, change: dict[str, Any], code: str, says: str
) -> None:
    outside = folder.parent / "outside.png"
    Image.new("L", (4, 4)).save(outside)
    (folder / "link.png").symlink_to(outside)
    whole = (folder / "images" / "0-1.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image at all", encoding="utf-8")
    listed = rows()
    bad = 47 if "centre" in change else 20
    listed[bad] |= change

    error = only_error(folder, listed)
    assert error.code == code
    assert says in error.message
    assert error.location == f"{folder}/pairs.jsonl:{bad + 1}"
    assert error.exit_code == 2
    assert "p0-" not in error.message  # no patient is named

    skipped = describe_task(task(folder, listed, on_error="skip")).skipped
    assert [(skip.row, skip.record_id) for skip in skipped] == [(bad + 1, listed[bad]["study_id"])]
    assert skipped[0].reason == error.message
    kept = [
        record.record_id
        for name in ("north-town", "south-town", "rest-home")
        for data in [load_centre(task(folder, listed, on_error="skip"), name)]
        for record in (*data.train, *data.validation, *data.test)
    ]
    assert len(kept) == 47


def test_all_bad_rows_are_reported_at_once_in_order(folder: Path) -> None:
    listed = rows()
    listed[30]["report"] = ""
    listed[3]["image"] = "absent.png"
    listed[10]["image"] = "images/broken.png"
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    config = task(folder, listed)
    text = (folder / "pairs.jsonl").read_text(encoding="utf-8")
    (folder / "pairs.jsonl").write_text(text + "{oops\n", encoding="utf-8")
    with pytest.raises(ErrorGroup) as caught:
        describe_task(config)
    lines = [error.location.rsplit(":", 1)[1] for error in caught.value.errors]
    assert lines == ["4", "11", "31", "49"]
    assert "4 errors; nothing was started." in caught.value.explain()


def test_given_splits_are_kept_and_a_patient_stays_in_one(folder: Path) -> None:
    listed = rows()
    for row in listed:
        row["part"] = "test" if row["patient_id"].endswith(("1", "2")) else "train"
    listed[3]["part"] = listed[13]["part"] = "val"
    options = {"columns": {"split": "part"}}
    data = load_centre(task(folder, listed, **options), "north-town")
    assert {r.patient_id for r in data.test} == {"p0-1", "p0-2"}
    assert [r.record_id for r in data.validation] == ["s0-3", "s0-13"]
    listed[11]["part"] = "train"
    assert only_error(folder, listed, **options).code == "FMRG-2105"
    listed[11]["part"] = "holdout"
    assert only_error(folder, listed, **options).code == "FMRG-2108"


def test_unseen_centres_can_be_listed_or_left_out(folder: Path) -> None:
    assert describe_task(task(folder, rows(), unseen="none")).unseen == ()
    assert describe_task(task(folder, rows(), unseen=["Rest Home"])).unseen == ("rest-home",)
    with pytest.raises(UnknownCentre, match="participating and unseen"):
        describe_task(task(folder, rows(), unseen=["South Town"]))


def test_an_unknown_centre_names_those_that_are_there(folder: Path) -> None:
    with pytest.raises(UnknownCentre) as caught:
        describe_task(task(folder, rows(), participating=["North Town", "Atlantis"]))
    assert "atlantis" in caught.value.message
    assert "south-town" in caught.value.hint
    with pytest.raises(UnknownCentre):
        load_centre(task(folder, rows()), "atlantis")


def test_a_centre_without_enough_patients_is_refused(folder: Path) -> None:
    listed = rows()[:17]
    with pytest.raises(CentreTooSmall, match="'south-town' has no test"):
        describe_task(task(folder, listed))


def test_a_wrong_column_name_says_so(folder: Path) -> None:
    with pytest.raises(MissingColumn, match="no column 'country', 'views'") as caught:
        describe_task(task(folder, rows(), columns={"centre": "country"}, where={"views": ["PA"]}))
    assert "it has centre, image, patient_id" in caught.value.hint


def test_bad_rows_are_told_before_a_centre_that_they_leave_empty(folder: Path) -> None:
    listed = rows()
    for row in listed[:16]:
        row["report"] = ""
    with pytest.raises(ErrorGroup) as caught:
        describe_task(task(folder, listed))
    assert len(caught.value.errors) == 16


def test_the_manifest_itself_must_lie_below_the_root(folder: Path) -> None:
    config = task(folder, rows())
    with pytest.raises(OutsideRoot):
        describe_task(config.model_copy(update={"manifest": "../pairs.jsonl"}))
    with pytest.raises(ManifestUnreadable, match="no file 'absent"):
        describe_task(config.model_copy(update={"manifest": "absent.jsonl"}))
    with pytest.raises(ManifestUnreadable, match="no data folder"):
        describe_task(config.model_copy(update={"root": folder / "absent"}))


def test_a_link_inside_the_root_is_followed(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "a.png").write_bytes(b"x")
    (root / "b.png").symlink_to(root / "a.png")
    assert inside_root(root, "b.png", location="") == root / "a.png"
    (root / "loop.png").symlink_to(root / "loop.png")
    with pytest.raises(ImageMissing):
        inside_root(root, "loop.png", location="")


@pytest.mark.skipif(not REAL_PAIRS.is_dir(), reason="the real X-rays are not at hand")
def test_real_radiographs_are_federated_by_country() -> None:
    config = ManifestData(
        source="manifest",
        root=REAL_PAIRS,
        columns={"centre": "country"},
        where={"view": ["PA", "AP", "AP Supine"]},
        participating=["Spain", "Italy", "United Kingdom", "Australia"],
        unseen="rest",
        on_error="skip",
    )
    described = describe_task(config)
    assert described.participating == ("spain", "italy", "united-kingdom", "australia")
    assert "unknown" in described.unseen
    assert len(described.skipped) == 5
    for name in described.participating:
        data = load_centre(config, name)
        assert data.train
        assert data.test
        assert data.test[0].load_image(64).std() > 0.05
