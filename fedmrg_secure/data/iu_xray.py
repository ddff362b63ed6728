"""IU X-Ray as a task: the annotation file of R2Gen, or Open-i's own reports and images.

A patient is a study here, the number after ``CXR``: the collection does not say more. R2Gen's
annotation of MIMIC-CXR has the same layout; there `subject_id` is the patient.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fedmrg_secure.core.config import IuXrayData
from fedmrg_secure.data.assembly import Handling, describe, fail_on_problems, load
from fedmrg_secure.data.centres import Roles, column_roles, draw_roles, stated_classes
from fedmrg_secure.data.collection import Collection, Entry, Problem, centre_name, named_split
from fedmrg_secure.data.errors import (
    BadRow,
    DataError,
    ManifestUnreadable,
    MissingValue,
    ReportMissing,
)
from fedmrg_secure.data.images import FileImage
from fedmrg_secure.data.open_i import read_open_i_report
from fedmrg_secure.data.paths import check_plain, data_root, inside_root
from fedmrg_secure.data.records import CentreData, Task
from fedmrg_secure.data.reports import GivenReport, join_sections

_MAX_ANNOTATION_BYTES: Final = 2**30
_STUDY: Final = re.compile(r"CXR\d+(?=$|[^0-9])")


def describe_iu_xray(config: IuXrayData) -> Task:
    """Check the whole collection and name its centres.

    Raises:
        ErrorGroup: every bad study, unless ``on_error`` is ``skip``.
        ManifestUnreadable, UnknownCentre, CentreTooSmall, PartitionImpossible: no task at all.
    """
    collection, roles = _first_look(config)
    return describe(collection, roles, _handling(config))


def load_iu_xray_centre(config: IuXrayData, name: str) -> CentreData:
    """The records of one centre; only this centre's images are decoded.

    Raises:
        As `describe_iu_xray`; UnknownCentre for a centre without a role.
    """
    collection, roles = _first_look(config)
    return load(collection, roles, _handling(config), name)


def _handling(config: IuXrayData) -> Handling:
    return Handling(config.seed, config.splits, config.on_error, config.check_images)


def _first_look(config: IuXrayData) -> tuple[Collection, Roles]:
    root = data_root(config.root)
    collection = _r2gen(config, root) if config.layout == "r2gen" else _open_i(config, root)
    try:
        if config.centres is not None:
            return collection, column_roles(collection, config.centres)
        stated = stated_classes(collection)
        return collection, draw_roles(collection, config.pseudo_centres, config.seed, stated)
    except DataError:
        fail_on_problems(collection, _handling(config))  # what is behind it is said first
        raise


def _r2gen(config: IuXrayData, root: Path) -> Collection:
    """Rows are numbered through the whole file; their place is the list and the position in it."""
    path = inside_root(
        root,
        config.reports or "annotation.json",
        location="data.reports",
        missing=ManifestUnreadable,
    )
    collection = Collection(path)
    number = 0
    for listed, entries in _annotation(path).items():
        for index, entry in enumerate(entries):
            number += 1
            location = f"{path}:{listed}[{index}]"
            if isinstance(entry, dict):
                _add_r2gen(config, root, collection, (number, listed, location), entry)
            else:
                error = BadRow("the entry is not a JSON object", location=location)
                collection.problems.append(Problem(number, "", error))
    return collection


def _annotation(path: Path) -> dict[str, list[Any]]:
    """The lists of an annotation file by split, entries not yet checked."""
    try:
        if path.stat().st_size > _MAX_ANNOTATION_BYTES:
            raise ManifestUnreadable(f"{path.name} is larger than 1 GiB", location=str(path))
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestUnreadable(
            f"{path.name} is not a readable JSON file", location=str(path)
        ) from error
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(entries, list) for entries in content.values())
    ):
        raise ManifestUnreadable(
            f"{path.name} has no lists of studies by split",
            hint="R2Gen's annotation.json has the lists train, val and test",
            location=str(path),
        )
    return content


def _add_r2gen(
    config: IuXrayData,
    root: Path,
    collection: Collection,
    place: tuple[int, str, str],
    values: dict[str, Any],
) -> None:
    number, listed, location = place
    record_id = _text(values, "id", needed=False)
    with collection.row(number, record_id, location):
        _text(values, "id")
        report = _text(values, "report")
        images = values.get("image_path")
        names = [images] if isinstance(images, str) else images
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise MissingValue("the entry has no list of paths in 'image_path'")
        title = _text(values, config.centres.column) if config.centres else ""
        entry = Entry(
            row=number,
            record_id=record_id,
            patient_id=_patient(values, record_id),
            centre=centre_name(title) if title else "",
            report=GivenReport(report),
            image=_image(config, root, names, location),
            split=named_split(listed) if config.split_by == "layout" else None,
        )
        collection.add(entry, title)


def _patient(values: dict[str, Any], record_id: str) -> str:
    if "subject_id" in values:
        return _text(values, "subject_id")
    if found := _STUDY.match(record_id):
        return found[0]
    raise MissingValue(
        f"the id {record_id!r} does not begin with CXR and a number, and there is no 'subject_id'",
        hint="without a patient nothing could be split by patient",
    )


def _open_i(config: IuXrayData, root: Path) -> Collection:
    """Files are numbered in the order of the numbers that name them."""
    name = config.reports or "ecgen-radiology"
    check_plain(name, location="data.reports")
    folder = root / name
    try:
        files = sorted((f.name for f in folder.iterdir() if f.suffix == ".xml"), key=_natural)
    except OSError:
        files = []
    if not files:
        raise ManifestUnreadable(
            f"there are no XML files in {folder}",
            hint="say where the reports lie: data.reports; R2Gen's layout has data.layout: r2gen",
            location="data.reports",
        )
    collection = Collection(folder)
    for number, file in enumerate(files, start=1):
        location = str(folder / file)
        with collection.row(number, Path(file).stem, location):
            path = inside_root(root, f"{name}/{file}", location=location, missing=ReportMissing)
            report = read_open_i_report(path)
            if not report.study:
                raise MissingValue("the file has no <uId id=...>: an id is needed")
            entry = Entry(
                row=number,
                record_id=report.study,
                patient_id=report.study,
                centre="",
                report=GivenReport(join_sections(report.sections, config.sections)),
                image=_image(config, root, [f"{each}.png" for each in report.images], location),
                split=None,
            )
            collection.add(entry)
    return collection


def _image(config: IuXrayData, root: Path, names: Sequence[str], location: str) -> FileImage:
    if len(names) < config.view:
        raise MissingValue(
            f"the study has {len(names) or 'no'} images, so none is number {config.view}"
            if config.view > 1
            else "the study has no image"
        )
    name = names[config.view - 1]
    check_plain(name, location=location)
    folder = config.images or ("images" if config.layout == "r2gen" else "NLMCXR_png")
    return FileImage(inside_root(root, f"{folder}/{name}", location=location), location)


def _text(values: dict[str, Any], key: str, *, needed: bool = True) -> str:
    value = values.get(key)
    text = str(value).strip() if isinstance(value, str | int) else ""
    if needed and not text:
        raise MissingValue(f"the entry has nothing in {key!r}")
    return text


def _natural(name: str) -> tuple[int, str]:
    digits = re.search(r"\d+", name)
    return (int(digits[0]) if digits else 0, name)
