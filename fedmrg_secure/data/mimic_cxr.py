"""MIMIC-CXR as a task: the tables and images of MIMIC-CXR-JPG, the text reports of MIMIC-CXR.

Tables are streamed, reports are read only of the centres that are wanted, images are opened when
they are used. For pseudo-centres the table of CheXpert labels says what a study states, so that no
site has to read all reports to know its own patients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmrg_secure.core.config import MimicCxrData
from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.data.assembly import Handling, describe, fail_on_problems, load
from fedmrg_secure.data.centres import Roles, column_roles, draw_roles
from fedmrg_secure.data.collection import Collection, Entry, Problem, centre_name, named_split
from fedmrg_secure.data.errors import (
    BadRow,
    DataError,
    DuplicateRecord,
    ManifestUnreadable,
    MissingValue,
    ReportMissing,
)
from fedmrg_secure.data.images import FileImage
from fedmrg_secure.data.paths import check_plain, data_root, inside_root
from fedmrg_secure.data.records import CentreData, Task
from fedmrg_secure.data.reports import ReportFile
from fedmrg_secure.data.rows import Row, stream_csv

_PREFIX: Final = "mimic-cxr-2.0.0"
_IDS: Final = ("dicom_id", "subject_id", "study_id")
_STATED: Final = ("1.0", "-1.0", "1", "-1")
"""Positive and uncertain, as the table writes them."""


@dataclass(frozen=True, slots=True)
class _Film:
    """The image that stands for a study."""

    line: int
    rank: int
    dicom: str
    subject: str
    study: str
    title: str


def describe_mimic_cxr(config: MimicCxrData) -> Task:
    """Check tables and reports and that the images exist, and name the centres.

    Reads every wanted report once; images only where ``check_images`` is set.

    Raises:
        ErrorGroup: every bad study, unless ``on_error`` is ``skip``.
        ManifestUnreadable, MissingColumn, UnknownCentre, CentreTooSmall, PartitionImpossible: no
            task at all.
    """
    collection, roles = _first_look(config)
    return describe(collection, roles, _handling(config))


def load_mimic_cxr_centre(config: MimicCxrData, name: str) -> CentreData:
    """The records of one centre; only its own reports are read and labelled, 0.3 ms each.

    Raises:
        As `describe_mimic_cxr`; UnknownCentre for a centre without a role.
    """
    collection, roles = _first_look(config)
    return load(collection, roles, _handling(config), name)


def _handling(config: MimicCxrData) -> Handling:
    return Handling(config.seed, config.splits, config.on_error, config.check_images)


def _first_look(config: MimicCxrData) -> tuple[Collection, Roles]:
    root = data_root(config.root)
    collection = Collection(_table(root, "metadata"))
    films = _films(config, collection)
    splits = _splits(root) if config.split_by == "layout" else None
    for film in sorted(films.values(), key=lambda film: film.line):
        _add(config, root, collection, film, splits)
    try:
        if config.centres is not None:
            return collection, column_roles(collection, config.centres)
        stated = _stated(root)
        return collection, draw_roles(collection, config.pseudo_centres, config.seed, stated)
    except DataError:
        fail_on_problems(collection, _handling(config))  # what is behind it is said first
        raise


def _films(config: MimicCxrData, collection: Collection) -> dict[str, _Film]:
    """One film of each study: of its first of the wanted views the one listed first."""
    column = config.centres.column if config.centres else None
    ranks = {view: rank for rank, view in enumerate(config.views)}
    films: dict[str, _Film] = {}
    seen: set[str] = set()
    needed = (*_IDS, "ViewPosition", *((column,) if column else ()))
    for line, row in _rows(collection, needed):
        rank = ranks.get(row.values["ViewPosition"].strip())
        if rank is None:
            continue
        dicom, subject, study = (row.values[name].strip() for name in _IDS)
        with collection.row(line, f"s{study}" if study else "", f"{collection.place}:{line}"):
            for name in _IDS:
                if not row.values[name].strip():
                    raise MissingValue(f"the row has nothing in {name!r}")
            if dicom in seen:
                raise DuplicateRecord(f"image {dicom!r} is listed twice", hint="ids must be unique")
            seen.add(dicom)
            best = films.get(study)
            if best is not None and best.subject != subject:
                raise BadRow(f"study {study!r} is of two subjects, first in line {best.line}")
            if best is None or rank < best.rank:
                title = row.values[column].strip() if column else ""
                films[study] = _Film(line, rank, dicom, subject, study, title)
    return films


def _rows(collection: Collection, needed: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """Sound lines of the metadata table; the others become problems."""
    for line, found in stream_csv(collection.place, needed):
        if isinstance(found, Row):
            yield line, found
        else:
            collection.problems.append(Problem(line, "", found))


def _add(
    config: MimicCxrData,
    root: Path,
    collection: Collection,
    film: _Film,
    splits: dict[str, str] | None,
) -> None:
    location = f"{collection.place}:{film.line}"
    with collection.row(film.line, f"s{film.study}", location):
        title = ""
        if config.centres is not None and not (title := film.title):
            raise MissingValue(f"the row has nothing in {config.centres.column!r}")
        if splits is not None and film.study not in splits:
            raise MissingValue("the study is not in the table of splits")
        if not (film.subject.isascii() and film.subject.isdigit()):
            raise BadRow("the row's subject_id is not a number")
        check_plain(f"s{film.study}/{film.dicom}", location=location)
        study = f"p{film.subject[:2]}/p{film.subject}/s{film.study}"
        report = inside_root(
            root,
            f"{config.reports}/{study}.txt",
            location=location,
            missing=ReportMissing,
            shown=f"s{film.study}.txt",
        )
        image = inside_root(
            root,
            f"{config.images}/{study}/{film.dicom}.jpg",
            location=location,
            shown=f"s{film.study}/{film.dicom}.jpg",
        )
        entry = Entry(
            row=film.line,
            record_id=f"s{film.study}",
            patient_id=film.subject,
            centre=centre_name(title) if title else "",
            report=ReportFile(report, tuple(config.sections)),
            image=FileImage(image, location),
            split=named_split(splits[film.study]) if splits is not None else None,
        )
        collection.add(entry, title)


def _splits(root: Path) -> dict[str, str]:
    """The split of each study, as the table writes it."""
    return {
        row.values["study_id"].strip(): row.values["split"].strip()
        for row in _whole(_table(root, "split"), ("study_id", "split"))
    }


def _stated(root: Path) -> dict[str, list[str]]:
    """The classes that the table of CheXpert labels gives each subject."""
    stated: dict[str, set[str]] = defaultdict(set)
    for row in _whole(_table(root, "chexpert"), ("subject_id", *CHEXPERT_CLASSES)):
        stated[row.values["subject_id"].strip()].update(
            name for name in CHEXPERT_CLASSES if row.values[name].strip() in _STATED
        )
    return {subject: sorted(classes) for subject, classes in stated.items()}


def _whole(path: Path, needed: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a table that must be sound in every line."""
    for _, found in stream_csv(path, needed):
        if not isinstance(found, Row):
            raise found
        yield found


def _table(root: Path, name: str) -> Path:
    """The path of a table, packed or not."""
    for suffix in (".csv", ".csv.gz"):
        if (root / f"{_PREFIX}-{name}{suffix}").exists():
            return inside_root(root, f"{_PREFIX}-{name}{suffix}", location="data.root")
    raise ManifestUnreadable(
        f"there is no table {_PREFIX}-{name}.csv.gz in {root}",
        hint="it belongs to MIMIC-CXR-JPG: data.root is the folder that holds it",
        location="data.root",
    )
