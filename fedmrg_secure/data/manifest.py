"""A task from a manifest: a file that lists image-report pairs.

Rows are checked in two passes. The first looks at the text of the whole manifest, the second
decodes images: of every centre when a task is described, of one centre when it is loaded. A row
that fails is an error or, with ``on_error: skip``, listed in `Task.skipped`; it is never lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fedmrg_secure.core.config import ManifestColumns, ManifestData
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError
from fedmrg_secure.core.types import InvalidName, party_name
from fedmrg_secure.data.errors import (
    CentresCollide,
    CentreTooSmall,
    DataError,
    DuplicateRecord,
    ImageMissing,
    ImageOfTwoPatients,
    ManifestUnreadable,
    MissingColumn,
    MissingValue,
    PatientInTwoCentres,
    PatientInTwoSplits,
    UnknownCentre,
    UnknownSplit,
)
from fedmrg_secure.data.images import FileImage
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.data.partition import SPLITS, Split, split_patients
from fedmrg_secure.data.paths import inside_root
from fedmrg_secure.data.records import CentreData, Record, Skipped, Task
from fedmrg_secure.data.rows import Row, read_rows

_SPLIT_NAMES: dict[str, Split] = {name: name for name in SPLITS} | {
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row that passed the first pass."""

    line: int
    record_id: str
    patient_id: str
    title: str
    report: str
    image: FileImage
    split: Split | None


@dataclass(slots=True)
class _Manifest:
    """What the first pass found."""

    path: Path
    entries: list[_Entry] = field(default_factory=list)
    problems: list[tuple[int, str, FedmrgError]] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)


def describe_manifest(config: ManifestData) -> Task:
    """Check the whole manifest, images included, and name its centres.

    Raises:
        ErrorGroup: every bad row, unless ``on_error`` is ``skip``.
        ManifestUnreadable, UnknownCentre, CentreTooSmall: the task cannot be run at all.
    """
    manifest = _first_pass(config)
    participating, unseen = _roles(config, manifest)
    wanted = {*participating, *unseen}
    entries = _decodable(manifest, [e for e in manifest.entries if party_name(e.title) in wanted])
    _fail(config, manifest)
    for name in participating:
        _check_size(config, name, manifest, entries)
    left = {party_name(entry.title) for entry in entries}
    return Task(
        participating=participating,
        unseen=tuple(name for name in unseen if name in left),
        titles={name: manifest.titles[name] for name in (*participating, *unseen) if name in left},
        skipped=tuple(
            Skipped(line, record_id, error.message)
            for line, record_id, error in sorted(manifest.problems, key=lambda p: p[0])
        ),
    )


def load_manifest_centre(config: ManifestData, name: str) -> CentreData:
    """The records of one centre; only this centre's images are decoded.

    Raises:
        ErrorGroup: bad rows, unless ``on_error`` is ``skip``.
        UnknownCentre: neither a participating nor an unseen centre of the task.
    """
    manifest = _first_pass(config)
    participating, unseen = _roles(config, manifest)
    if name not in (*participating, *unseen):
        raise UnknownCentre(
            f"the task has no centre {name!r}",
            hint=f"it has {', '.join((*participating, *unseen))}",
        )
    own = [entry for entry in manifest.entries if party_name(entry.title) == name]
    entries = _decodable(manifest, own)
    _fail(config, manifest)
    if name in participating:
        _check_size(config, name, manifest, entries)
        split_of = _splits(config, entries)
    else:
        split_of = {entry.record_id: "test" for entry in entries}
    records: dict[Split, list[Record]] = {split: [] for split in SPLITS}
    for entry in entries:
        records[split_of[entry.record_id]].append(_record(entry, name))
    return CentreData(
        name=name,
        title=manifest.titles[name],
        train=tuple(records["train"]),
        validation=tuple(records["validation"]),
        test=tuple(records["test"]),
    )


