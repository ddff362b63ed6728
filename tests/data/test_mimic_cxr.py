from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fedmrg_secure.core.config import MimicCxrData
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError
from fedmrg_secure.data.errors import ManifestUnreadable, MissingColumn, UnknownCentre
from fedmrg_secure.data.task import describe_task, load_centre
from tests.data.layouts import all_records, mimic_rows, mimic_study, report_of, write_mimic
from tests.data.layouts import write_table as table

COLUMN = {
    "column": "PerformedProcedureStepDescription",
    "participating": ["CHEST (PA AND LAT)", "CHEST (PORTABLE AP)"],
    "unseen": "rest",
}
SUBJECTS = 30
STUDIES = 2 * SUBJECTS


def config(root: Path, **options: Any) -> MimicCxrData:
    return MimicCxrData.model_validate(
        {"source": "mimic-cxr", "root": root, "centres": COLUMN} | options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mimic(tmp_path_factory.mktemp("mimic"), mimic_rows(SUBJECTS))


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "mimic")


def only_error(found: MimicCxrData) -> FedmrgError:
    with pytest.raises(ErrorGroup) as caught:
        describe_task(found)
    assert len(caught.value.errors) == 1, caught.value.explain()
    return caught.value.errors[0]


def test_centres_come_from_a_column_and_splits_from_the_table(whole: Path) -> None:
    task = describe_task(config(whole))
    assert task.participating == ("chest-pa-and-lat", "chest-portable-ap")
    assert task.unseen == ("trauma-2",)
    assert len(all_records(config(whole))) == STUDIES
    data = load_centre(config(whole), "chest-portable-ap")
    numbers = {int(record.patient_id) - 10_000_000 for record in data.train}
    assert numbers == {n for n in range(SUBJECTS) if n % 3 == 1 and n % 5 != 0}
    assert data.validation == ()
    split_anew = load_centre(config(whole, split_by="patient"), "chest-portable-ap")
    assert split_anew.validation


def test_a_study_has_its_section_and_its_first_wanted_view(whole: Path) -> None:
    record = all_records(config(whole))["s50000000"]
    assert record.patient_id == "10000000"
    assert record.report == report_of(50000000)
    assert Path(record.image.path).name == "50000000-pa.jpg"  # type: ignore[attr-defined]
    assert record.load_image(32).max() * 255 == pytest.approx(16, abs=1)
    portable = all_records(config(whole, views=["AP"], centres=None, pseudo_centres=PSEUDO))
    assert len(portable) == STUDIES // 3
    assert Path(portable["s50000000"].image.path).name == "50000000-ap.jpg"  # type: ignore[attr-defined]
    both = all_records(config(whole, sections=["impression", "findings"]))["s50000000"]
    assert both.report == f"Impression of 50000000.\n{report_of(50000000)}"


PSEUDO = {"participating": 2, "unseen": 1, "alpha": 5, "min_patients": 2}


def test_pseudo_centres_are_drawn_over_the_table_of_labels(root: Path) -> None:
    pseudo = config(root, centres=None, pseudo_centres=PSEUDO, split_by="patient")
    records = all_records(pseudo)
    assert len(records) == STUDIES
    other = all_records(pseudo.model_copy(update={"seed": 1}))
    assert any(other[name].centre != record.centre for name, record in records.items())
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(ManifestUnreadable, match=r"no table mimic-cxr-2\.0\.0-chexpert"):
        describe_task(pseudo)


