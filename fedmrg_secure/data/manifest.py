"""A task from a manifest: a file that lists image-report pairs, one a line."""

from __future__ import annotations

from pathlib import Path

from fedmrg_secure.core.config import ManifestColumns, ManifestData
from fedmrg_secure.data.assembly import Handling, describe, fail_on_problems, load
from fedmrg_secure.data.centres import Roles, named_roles
from fedmrg_secure.data.collection import Collection, Entry, Problem, centre_name, named_split
from fedmrg_secure.data.errors import ManifestUnreadable, MissingColumn, MissingValue, UnknownCentre
from fedmrg_secure.data.images import FileImage
from fedmrg_secure.data.partition import Split
from fedmrg_secure.data.paths import data_root, inside_root
from fedmrg_secure.data.records import CentreData, Task
from fedmrg_secure.data.reports import GivenReport
from fedmrg_secure.data.rows import Row, read_rows


def describe_manifest(config: ManifestData) -> Task:
    """Check the whole manifest, images included, and name its centres.

    Raises:
        ErrorGroup: every bad row, unless ``on_error`` is ``skip``.
        ManifestUnreadable, UnknownCentre, CentreTooSmall: the task cannot be run at all.
    """
    collection, roles = _first_look(config)
    return describe(collection, roles, _handling(config))


def load_manifest_centre(config: ManifestData, name: str) -> CentreData:
    """The records of one centre; only this centre's images are decoded.

    Raises:
        ErrorGroup: bad rows, unless ``on_error`` is ``skip``.
        UnknownCentre: neither a participating nor an unseen centre of the task.
    """
    collection, roles = _first_look(config)
    return load(collection, roles, _handling(config), name)


def _handling(config: ManifestData) -> Handling:
    return Handling(config.seed, config.splits, config.on_error)


def _first_look(config: ManifestData) -> tuple[Collection, Roles]:
    root = data_root(config.root)
    path = inside_root(root, config.manifest, location="data.manifest", missing=ManifestUnreadable)
    collection = Collection(path)
    rows, bad = read_rows(path)
    collection.problems += [Problem(line, "", error) for line, error in bad]
    _check_columns(config, path, rows)
    for row in rows:
        if all(row.values.get(column, "") in kept for column, kept in config.where.items()):
            _add(collection, config.columns, root, row)
    try:
        return collection, named_roles(
            collection, config.participating, config.unseen, column=config.columns.centre
        )
    except UnknownCentre:
        fail_on_problems(collection, _handling(config))
        raise


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


def _add(collection: Collection, columns: ManifestColumns, root: Path, row: Row) -> None:
    location = f"{collection.place}:{row.line}"
    record_id = row.values.get(columns.id, "").strip()
    with collection.row(row.line, record_id, location):
        _value(row, columns.id, "an id")
        patient = _value(row, columns.patient, "a patient")
        title = _value(row, columns.centre, "a centre")
        report = _value(row, columns.report, "a report")
        image = _value(row, columns.image, "an image")
        entry = Entry(
            row=row.line,
            record_id=record_id,
            patient_id=patient,
            centre=centre_name(title),
            report=GivenReport(report),
            image=FileImage(inside_root(root, image, location=location), location),
            split=_split(row, columns),
        )
        collection.add(entry, title)


def _value(row: Row, column: str, what: str) -> str:
    if column not in row.values:
        raise MissingValue(
            f"the row has no column {column!r}", hint=f"set data.columns to name {what}"
        )
    value = row.values[column].strip()
    if not value:
        raise MissingValue(f"the row has nothing in {column!r}: {what} is needed")
    return value


def _split(row: Row, columns: ManifestColumns) -> Split | None:
    return named_split(_value(row, columns.split, "a split")) if columns.split else None
