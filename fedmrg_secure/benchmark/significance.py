"""Whether a method differs from the reference: paired bootstrap over patients, over all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.evaluation.bootstrap import figures, two_sided_p_value

Values = npt.NDArray[np.float64]

_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Sample:
    """The test records that both methods wrote for, at one centre or at several as one set.

    Attributes:
        patients: id of each record's patient: all records of one are drawn together.
        references: the records' own reports.
    """

    patients: tuple[str, ...]
    references: tuple[str, ...]

    def draws(self, resamples: int, seed: int) -> Values:
        """How often each record counts, shape (1 + resamples, records); the first row is ones."""
        names = {patient: index for index, patient in enumerate(dict.fromkeys(self.patients))}
        rows = [names[patient] for patient in self.patients]
        rng = np.random.default_rng(seed)
        count = len(names)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
        weights = np.vstack([np.ones(count), drawn])[:, rows]
        return weights.astype(np.float64)


def resampled(
    sample: Sample, systems: Sequence[Sequence[str]], weights: Values
) -> dict[str, Values]:
    """Figures on every resample, the mean over systems.

    Args:
        sample: the records.
        systems: what each model of a method, under each of its seeds, wrote for them; all get the
            same draws.
        weights: from `Sample.draws`.

    Returns:
        For each figure of `evaluation.bootstrap.figures` its values, shape (1 + resamples,).
    """
    each = [figures(sample.references, written, weights) for written in systems]
    return {name: np.mean([values[name] for values in each], axis=0) for name in each[0]}


def p_values(first: Mapping[str, Values], second: Mapping[str, Values]) -> dict[str, float]:
    """Two-sided p-values of the differences between two methods' figures.

    See `evaluation.bootstrap.two_sided_p_value`. What varies is which patients were tested; that
    training has its own luck is averaged over the seeds, not resampled.

    Args:
        first, second: from `resampled` with equal draws.
    """
    found = {}
    for name in first.keys() & second.keys():
        differences = (second[name] - first[name])[1:]
        # Rounding must not put equal systems on one side of zero.
        found[name] = two_sided_p_value(np.where(np.abs(differences) < _ROUNDING, 0, differences))
    return found
