"""From the rows of a source to a task, and to the records of one of its centres.

This is the second look: reports that lie in files are read and images are decoded, of every centre
when a task is described, of one centre when it is loaded. A row that fails is an error or, with
``on_error: skip``, listed in `Task.skipped`; it is never lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fedmrg_secure.core.config import Splits
from fedmrg_secure.core.errors import ErrorGroup
from fedmrg_secure.data.centres import Roles
from fedmrg_secure.data.collection import Collection, Entry, Problem
from fedmrg_secure.data.errors import CentreTooSmall, DataError, UnknownCentre
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.data.partition import SPLITS, Split, split_patients
from fedmrg_secure.data.records import CentreData, Record, Skipped, Task


@dataclass(frozen=True, slots=True)
class Handling:
    """How rows become records.

    Attributes:
        seed, splits: of the split by patient, where the source gives none.
        on_error: whether a bad row ends the work or is left out and listed.
        check_images: whether images are decoded here, or only when they are used.
    """

    seed: int
    splits: Splits
    on_error: Literal["fail", "skip"]
    check_images: bool = True


def describe(collection: Collection, roles: Roles, handling: Handling) -> Task:
    """The task that the rows make, every centre's rows looked at.

    Raises:
        ErrorGroup: every bad row, unless they are skipped.
        CentreTooSmall: a participating centre cannot train or cannot be judged.
    """
    wanted = set(roles.both)
    entries = _sound(collection, (e for e in collection.entries if e.centre in wanted), handling)
    fail_on_problems(collection, handling)
    own: dict[str, list[Entry]] = {name: [] for name in roles.both}
    for entry in entries:
        own[entry.centre].append(entry)
    for name in roles.participating:
        _check_size(collection, name, _splits(own[name], handling))
    return Task(
        participating=roles.participating,
        unseen=tuple(name for name in roles.unseen if own[name]),
        titles={name: collection.titles[name] for name in roles.both if own[name]},
        skipped=tuple(
            Skipped(problem.row, problem.record_id, problem.error.message)
            for problem in _ordered(collection)
        ),
    )


def load(collection: Collection, roles: Roles, handling: Handling, name: str) -> CentreData:
    """The records of one centre; only its own reports and images are looked at.

    Raises:
        ErrorGroup: bad rows, unless they are skipped.
        UnknownCentre: the centre has no role in the task.
        CentreTooSmall: as `describe`.
    """
    if name not in roles.both:
        raise UnknownCentre(
            f"the task has no centre {name!r}", hint=f"it has {', '.join(roles.both)}"
        )
    entries = _sound(collection, (e for e in collection.entries if e.centre == name), handling)
    fail_on_problems(collection, handling)
    if name in roles.participating:
        split_of = _splits(entries, handling)
        _check_size(collection, name, split_of)
    else:
        split_of = {entry.record_id: "test" for entry in entries}
    records: dict[Split, list[Record]] = {split: [] for split in SPLITS}
    for entry in entries:
        records[split_of[entry.record_id]].append(_record(entry))
    return CentreData(
        name=name,
        title=collection.titles[name],
        train=tuple(records["train"]),
        validation=tuple(records["validation"]),
        test=tuple(records["test"]),
    )


def fail_on_problems(collection: Collection, handling: Handling) -> None:
    """Raise all problems found so far as one `ErrorGroup`, unless bad rows are skipped."""
    if collection.problems and handling.on_error == "fail":
        raise ErrorGroup([problem.error for problem in _ordered(collection)])


def _ordered(collection: Collection) -> list[Problem]:
    return sorted(collection.problems, key=lambda problem: problem.row)


def _sound(collection: Collection, entries: Iterable[Entry], handling: Handling) -> list[Entry]:
    """The entries whose report and image can be read; the others become problems."""
    good = []
    for entry in entries:
        try:
            entry.report.read()
            if handling.check_images:
                entry.image.read()
        except DataError as error:
            error.location = error.location or entry.image.location
            collection.problems.append(Problem(entry.row, entry.record_id, error))
        else:
            good.append(entry)
    return good


def _check_size(collection: Collection, name: str, split_of: dict[str, Split]) -> None:
    present = set(split_of.values())
    missing = [split for split in ("train", "test") if split not in present]
    if missing:
        raise CentreTooSmall(
            f"centre {name!r} has no {' and no '.join(missing)} records",
            hint="it needs at least two patients; or let it not participate",
            location=str(collection.place),
        )


def _splits(entries: list[Entry], handling: Handling) -> dict[str, Split]:
    by_patient = split_patients(
        (entry.patient_id for entry in entries), handling.seed, handling.splits
    )
    return {entry.record_id: entry.split or by_patient[entry.patient_id] for entry in entries}


def _record(entry: Entry) -> Record:
    report = entry.report.read()
    return Record(
        record_id=entry.record_id,
        patient_id=entry.patient_id,
        centre=entry.centre,
        report=report,
        labels=label_report(report),
        image=entry.image,
    )