def _first_pass(config: ManifestData) -> _Manifest:
    root = config.root.resolve()
    if not root.is_dir():
        raise ManifestUnreadable(
            f"there is no data folder {config.root}",
            hint="say where the data lies: --set data.root=FOLDER",
            location="data.root",
        )
    try:
        path = inside_root(root, config.manifest, location="data.manifest")
    except ImageMissing as error:
        raise ManifestUnreadable(
            f"there is no manifest {config.manifest!r} in {config.root}",
            hint="check data.root and data.manifest",
            location="data.manifest",
        ) from error
    manifest = _Manifest(path)
    rows, bad = read_rows(path)
    manifest.problems += [(line, "", error) for line, error in bad]
    _check_columns(config, path, rows)
    check = _RowChecks(config, root, manifest)
    for row in rows:
        if all(row.values.get(column, "") in kept for column, kept in config.where.items()):
            check.add(row)
    return manifest


def _check_columns(config: ManifestData, path: Path, rows: list[Row]) -> None:
    there = {column for row in rows for column in row.values}
    named = [column for column in config.columns.model_dump().values() if column is not None]
    missing = [column for column in (*named, *config.where) if column not in there]
    if rows and missing:
        raise MissingColumn(
            f"{path.name} has no column {', '.join(map(repr, missing))}",
            hint=f"set data.columns and data.where; it has {', '.join(sorted(there))}",
            location=str(path),
        )


class _RowChecks:
    """Checks that need the rows before: ids, patients and images are seen only once."""

    def __init__(self, config: ManifestData, root: Path, manifest: _Manifest) -> None:
        self._columns: ManifestColumns = config.columns
        self._root = root
        self._manifest = manifest
        self._lines: dict[str, int] = {}
        self._centre_of: dict[str, tuple[str, str]] = {}
        self._split_of: dict[str, tuple[Split, str]] = {}
        self._owner_of: dict[Path, tuple[str, str]] = {}

    def add(self, row: Row) -> None:
        location = f"{self._manifest.path}:{row.line}"
        record_id = row.values.get(self._columns.id, "").strip()
        try:
            entry = self._entry(row, record_id, location)
        except FedmrgError as error:
            error.location = location
            self._manifest.problems.append((row.line, record_id, error))
        else:
            self._manifest.entries.append(entry)

    def _entry(self, row: Row, record_id: str, location: str) -> _Entry:
        self._value(row, self._columns.id, "an id")
        patient = self._value(row, self._columns.patient, "a patient")
        title = self._value(row, self._columns.centre, "a centre")
        report = self._value(row, self._columns.report, "a report")
        image = self._value(row, self._columns.image, "an image")
        name = _name_of(title)
        if record_id in self._lines:
            raise DuplicateRecord(
                f"record {record_id!r} is listed twice, first in line {self._lines[record_id]}",
                hint="ids must be unique",
            )
        if self._manifest.titles.get(name, title) != title:
            raise CentresCollide(
                f"centres {title!r} and {self._manifest.titles[name]!r} have one name, {name!r}"
            )
        centre, other = self._centre_of.get(patient, (name, record_id))
        if centre != name:
            raise PatientInTwoCentres(
                f"records {other!r} and {record_id!r} are of one patient in two centres, "
                f"{centre!r} and {name!r}",
                hint="a patient's records must stay in one centre",
            )
        split = self._split(row)
        if split is not None:
            given, other = self._split_of.get(patient, (split, record_id))
            if given != split:
                raise PatientInTwoSplits(
                    f"records {other!r} and {record_id!r} are of one patient in two splits, "
                    f"{given} and {split}",
                    hint="split by patient",
                )
        path = inside_root(self._root, image, location=location)
        owner, other = self._owner_of.get(path, (patient, record_id))
        if owner != patient:
            raise ImageOfTwoPatients(
                f"records {other!r} and {record_id!r} are of two patients but have one image",
                hint="the same picture could be trained and tested on",
            )
        self._lines[record_id] = row.line
        self._manifest.titles[name] = title
        self._centre_of.setdefault(patient, (name, record_id))
        self._owner_of.setdefault(path, (patient, record_id))
        if split is not None:
            self._split_of.setdefault(patient, (split, record_id))
        return _Entry(row.line, record_id, patient, title, report, FileImage(path, location), split)

    def _value(self, row: Row, column: str, what: str) -> str:
        if column not in row.values:
            raise MissingValue(
                f"the row has no column {column!r}", hint=f"set data.columns to name {what}"
            )
        value = row.values[column].strip()
        if not value:
            raise MissingValue(f"the row has nothing in {column!r}: {what} is needed")
        return value

    def _split(self, row: Row) -> Split | None:
        if self._columns.split is None:
            return None
        value = self._value(row, self._columns.split, "a split")
        if value.lower() not in _SPLIT_NAMES:
            raise UnknownSplit(f"{value!r} is no split", hint=f"use {', '.join(SPLITS)}")
        return _SPLIT_NAMES[value.lower()]


