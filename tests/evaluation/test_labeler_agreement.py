"""The rule labeler against the Indiana collection's index; floors are just below the measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.evaluation.clinical import micro_macro
from fedmrg_secure.evaluation.labeler_agreement import (
    INDEXED,
    IndexedReport,
    IndexedReportsUnreadable,
    classes_of,
    labeler_agreement,
    read_indexed_reports,
)
from tests.evaluation.pairs import REAL_REPORTS

FLOORS = {
    "No Finding": (0.60, 0.98),
    "Enlarged Cardiomediastinum": (0.55, 0.65),
    "Cardiomegaly": (0.97, 0.98),
    "Lung Lesion": (0.85, 0.96),
    "Lung Opacity": (0.94, 0.93),
    "Edema": (0.75, 0.90),
    "Consolidation": (0.77, 0.99),
    "Pneumonia": (0.30, 0.99),
    "Atelectasis": (0.83, 0.98),
    "Pneumothorax": (0.85, 0.85),
    "Pleural Effusion": (0.89, 0.98),
    "Pleural Other": (0.86, 0.92),
    "Fracture": (0.77, 0.96),
    "Support Devices": (0.84, 0.90),
}
"""Precision and recall where POSITIVE and UNCERTAIN count as said."""

needs_reports = pytest.mark.skipif(
    not REAL_REPORTS.is_file(),
    reason="the Indiana reports are not in ../shared/data/iu_reports",
)


@needs_reports
def test_real_reports_agree_with_their_index() -> None:
    reports = read_indexed_reports(REAL_REPORTS)
    assert len(reports) > 3800  # of 3,955: the others have no words or were not indexed
    measured = labeler_agreement(reports)
    assert [found.name for found in measured] == list(FLOORS) == list(CHEXPERT_CLASSES)
    for found in measured:
        precision, recall = FLOORS[found.name]
        assert found.support >= 20, found
        assert precision <= found.precision, found
        assert recall <= found.recall, found
    assert micro_macro(measured[1:], "f1")[0] > 0.88


@needs_reports
def test_what_is_positive_is_rarely_wrong() -> None:
    for found in labeler_agreement(read_indexed_reports(REAL_REPORTS), uncertain=False):
        if found.name not in ("No Finding", "Enlarged Cardiomediastinum", "Pneumonia"):
            assert found.precision > 0.8, found


def test_terms_stand_for_classes() -> None:
    def named(*terms: str) -> set[str]:
        flags = classes_of([term.lower() for term in terms])
        return {name for name, said in zip(CHEXPERT_CLASSES, flags, strict=True) if said}

    assert named("normal") == {"No Finding"}
    assert named("Opacity/lung/base/left", "Cardiomegaly/mild") == {"Lung Opacity", "Cardiomegaly"}
    assert named("Thickening/pleura/apex") == {"Pleural Other"}
    assert named("Thickening/trachea", "Spine/degenerative") == set()
    assert named("Hydropneumothorax/left") == {"Pneumothorax", "Pleural Effusion"}
    assert set(INDEXED) == set(CHEXPERT_CLASSES)


def write(folder: Path, *rows: object) -> Path:
    file = folder / "reports.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


def row(findings: str, *terms: str) -> dict[str, object]:
    return {"study_id": "1", "findings": findings, "impression": "", "mesh_major": list(terms)}


def test_reports_without_words_or_index_are_left_out(tmp_path: Path) -> None:
    rows = (row("", "normal"), row("Clear.", "No Indexing"), row("Clear."), row("Clear.", "normal"))
    found = read_indexed_reports(write(tmp_path, *rows))
    assert [report.text for report in found] == ["Clear."]


def test_counts_by_hand() -> None:
    def report(text: str, *terms: str) -> IndexedReport:
        return IndexedReport("x", text, classes_of(terms))

    reports = [
        report("Rib fracture.", "fractures, bone/ribs"),
        report("Possible rib fracture.", "normal"),
        report("Deformed rib.", "fractures, bone/ribs"),
    ]
    said = {c.name: c for c in labeler_agreement(reports)}["Fracture"]
    assert (said.true_positives, said.false_positives, said.false_negatives) == (1, 1, 1)
    sure = {c.name: c for c in labeler_agreement(reports, uncertain=False)}["Fracture"]
    assert (sure.true_positives, sure.false_positives, sure.false_negatives) == (1, 0, 1)


def test_another_file_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(IndexedReportsUnreadable):
        read_indexed_reports(tmp_path / "absent.jsonl")
    with pytest.raises(IndexedReportsUnreadable) as error:
        read_indexed_reports(write(tmp_path, row("Clear.", "normal"), {"study_id": 2}))
    assert error.value.location == "reports.jsonl:2"
