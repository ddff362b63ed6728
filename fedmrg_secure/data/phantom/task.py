"""The phantom benchmark as a task: centres, patients, studies and splits."""

from __future__ import annotations

from typing import Final

from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.core.types import party_name
from fedmrg_secure.data.errors import UnknownCentre
from fedmrg_secure.data.partition import SPLITS, Split, split_patients
from fedmrg_secure.data.phantom.case import Case, draw_anatomy, draw_findings
from fedmrg_secure.data.phantom.centres import (
    CENTRES,
    PUBLIC_PREVALENCE,
    Centre,
    public_look,
    public_style,
)
from fedmrg_secure.data.phantom.render import PhantomImage
from fedmrg_secure.data.phantom.report import write_report
from fedmrg_secure.data.phantom.seeds import stream
from fedmrg_secure.data.records import CentreData, Record, Task

MOST_STUDIES: Final = 2
"""Of one patient; a quarter of them has that many, the others one."""
_SHARE_WITH_MOST_STUDIES: Final = 0.25
_PUBLIC: Final = "public"


def describe_phantom() -> Task:
    """The benchmark's centres; nothing is ever skipped."""
    names = {party_name(centre.title): centre for centre in CENTRES}
    return Task(
        participating=tuple(name for name, centre in names.items() if centre.participating),
        unseen=tuple(name for name, centre in names.items() if not centre.participating),
        titles={name: centre.title for name, centre in names.items()},
        skipped=(),
    )


def load_phantom_centre(config: PhantomData, name: str) -> CentreData:
    """All records of one hospital; images are rendered when loaded.

    Raises:
        UnknownCentre: the benchmark has no such hospital.
    """
    centre = next((c for c in CENTRES if party_name(c.title) == name), None)
    if centre is None:
        known = ", ".join(party_name(c.title) for c in CENTRES)
        raise UnknownCentre(f"the phantom task has no centre {name!r}", hint=f"it has {known}")
    count = (
        config.patients_per_centre if centre.participating else config.patients_per_unseen_centre
    )
    by_patient = [_studies(config.seed, centre, name, number) for number in range(count)]
    splits: dict[Split, list[Record]] = {split: [] for split in SPLITS}
    if not centre.participating:
        splits["test"] = [record for records in by_patient for record in records]
    else:
        patients = [records[0].patient_id for records in by_patient]
        split_of = split_patients(patients, config.seed, config.splits)
        for records in by_patient:
            splits[split_of[records[0].patient_id]] += records
    return CentreData(
        name=name,
        title=centre.title,
        train=tuple(splits["train"]),
        validation=tuple(splits["validation"]),
        test=tuple(splits["test"]),
    )


def public_studies(seed: int, count: int) -> list[Record]:
    """`count` studies of public phantoms, one a patient, from no hospital's machine or pen.

    The cases come from streams of their own: no private study is among them, whatever the seeds.
    """
    records = []
    for number in range(count):
        name = f"{_PUBLIC}-{number:05d}"
        rng = stream("public", seed, number)
        case = Case(draw_anatomy(rng), draw_findings(rng, PUBLIC_PREVALENCE))
        written = write_report(case, public_style(rng), rng)
        image = PhantomImage(seed, name, case, public_look(rng))
        records.append(Record(name, name, _PUBLIC, written.text, written.labels, image))
    return records


def public_corpus(seed: int, count: int) -> list[str]:
    """The reports of `public_studies`, for a base language model."""
    return [record.report for record in public_studies(seed, count)]


def _studies(seed: int, centre: Centre, name: str, number: int) -> list[Record]:
    patient = f"{name}-p{number:04d}"
    rng = stream("patient", seed, name, number)
    anatomy = draw_anatomy(rng)
    studies = MOST_STUDIES if rng.random() < _SHARE_WITH_MOST_STUDIES else 1
    records = []
    for study in range(studies):
        record = f"{patient}-s{study + 1}"
        case = Case(anatomy, draw_findings(stream("findings", seed, record), centre.prevalence))
        written = write_report(case, centre.style, stream("report", seed, record))
        records.append(
            Record(
                record_id=record,
                patient_id=patient,
                centre=name,
                report=written.text,
                labels=written.labels,
                image=PhantomImage(seed, record, case, centre.look),
            )
        )
    return records
