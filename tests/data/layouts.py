"""Small collections in the public layouts, with reports and images of our own making."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image

from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import describe_task, load_centre

SENTENCES = (
    "The heart is enlarged.",
    "There is a small left pleural effusion.",
    "There is a right pneumothorax.",
    "The lungs are clear.",
)


def report_of(number: int) -> str:
    return f"{SENTENCES[number % 4]} Study of film {number}."


def write_image(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 16), level % 256, dtype=np.uint8)).save(path)


def r2gen_entry(number: int, **change: Any) -> dict[str, Any]:
    name = f"CXR{number}_IM-{number:04d}"
    return {
        "id": name,
        "report": report_of(number),
        "image_path": [f"{name}/0.png", f"{name}/1.png"],
        **change,
    }


def write_r2gen(root: Path, entries: dict[str, list[Any]]) -> Path:
    """Annotation and, where they are plain paths, images: frontal even, lateral odd levels."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "annotation.json").write_text(json.dumps(entries), encoding="utf-8")
    level = 0
    for entry in (each for listed in entries.values() for each in listed):
        for index, name in enumerate(entry["image_path"]):
            write_image(root / "images" / name, level + index)
        level += 2
    return root


def open_i_xml(study: str, sections: dict[str, str], images: Iterable[str]) -> str:
    texts = "".join(
        f"<AbstractText Label={quoteattr(label)}>{escape(text)}</AbstractText>\n"
        for label, text in sections.items()
    )
    films = "".join(
        f"<parentImage id={quoteattr(name)}><figureId>F{index}</figureId><caption>Chest</caption>"
        f'<panel type="single"><url>/somewhere/{escape(name)}.jpg</url></panel></parentImage>\n'
        for index, name in enumerate(images, 1)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<eCitation><meta type="rr"/><uId id={quoteattr(study)}/><pmcId id="1"/>\n'
        '<MedlineCitation Owner="Indiana University" Status="supplied by publisher">'
        f"<Article><Abstract>\n{texts}</Abstract></Article></MedlineCitation>\n"
        f"<MeSH><major>normal</major></MeSH>\n{films}</eCitation>\n"
    )


def write_open_i(root: Path, count: int) -> Path:
    """`count` studies of two images each, numbered from 1."""
    (root / "ecgen-radiology").mkdir(parents=True)
    for number in range(1, count + 1):
        names = [f"CXR{number}_IM-{number:04d}-{view}001" for view in (1, 2)]
        sections = {
            "COMPARISON": "None.",
            "FINDINGS": report_of(number),
            "IMPRESSION": f"Impression of {number}.",
        }
        text = open_i_xml(f"CXR{number}", sections, names)
        (root / "ecgen-radiology" / f"{number}.xml").write_text(text, encoding="utf-8")
        for index, name in enumerate(names):
            write_image(root / "NLMCXR_png" / f"{name}.png", 2 * number + index)
    return root


def mimic_rows(subjects: int) -> list[dict[str, str]]:
    """Each subject has two studies of a frontal and a lateral film; some a second frontal one."""
    rows = []
    for number in range(subjects):
        subject = str(10_000_000 + number)
        for index in range(2):
            study = str(50_000_000 + 2 * number + index)
            views = ["LATERAL", "AP", "PA"] if number % 3 == 0 else ["PA", "LATERAL"]
            for view in views:
                rows.append(
                    {
                        "dicom_id": f"{study}-{view.lower()}",
                        "subject_id": subject,
                        "study_id": study,
                        "PerformedProcedureStepDescription": (
                            "CHEST (PA AND LAT)",
                            "CHEST (PORTABLE AP)",
                            "Trauma #2",
                        )[number % 3],
                        "ViewPosition": view,
                        "split": "test" if number % 5 == 0 else "train",
                    }
                )
    return rows


def mimic_study(root: Path, row: dict[str, str]) -> Path:
    subject = row["subject_id"]
    return root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{row['study_id']}"


def write_mimic(root: Path, rows: list[dict[str, str]], *, packed: bool = True) -> Path:
    """Tables, reports and images."""
    root.mkdir(parents=True, exist_ok=True)
    metadata = [{k: v for k, v in row.items() if k != "split"} for row in rows]
    splits = [{k: row[k] for k in ("dicom_id", "study_id", "subject_id", "split")} for row in rows]
    labels = {}
    for row in rows:
        number = int(row["study_id"])
        values = dict.fromkeys(sorted(CHEXPERT_CLASSES), "")
        values[CHEXPERT_CLASSES[number // 2 % 5]] = "1.0" if number % 3 else "-1.0"
        values["Fracture"] = "0.0"
        labels[number] = {"subject_id": row["subject_id"], "study_id": row["study_id"], **values}
        folder = mimic_study(root, row)
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{row['dicom_id']}.jpg", 8 * len(row["ViewPosition"]))
        text = (
            " " * 30 + "FINAL REPORT\n EXAMINATION:  CHEST\n\n"
            f" FINDINGS:\n\n {report_of(number)}\n\n IMPRESSION:\n\n Impression of {number}.\n"
        )
        folder.with_suffix(".txt").write_text(text, encoding="utf-8")
    for name, table in (
        ("metadata", metadata),
        ("split", splits),
        ("chexpert", list(labels.values())),
    ):
        write_table(root, name, table, packed=packed)
    return root


def write_table(root: Path, name: str, rows: list[dict[str, str]], *, packed: bool = True) -> None:
    path = root / f"mimic-cxr-2.0.0-{name}.csv{'.gz' if packed else ''}"
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    content = stream.getvalue().encode()
    path.write_bytes(gzip.compress(content) if packed else content)


def all_records(config: Any) -> dict[str, Record]:
    """Every record of every centre by id; fails where one is in two places."""
    found: dict[str, Record] = {}
    homes: dict[str, tuple[str, str]] = {}
    task = describe_task(config)
    for name in (*task.participating, *task.unseen):
        data = load_centre(config, name)
        for split in ("train", "validation", "test"):
            for record in getattr(data, split):
                assert record.record_id not in found
                assert record.centre == name
                found[record.record_id] = record
                home = homes.setdefault(record.patient_id, (name, split))
                assert home == (name, split), "a patient is in two places"
    return found
