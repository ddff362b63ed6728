from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.core.config import IuXrayData
from fedmrg_secure.core.errors import ErrorGroup
from fedmrg_secure.data.errors import ManifestUnreadable, ReportUnreadable
from fedmrg_secure.data.open_i import read_open_i_report
from fedmrg_secure.data.task import describe_task
from tests.data.layouts import (
    all_records,
    open_i_xml,
    report_of,
    write_image,
    write_open_i,
)

REAL_REPORTS = Path(__file__).parents[3] / "shared" / "data" / "iu_reports" / "reports.jsonl"
SMALL = {"participating": 2, "unseen": 1, "alpha": 5, "min_patients": 4}

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    + "]><eCitation><uId id='CXR9'/><AbstractText Label='FINDINGS'>&m;</AbstractText></eCitation>"
)
EXTERNAL = (
    '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    "<eCitation><uId id='CXR9'/><AbstractText Label='FINDINGS'>&f;</AbstractText></eCitation>"
)


def config(root: Path, **options: Any) -> IuXrayData:
    return IuXrayData.model_validate(
        {"source": "iu-xray", "layout": "open-i", "root": root, "pseudo_centres": SMALL} | options
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_open_i(tmp_path / "open-i", 40)


def test_a_file_gives_its_study_sections_and_images(tmp_path: Path) -> None:
    path = tmp_path / "7.xml"
    sections = {
        "COMPARISON": "None.",
        "FINDINGS": "No\n  effusion & <5 mm nodule.",
        "IMPRESSION": " ",
        "INDICATION": "Cough.",
    }
    path.write_text(open_i_xml("CXR7", sections, ["CXR7_IM-1", "CXR7_IM-2"]), encoding="utf-8")
    report = read_open_i_report(path)
    assert report.study == "CXR7"
    assert report.sections == {"findings": "No effusion & <5 mm nodule."}
    assert report.images == ["CXR7_IM-1", "CXR7_IM-2"]


def test_every_study_is_a_record_with_its_first_image(root: Path) -> None:
    records = all_records(config(root))
    assert records.keys() == {f"CXR{number}" for number in range(1, 41)}
    record = records["CXR12"]
    assert record.patient_id == "CXR12"
    assert record.report == report_of(12)
    assert record.load_image(32).max() * 255 == pytest.approx(24)
    lateral = all_records(config(root, view=2, sections=["impression"]))["CXR12"]
    assert lateral.report == "Impression of 12."
    assert lateral.load_image(32).max() * 255 == pytest.approx(25)
    both = all_records(config(root, sections=["findings", "impression"]))["CXR12"]
    assert both.report == f"{report_of(12)}\nImpression of 12."


def test_splits_are_by_patient_since_the_layout_has_none(root: Path) -> None:
    data = describe_task(config(root))
    assert data.participating == ("pseudo-centre-1", "pseudo-centre-2")
    assert describe_task(config(root)) == data


def study(**change: Any) -> str:
    values: dict[str, Any] = {
        "study": "CXR99",
        "sections": {"FINDINGS": "Clear lungs.", "IMPRESSION": "Well."},
        "images": ["CXR99_IM-0001"],
    }
    return open_i_xml(**(values | change))


@pytest.mark.parametrize(
    ("content", "code", "says", "place"),
    [
        (LAUGHS, "FMRG-2112", "document type", ""),
        (EXTERNAL, "FMRG-2112", "document type", ""),
        (EXTERNAL.encode("utf-16"), "FMRG-2112", "document type", ""),
        ("<!DOCTYPE x><eCitation/>", "FMRG-2112", "document type", ""),
        ("<eCitation>&f;</eCitation>", "FMRG-2112", "not well-formed", ":1:12"),
        ("<eCitation>\n<uId", "FMRG-2112", "not well-formed", ":2:1"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', "FMRG-2112", "not well-formed", ":1:1"),
        (b"\xff\xff", "FMRG-2112", "not well-formed", ":1:1"),
        ("", "FMRG-2112", "not well-formed", ":1:1"),
        ("<a>" * 300_000 + " " * 200_000, "FMRG-2112", "larger than 1024 KiB", ""),
        ("<a>" * 300_000, "FMRG-2112", "not well-formed", ":1:900001"),
        ("<eCitation/>", "FMRG-2103", "no <uId", ""),
        (study(sections={"IMPRESSION": "Well."}), "FMRG-2113", "no findings", ""),
        (study(sections={"FINDINGS": " \n "}), "FMRG-2113", "no findings", ""),
        (study(images=[]), "FMRG-2103", "no image", ""),
        (study(images=["absent"]), "FMRG-2202", "no file 'NLMCXR_png/absent.png'", ""),
        (study(images=["../../outside"]), "FMRG-2201", "plain path", ""),
        (study(images=["/etc/passwd"]), "FMRG-2201", "plain path", ""),
        (study(images=["CXR3_IM-0003-1001"]), "FMRG-2107", "two patients", ""),
        (study(study="CXR3"), "FMRG-2104", "listed twice, first at 3.xml", ""),
    ],
)
def test_a_bad_file_is_one_error_or_one_listed_skip(
    root: Path, content: str | bytes, code: str, says: str, place: str
) -> None:
    write_image(root / "NLMCXR_png" / "CXR99_IM-0001.png", 3)
    path = root / "ecgen-radiology" / "99.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    start = time.perf_counter()
    with pytest.raises(ErrorGroup) as caught:
        describe_task(config(root))
    assert time.perf_counter() - start < 20  # nothing is expanded
    assert len(caught.value.errors) == 1, caught.value.explain()
    error = caught.value.errors[0]
    assert (error.code, error.location) == (code, f"{path}{place}")
    assert says in error.message
    assert "root:" not in caught.value.explain()  # no file was fetched
    skipped = describe_task(config(root, on_error="skip")).skipped
    assert [(skip.row, skip.record_id) for skip in skipped] == [(41, "99")]
    assert len(all_records(config(root, on_error="skip"))) == 40


def test_a_link_out_of_the_folder_is_refused(root: Path) -> None:
    outside = root.parent / "outside.xml"
    outside.write_text(study(), encoding="utf-8")
    (root / "ecgen-radiology" / "99.xml").symlink_to(outside)
    with pytest.raises(ErrorGroup) as caught:
        describe_task(config(root))
    assert [error.code for error in caught.value.errors] == ["FMRG-2201"]


def test_a_folder_without_reports_names_the_key_to_set(root: Path) -> None:
    with pytest.raises(ManifestUnreadable, match="no XML files") as caught:
        describe_task(config(root, reports="NLMCXR_png"))
    assert caught.value.location == "data.reports"
    with pytest.raises(ManifestUnreadable):
        describe_task(config(root, reports="absent"))


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ReportUnreadable):
        read_open_i_report(tmp_path)


@pytest.mark.skipif(not REAL_REPORTS.is_file(), reason="the real Indiana reports are not at hand")
def test_real_reports_in_the_layout_of_open_i_are_read_back(tmp_path: Path) -> None:
    lines = REAL_REPORTS.read_text(encoding="utf-8").splitlines()[:230]
    real = [json.loads(line) for line in lines]
    (tmp_path / "ecgen-radiology").mkdir()
    write_image(tmp_path / "NLMCXR_png" / "unused.png", 1)
    for each in real:
        name = each["study_id"]
        sections = {"FINDINGS": each["findings"] or "", "IMPRESSION": each["impression"] or ""}
        text = open_i_xml(name, sections, [f"{name}_IM-0001-1001"])
        (tmp_path / "ecgen-radiology" / f"{name[3:]}.xml").write_text(text, encoding="utf-8")
        write_image(tmp_path / "NLMCXR_png" / f"{name}_IM-0001-1001.png", len(text))
    options: dict[str, Any] = {
        "on_error": "skip",
        "pseudo_centres": {"participating": 4, "unseen": 2, "alpha": 0.5, "min_patients": 10},
    }
    records = all_records(config(tmp_path, **options))
    told = {each["study_id"]: each["findings"] for each in real if each["findings"]}
    assert len(told) >= 200
    assert records.keys() == told.keys()
    assert all(record.report == " ".join(told[name].split()) for name, record in records.items())
    assert len(describe_task(config(tmp_path, **options)).skipped) == len(real) - len(told)
