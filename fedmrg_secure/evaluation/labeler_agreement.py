"""How well the rule labeler agrees with reports that people have indexed.

The Indiana collection (Demner-Fushman et al. 2016, Open-i) gives each report MeSH terms and RadLex
qualifiers, ``Opacity/lung/base/left``. `INDEXED` says which of them stand for which observation
class. Indexers name what is there and some of what may be there, never what is absent.

The two do not speak of quite the same: indexers leave out most of what a report only considers, and
``normal`` also demands a spine and an aorta without age. A precision below 1 is no count of errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.evaluation.clinical import ClassEfficacy, count_classes


class IndexedReportsUnreadable(InputError):
    """The file of indexed reports is missing or not of the expected form."""

    code: ClassVar[str] = "FMRG-2902"


INDEXED: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "No Finding": [("normal",)],
    "Enlarged Cardiomediastinum": [("mediastinum", "enlarged", "prominent")],
    "Cardiomegaly": [("cardiomegaly",), ("cardiac shadow", "enlarged")],
    "Lung Lesion": [
        ("nodule",),
        ("mass",),
        ("granuloma",),
        ("calcified granuloma",),
        ("granulomatous disease",),
    ],
    "Lung Opacity": [
        ("opacity",),
        ("infiltrate",),
        ("airspace disease",),
        ("cicatrix", "lung"),
        ("markings", "lung"),
        ("density", "lung"),
        ("pulmonary fibrosis",),
        ("lung diseases, interstitial",),
    ],
    "Edema": [("pulmonary edema",), ("pulmonary congestion",), ("heart failure",)],
    "Consolidation": [("consolidation",)],
    "Pneumonia": [("pneumonia",)],
    "Atelectasis": [("pulmonary atelectasis",), ("volume loss",)],
    "Pneumothorax": [("pneumothorax",), ("hydropneumothorax",), ("hemopneumothorax",)],
    "Pleural Effusion": [
        ("pleural effusion",),
        ("hydropneumothorax",),
        ("hemothorax",),
        ("hemopneumothorax",),
        ("costophrenic angle", "blunted"),
    ],
    "Pleural Other": [
        ("thickening", "pleura"),
        ("calcinosis", "pleura"),
        ("cicatrix", "pleura"),
    ],
    "Fracture": [("fractures, bone",)],
    "Support Devices": [
        ("catheters, indwelling",),
        ("implanted medical device",),
        ("medical device",),
        ("tube, inserted",),
        ("surgical instruments",),
        ("stents",),
        ("spinal fusion",),
        ("sutures",),
    ],
}
"""Class -> terms that stand for it; one with qualifiers does where one of them is given."""


@dataclass(frozen=True, slots=True)
class IndexedReport:
    """A report and what its indexers found.

    Attributes:
        report_id: as in the collection.
        text: findings, then impression.
        indexed: for each of `CHEXPERT_CLASSES`, whether a term stands for it.
    """

    report_id: str
    text: str
    indexed: tuple[bool, ...]


def read_indexed_reports(path: Path) -> list[IndexedReport]:
    """Reports with words in findings or impression and with an index.

    Args:
        path: JSON lines with ``study_id``, ``findings``, ``impression`` and ``mesh_major``, a list
            of terms.

    Raises:
        IndexedReportsUnreadable: no such file, or a line without these keys.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IndexedReportsUnreadable(
            f"cannot read {path.name}: {error}",
            hint="give a JSON lines file of the Indiana collection's reports",
        ) from error
    reports = []
    for number, line in enumerate(lines, start=1):
        try:
            row: dict[str, Any] = json.loads(line)
            text = f"{row['findings']} {row['impression']}".strip()
            terms = [str(term).lower() for term in row["mesh_major"]]
            report_id = str(row["study_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise IndexedReportsUnreadable(
                "not a report with study_id, findings, impression and mesh_major",
                location=f"{path.name}:{number}",
            ) from error
        if text and terms and terms != ["no indexing"]:
            reports.append(IndexedReport(report_id, text, classes_of(terms)))
    return reports


def classes_of(terms: Sequence[str]) -> tuple[bool, ...]:
    """For each of `CHEXPERT_CLASSES`, whether lower-case ``term/qualifier/...`` stand for it."""
    parsed = [(term.strip(), set(rest)) for term, *rest in (t.split("/") for t in terms)]
    return tuple(
        any(
            term == wanted and (not needed or not qualifiers.isdisjoint(needed))
            for term, qualifiers in parsed
            for wanted, *needed in INDEXED[name]
        )
        for name in CHEXPERT_CLASSES
    )


def labeler_agreement(
    reports: Sequence[IndexedReport], *, uncertain: bool = True
) -> tuple[ClassEfficacy, ...]:
    """Precision and recall of each of `CHEXPERT_CLASSES` against the index, in that order.

    Args:
        reports: at least one.
        uncertain: whether UNCERTAIN counts as said, as in `clinical`; else POSITIVE alone does.
    """
    statuses = np.array([label_report(report.text) for report in reports], dtype=np.int64)
    said = statuses == Status.POSITIVE  # (reports, classes)
    if uncertain:
        said |= statuses == Status.UNCERTAIN
    return count_classes(np.array([report.indexed for report in reports]), said, CHEXPERT_CLASSES)
