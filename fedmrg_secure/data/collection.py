"""What the first look at a source gives: rows that can be records, and what is wrong with others.

Every source lists its rows here, so that the rules between rows are the same for all: an id is
given once, a patient stays in one centre and one split, an image belongs to one patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import InvalidName, party_name
from fedmrg_secure.data.errors import (
    CentresCollide,
    DataError,
    DuplicateRecord,
    ImageOfTwoPatients,
    PatientInTwoCentres,
    PatientInTwoSplits,
    UnknownSplit,
)
from fedmrg_secure.data.images import FileImage
from fedmrg_secure.data.partition import SPLITS, Split
from fedmrg_secure.data.reports import ReportSource

_SPLIT_NAMES: Final[dict[str, Split]] = {name: name for name in SPLITS} | {
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that can be a record.

    Attributes:
        row: its number in the listing, from 1; the line where the listing is one of lines.
        record_id, patient_id: see `Record`.
        centre: party name; empty until pseudo-centres are drawn.
        report: not yet read where it lies in a file of its own.
        image: an existing file inside the root, not yet decoded.
        split: as the source gives it, if it does.
    """

    row: int
    record_id: str
    patient_id: str
    centre: str
    report: ReportSource
    image: FileImage
    split: Split | None


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that is no record, and why."""

    row: int
    record_id: str
    error: FedmrgError


@dataclass(slots=True)
class Collection:
    """The rows of one source.

    Attributes:
        place: the file or folder that lists them, for messages.
        entries: in the order listed.
        problems: what is wrong with the other rows.
        titles: of the centres, by party name.
    """

    place: Path
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    _seen: _Seen = field(default_factory=lambda: _Seen())

    @contextmanager
    def row(self, number: int, record_id: str, location: str) -> Iterator[None]:
        """What is raised inside is a problem of this row, at this place."""
        try:
            yield
        except FedmrgError as error:
            error.location = error.location or location
            self.problems.append(Problem(number, record_id, error))

    def add(self, entry: Entry, title: str = "") -> None:
        """Keep a row that fits to those before it.

        Args:
            entry: its image's location says where it is listed.
            title: of its centre, as people write it.

        Raises:
            DuplicateRecord, CentresCollide, PatientInTwoCentres, PatientInTwoSplits,
            ImageOfTwoPatients: it does not fit; the rows before it stay.
        """
        if self.titles.get(entry.centre, title) != title:
            raise CentresCollide(
                f"centres {title!r} and {self.titles[entry.centre]!r} have one name, "
                f"{entry.centre!r}"
            )
        self._seen.check(entry)
        self._seen.keep(entry)
        if entry.centre:
            self.titles[entry.centre] = title
        self.entries.append(entry)

    def assign(self, centre_of: Mapping[str, str], titles: Mapping[str, str]) -> None:
        """Give every patient the centre, by party name, that was drawn for it."""
        self.entries = [
            replace(entry, centre=centre_of[entry.patient_id]) for entry in self.entries
        ]
        self.titles.update(titles)


@dataclass(slots=True)
class _Seen:
    """What was listed before, each with the record that has it."""

    places: dict[str, str] = field(default_factory=dict)
    centres: dict[str, tuple[str, str]] = field(default_factory=dict)
    splits: dict[str, tuple[Split, str]] = field(default_factory=dict)
    owners: dict[Path, tuple[str, str]] = field(default_factory=dict)

    def check(self, entry: Entry) -> None:
        record_id, patient = entry.record_id, entry.patient_id
        if record_id in self.places:
            raise DuplicateRecord(
                f"record {record_id!r} is listed twice, first at {self.places[record_id]}",
                hint="ids must be unique",
            )
        centre, other = self.centres.get(patient, (entry.centre, record_id))
        if centre != entry.centre:
            raise PatientInTwoCentres(
                f"records {other!r} and {record_id!r} are of one patient in two centres, "
                f"{centre!r} and {entry.centre!r}",
                hint="a patient's records must stay in one centre",
            )
        if entry.split is not None:
            given, other = self.splits.get(patient, (entry.split, record_id))
            if given != entry.split:
                raise PatientInTwoSplits(
                    f"records {other!r} and {record_id!r} are of one patient in two splits, "
                    f"{given} and {entry.split}",
                    hint="split by patient",
                )
        owner, other = self.owners.get(entry.image.path, (patient, record_id))
        if owner != patient:
            raise ImageOfTwoPatients(
                f"records {other!r} and {record_id!r} are of two patients but have one image",
                hint="the same picture could be trained and tested on",
            )

    def keep(self, entry: Entry) -> None:
        record_id, patient = entry.record_id, entry.patient_id
        self.places[record_id] = Path(entry.image.location).name
        self.centres.setdefault(patient, (entry.centre, record_id))
        self.owners.setdefault(entry.image.path, (patient, record_id))
        if entry.split is not None:
            self.splits.setdefault(patient, (entry.split, record_id))


def centre_name(title: str) -> str:
    """The party name of a centre's title; raises `DataError` where there is none."""
    try:
        return party_name(title)
    except InvalidName as error:
        raise DataError(
            f"{title!r} cannot name a centre", hint="use letters a to z, digits and spaces"
        ) from error


def named_split(value: str) -> Split:
    """The split that a source calls `value`; raises `UnknownSplit`."""
    if value.lower() not in _SPLIT_NAMES:
        raise UnknownSplit(f"{value!r} is no split", hint=f"use {', '.join(SPLITS)}")
    return _SPLIT_NAMES[value.lower()]