def test_tables_may_be_unpacked_and_reports_lie_elsewhere(tmp_path: Path) -> None:
    root = write_mimic(tmp_path / "plain", mimic_rows(9), packed=False)
    for path in (root / "files").rglob("*.txt"):
        moved = root / "reports" / path.relative_to(root / "files")
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    options: dict[str, Any] = {"split_by": "patient", "reports": "reports"}
    assert len(all_records(config(root, **options))) == 18


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"dicom_id": ""}, "FMRG-2103", "nothing in 'dicom_id'"),
        ({"study_id": ""}, "FMRG-2103", "nothing in 'study_id'"),
        ({"subject_id": "10/000010"}, "FMRG-2102", "not a number"),
        ({"dicom_id": "absent"}, "FMRG-2202", "absent.jpg"),
        ({"dicom_id": "../../../../outside"}, "FMRG-2201", "plain path"),
        ({"dicom_id": "50000000-pa"}, "FMRG-2104", "listed twice"),
        ({"study_id": "50000000"}, "FMRG-2102", "two subjects, first in line 4"),
        ({"PerformedProcedureStepDescription": " "}, "FMRG-2103", "nothing in 'Performed"),
        ({"PerformedProcedureStepDescription": "!"}, "FMRG-2000", "cannot name"),
        ({"PerformedProcedureStepDescription": "Trauma #2"}, "FMRG-2106", "two centres"),
        ({"PerformedProcedureStepDescription": "chest PA and LAT"}, "FMRG-2109", "one name"),
    ],
)
def test_a_bad_row_is_one_error_or_one_listed_skip(
    root: Path, change: dict[str, str], code: str, says: str
) -> None:
    rows = mimic_rows(SUBJECTS)
    # The film of the second study of subject 10, and its line in the file.
    bad = next(i for i, row in enumerate(rows) if row["dicom_id"] == "50000021-pa")
    rows[bad] |= change
    table(root, "metadata", rows)
    error = only_error(config(root))
    place = f"{root}/mimic-cxr-2.0.0-metadata.csv.gz:{bad + 2}"
    assert (error.code, error.location) == (code, place)
    assert says in error.message
    assert "10000010" not in error.message  # no patient is named
    skipping = config(root, on_error="skip")
    assert [skip.row for skip in describe_task(skipping).skipped] == [bad + 2]
    assert len(all_records(skipping)) == STUDIES - 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "FMRG-2111"),
        (b"FINAL REPORT\n\n IMPRESSION: Nothing.", "FMRG-2113"),
        (b"FINDINGS: \xff", "FMRG-2112"),
    ],
)
def test_a_report_that_is_missing_or_says_nothing(
    root: Path, content: bytes | None, code: str
) -> None:
    rows = mimic_rows(SUBJECTS)
    path = mimic_study(root, rows[-1]).with_suffix(".txt")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    error = only_error(config(root))
    assert error.code == code
    assert error.location in (str(path), f"{root}/mimic-cxr-2.0.0-metadata.csv.gz:{len(rows)}")
    skipped = describe_task(config(root, on_error="skip")).skipped
    assert [skip.record_id for skip in skipped] == [f"s{rows[-1]['study_id']}"]
    assert len(all_records(config(root, on_error="skip"))) == STUDIES - 1


def test_a_report_is_read_only_where_its_centre_is_loaded(root: Path) -> None:
    row = next(r for r in mimic_rows(SUBJECTS) if "PORTABLE" in r[COLUMN["column"]])  # type: ignore[index]
    mimic_study(root, row).with_suffix(".txt").write_bytes(b"nothing")
    assert load_centre(config(root), "chest-pa-and-lat").train
    with pytest.raises(ErrorGroup, match="1 error"):
        load_centre(config(root), "chest-portable-ap")


def test_no_image_is_opened_before_it_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = mimic_study(root, mimic_rows(1)[0]) / "50000000-pa.jpg"
    film.write_bytes(b"\xff\xd8\xff damaged")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("an image was opened")

    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", refuse)
        record = all_records(config(root))["s50000000"]
    with pytest.raises(FedmrgError) as caught:
        record.load_image(32)
    assert caught.value.code == "FMRG-2203"
    assert only_error(config(root, check_images=True)).code == "FMRG-2203"


def test_the_tables_must_be_there_and_whole(root: Path) -> None:
    rows = mimic_rows(SUBJECTS)
    table(root, "split", [r for r in rows if r["study_id"] != rows[0]["study_id"]])
    assert "not in the table of splits" in only_error(config(root)).message
    table(
        root,
        "split",
        [
            r | {"split": "holdout"} if "LAT" in r["PerformedProcedureStepDescription"] else r
            for r in rows
        ],
    )
    with pytest.raises(ErrorGroup) as caught:
        describe_task(config(root))
    assert {error.code for error in caught.value.errors} == {"FMRG-2108"}
    table(root, "split", [{"dicom_id": "a", "study_id": "b"}])
    with pytest.raises(MissingColumn, match="no column 'split'"):
        describe_task(config(root))
    (root / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    with pytest.raises(ManifestUnreadable, match=r"no table .*split") as missing:
        describe_task(config(root))
    assert missing.value.location == "data.root"
    assert describe_task(config(root, split_by="patient")).participating
    with pytest.raises(MissingColumn, match="no column 'Scanner'"):
        describe_task(config(root, centres=COLUMN | {"column": "Scanner"}))


def test_a_patient_in_two_splits_is_told(root: Path) -> None:
    rows = mimic_rows(SUBJECTS)
    late = rows[-1]["study_id"]
    table(root, "split", [r | {"split": "validate"} if r["study_id"] == late else r for r in rows])
    assert only_error(config(root)).code == "FMRG-2105"


def test_an_unknown_centre_names_those_that_are_there(whole: Path) -> None:
    with pytest.raises(UnknownCentre) as caught:
        describe_task(config(whole, centres=COLUMN | {"unseen": ["Atlantis"]}))
    assert "chest-pa-and-lat" in caught.value.hint
