"""Which centres a task has: those that a column names, or pseudo-centres drawn for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedmrg_secure.core.config import ColumnCentres, PseudoCentres
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status, party_name
from fedmrg_secure.data.collection import Collection, centre_name
from fedmrg_secure.data.errors import DataError, UnknownCentre
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.data.partition import dirichlet_centres


@dataclass(frozen=True, slots=True)
class Roles:
    """Party names of the centres that train and of those that are only judged."""

    participating: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def both(self) -> tuple[str, ...]:
        return (*self.participating, *self.unseen)


def column_roles(collection: Collection, centres: ColumnCentres) -> Roles:
    """The roles of the centres that a column names; unseen ones are sorted if ``rest``.

    Raises:
        UnknownCentre: no row is of a centre that is named, or one has both roles.
    """
    return named_roles(
        collection, centres.participating, centres.unseen, column=centres.column, key="data.centres"
    )


def named_roles(
    collection: Collection,
    participating: Sequence[str],
    unseen: Sequence[str] | Literal["rest", "none"],
    *,
    column: str,
    key: str = "data",
) -> Roles:
    """As `column_roles`; `key` is the configuration's section that names them."""
    known = set(collection.titles)
    training = tuple(dict.fromkeys(map(centre_name, participating)))
    listed = () if isinstance(unseen, str) else tuple(dict.fromkeys(map(centre_name, unseen)))
    for name in (*training, *listed):
        if name not in known:
            raise UnknownCentre(
                f"no row of {collection.place.name} is of centre {name!r}",
                hint=f"{column!r} has {', '.join(sorted(known)) or 'none'}",
                location=str(collection.place),
            )
    both = set(training) & set(listed)
    if both:
        raise UnknownCentre(
            f"{', '.join(sorted(both))} cannot be participating and unseen",
            hint=f"take it out of {key}.unseen",
        )
    return Roles(training, tuple(sorted(known - set(training))) if unseen == "rest" else listed)


def draw_roles(
    collection: Collection, pseudo: PseudoCentres, seed: int, stated: Mapping[str, Iterable[str]]
) -> Roles:
    """Part the patients into pseudo-centres and give every entry its own.

    Args:
        collection: its entries get their centre here.
        pseudo: how many centres, and how different.
        seed: fixes the partition.
        stated: the classes that each patient's reports state; patients without entries are ignored.

    Raises:
        PartitionImpossible: see `dirichlet_centres`.
    """
    patients = {entry.patient_id for entry in collection.entries}
    titles = [f"Pseudo-centre {number + 1}" for number in range(pseudo.participating)]
    titles += [f"Unseen pseudo-centre {number + 1}" for number in range(pseudo.unseen)]
    names = [party_name(title) for title in titles]
    drawn = dirichlet_centres(
        {patient: stated.get(patient, ()) for patient in patients},
        centres=len(names),
        alpha=pseudo.alpha,
        min_patients=pseudo.min_patients,
        seed=seed,
        splits={e.patient_id: e.split for e in collection.entries if e.split is not None},
        training=pseudo.participating,
    )
    collection.assign(
        {patient: names[index] for patient, index in drawn.items()},
        dict(zip(names, titles, strict=True)),
    )
    return Roles(tuple(names[: pseudo.participating]), tuple(names[pseudo.participating :]))


def stated_classes(collection: Collection) -> dict[str, set[str]]:
    """The classes that each patient's reports state, positively or uncertainly.

    Costs some 0.3 ms a report; a report that cannot be read states nothing here.
    """
    stated: dict[str, set[str]] = defaultdict(set)
    for entry in collection.entries:
        try:
            statuses = label_report(entry.report.read())
        except DataError:
            continue
        stated[entry.patient_id].update(
            name
            for name, status in zip(CHEXPERT_CLASSES, statuses, strict=True)
            if status in (Status.POSITIVE, Status.UNCERTAIN)
        )
    return stated
