"""Runs of the private path with canaries in them, and what an onlooker of the releases sees.

A canary is a patient with two records whose gradients are zero but for one coordinate, where each
is far above the clip bound. Clipped, all that a patient may add lies on that coordinate, so one
release of many coordinates holds one trial of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.privacy_audit.claim import STEPS, Claim
from fedmrg_secure.training.private_step import GradientsOf, PrivateTraining
from fedmrg_secure.training.private_sum import Part, PrivateSum
from fedmrg_secure.training.unit_sampling import OfPatient

WIDTH: Final = 512
"""Coordinates of a run of canaries, a trial each."""

ASIDE: Final = 256
"""Coordinates of a release that no patient touches, when bystanders are looked at."""

RECORDS: Final = 2
"""Of each patient, so that bounding records instead of patients shows."""

_LENGTH: Final = 10.0
"""Of a record's gradient over the clip bound."""

_MOST_RECORDS: Final = 32
"""So few that torch fills their gradients in this thread: waiting for others costs more."""
_NAME: Final = "canaries"


class Path(Protocol):
    """What is audited: `PrivateSteps`, or something that only looks like it."""

    def draw(self) -> list[list[int]]:
        """One step's units."""
        ...

    def total(self, units: Sequence[Sequence[int]], gradients_of: GradientsOf) -> PrivateSum:
        """Their sum."""
        ...

    def release(self, total: PrivateSum) -> Mapping[str, npt.NDArray[np.float32]]:
        """What is told of it."""
        ...


MakePath = Callable[[PrivateTraining, Sequence[OfPatient], Sequence[Part], int], Path]


@dataclass(frozen=True, slots=True)
class CanaryRecord:
    """A record of a canary: there is nothing to it but a gradient."""

    record_id: str
    patient_id: str


def canary_runs(
    make: MakePath, claim: Claim, present: npt.NDArray[np.bool_], repeats: int
) -> npt.NDArray[np.float64]:
    """Whole runs with some canaries in the data, seen by who knows where each would be.

    A canary's gradient changes its sign from step to step, and the onlooker takes the releases
    with these signs. That sees as much as their sum would, and more where steps share noise.

    Args:
        present: which coordinates have their canary in the data, shape (WIDTH,).
        repeats: how often each step's sum is released, each time with fresh noise.

    Returns:
        Per run and coordinate the sum over steps, scaled so that a clipped canary adds 1;
        shape (repeats, WIDTH).
    """
    places = np.flatnonzero(present)
    private = claim.fresh()
    path = make(private, _records(len(places)), _parameters(WIDTH), _MOST_RECORDS)
    seen = np.zeros((repeats, WIDTH))
    for step in range(STEPS):
        sign = 1.0 if step % 2 == 0 else -1.0
        length = sign * _LENGTH * private.terms.clip_norm
        total = path.total(path.draw(), _diracs(places, length, WIDTH))
        for repeat in range(repeats):
            seen[repeat] += sign * path.release(total)[_NAME]
    return seen * (private.terms.expected_batch / (private.terms.clip_norm * STEPS))


def bystander_energies(make: MakePath, claim: Claim, patients: int, repeats: int) -> FloatVector:
    """How loud the coordinates are that no patient touches, when there are so many patients.

    Args:
        patients: at a site whose public population is another number.
        repeats: steps.

    Returns:
        The logarithm of the mean square over `ASIDE` coordinates, each step's; shape (repeats,).
    """
    private = claim.among(population=8, expected_batch=8)
    path = make(private, _records(patients), _parameters(ASIDE + 1), _MOST_RECORDS)
    places = np.zeros(patients, dtype=np.int64)
    gradients_of = _diracs(places, _LENGTH * private.terms.clip_norm, ASIDE + 1)
    energies = []
    for _ in range(repeats):
        released = path.release(path.total(path.draw(), gradients_of))[_NAME][1:]
        energies.append(np.mean(np.square(released, dtype=np.float64)))
    return np.log(np.array(energies) + np.finfo(np.float64).tiny)


def inclusions(
    make: MakePath, claim: Claim, *, patients: int, expected_batch: float, steps: int
) -> npt.NDArray[np.bool_]:
    """Who is drawn in which step; shape (steps, patients)."""
    private = claim.among(patients, expected_batch)
    path = make(private, _records(patients), _parameters(1), _MOST_RECORDS)
    drawn = np.zeros((steps, patients), dtype=np.bool_)
    for step in drawn:
        step[[unit[0] // RECORDS for unit in path.draw()]] = True
    return drawn


def _records(patients: int) -> list[CanaryRecord]:
    """Record r is patient r // RECORDS's."""
    return [
        CanaryRecord(f"r{patient:06d}-{record}", f"p{patient:06d}")
        for patient in range(patients)
        for record in range(RECORDS)
    ]


def _parameters(size: int) -> tuple[Part, ...]:
    return ({_NAME: nn.Parameter(torch.zeros(size), requires_grad=False)},)


def _diracs(places: npt.NDArray[np.int64], length: float, size: int) -> GradientsOf:
    """Gradients of records, all on the coordinate of their patient."""

    def gradients_of(indices: Sequence[int]) -> dict[str, Tensor]:
        gradients = torch.zeros(len(indices), size)
        rows = np.arange(len(indices))
        gradients[rows, places[np.array(indices) // RECORDS]] = length
        return {_NAME: gradients}

    return gradients_of