def _name_of(title: str) -> str:
    try:
        return party_name(title)
    except InvalidName as error:
        raise DataError(
            f"{title!r} cannot name a centre", hint="use letters a to z, digits and spaces"
        ) from error


def _roles(config: ManifestData, manifest: _Manifest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Party names of participating and unseen centres, the latter sorted if ``rest``."""
    known = set(manifest.titles)
    participating = tuple(dict.fromkeys(_name_of(title) for title in config.participating))
    listed = () if isinstance(config.unseen, str) else tuple(map(_name_of, config.unseen))
    for name in (*participating, *listed):
        if name not in known:
            _fail(config, manifest)
            raise UnknownCentre(
                f"no row of {manifest.path.name} is of centre {name!r}",
                hint=f"column {config.columns.centre!r} has {', '.join(sorted(known)) or 'none'}",
                location=str(manifest.path),
            )
    both = set(participating) & set(listed)
    if both:
        raise UnknownCentre(
            f"{', '.join(sorted(both))} cannot be participating and unseen",
            hint="take it out of data.unseen",
        )
    unseen = tuple(sorted(known - set(participating))) if config.unseen == "rest" else listed
    return participating, unseen


def _decodable(manifest: _Manifest, entries: Iterable[_Entry]) -> list[_Entry]:
    """The entries whose image can be read; the others become problems."""
    good = []
    for entry in entries:
        try:
            entry.image.read()
        except DataError as error:
            manifest.problems.append((entry.line, entry.record_id, error))
        else:
            good.append(entry)
    return good


def _fail(config: ManifestData, manifest: _Manifest) -> None:
    if manifest.problems and config.on_error == "fail":
        ordered = sorted(manifest.problems, key=lambda problem: problem[0])
        raise ErrorGroup([error for _, _, error in ordered])


def _check_size(
    config: ManifestData, name: str, manifest: _Manifest, entries: Iterable[_Entry]
) -> None:
    own = [entry for entry in entries if party_name(entry.title) == name]
    splits = set(_splits(config, own).values())
    missing = [split for split in ("train", "test") if split not in splits]
    if missing:
        raise CentreTooSmall(
            f"centre {name!r} has no {' and no '.join(missing)} records",
            hint="it needs at least two patients; or leave it out of data.participating",
            location=str(manifest.path),
        )


def _splits(config: ManifestData, entries: list[_Entry]) -> dict[str, Split]:
    by_patient = split_patients((e.patient_id for e in entries), config.seed, config.splits)
    return {e.record_id: e.split or by_patient[e.patient_id] for e in entries}


def _record(entry: _Entry, name: str) -> Record:
    return Record(
        record_id=entry.record_id,
        patient_id=entry.patient_id,
        centre=name,
        report=entry.report,
        labels=label_report(entry.report),
        image=entry.image,
    )
