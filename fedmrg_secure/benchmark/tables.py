"""From results to rows: mean and spread over seeds, significance against `fedavg`, cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from fedmrg_secure.benchmark.jobs import CentreResult, JobResult
from fedmrg_secure.benchmark.methods import REFERENCE
from fedmrg_secure.benchmark.significance import Sample, Values, p_values, resampled

TABLES: Final[Mapping[str, str]] = {
    "adaptability": "participating",
    "generalizability": "unseen",
}
"""Table -> role of the centres in it."""

ALL, POOLED = "all", "pooled"
"""Centres of rows that are none: the mean over a table's centres, and all their records as one."""

Results = Mapping[str, Sequence[JobResult]]
"""Method -> its results, one a seed."""


def make_rows(results: Results, *, resamples: int) -> list[dict[str, Any]]:
    """Every figure of every method at every centre.

    Args:
        results: of at least one method; all of the same task, split and records.
        resamples: draws of the bootstrap.

    Returns:
        Rows with ``task``, ``method``, ``table``, ``centre`` (a party name, ``all`` or
        ``pooled``), ``metric``, ``mean``, ``std`` (sample deviation over seeds, 0 for one),
        ``seeds``, ``p_value_vs_fedavg`` (null for the reference itself, without it, and for figures
        that are not made of texts), ``uplink_bytes`` of one site over the run, and ``wall_s``.
    """
    rows: list[dict[str, Any]] = []
    for table, role in TABLES.items():
        levels = _significance(results, role, resamples)
        for method, found in results.items():
            for centre, values in _values(found, role).items():
                for metric, over_seeds in values.items():
                    rows.append(
                        {
                            "task": found[0].task,
                            "method": method,
                            "table": table,
                            "centre": centre,
                            "metric": metric,
                            "mean": statistics.fmean(over_seeds),
                            "std": statistics.stdev(over_seeds) if len(over_seeds) > 1 else 0.0,
                            "seeds": len(over_seeds),
                            "p_value_vs_fedavg": levels.get((method, centre), {}).get(metric),
                            "uplink_bytes": round(statistics.fmean(r.uplink_bytes for r in found)),
                            "wall_s": round(statistics.fmean(r.wall_s for r in found), 1),
                        }
                    )
    return rows


def _values(found: Sequence[JobResult], role: str) -> dict[str, dict[str, list[float]]]:
    """Centre -> metric -> its values over seeds; metrics that some seed lacks are left out."""
    by_seed = [dict(_one_seed(result, role)) for result in found]
    return {
        centre: {
            metric: [each[centre][metric] for each in by_seed]
            for metric in by_seed[0][centre]
            if all(metric in each.get(centre, {}) for each in by_seed)
        }
        for centre in by_seed[0]
    }


def _one_seed(result: JobResult, role: str) -> Iterator[tuple[str, dict[str, float]]]:
    centres = [centre for centre in result.centres if centre.role == role]
    if not centres:
        return
    figures = {centre.name: _mean([each.metrics for each in centre.written]) for centre in centres}
    yield from figures.items()
    yield ALL, _mean(list(figures.values()))
    if role in result.pooled:
        yield POOLED, dict(result.pooled[role])


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over those that have it."""
    names = dict.fromkeys(name for each in metrics for name in each)
    return {
        name: statistics.fmean(each[name] for each in metrics if name in each) for name in names
    }


def _significance(
    results: Results, role: str, resamples: int
) -> dict[tuple[str, str], dict[str, float]]:
    """(method, centre) -> metric -> p against the reference."""
    if REFERENCE not in results:
        return {}
    draws = _Draws(results[REFERENCE][0], role, resamples)
    reference = draws.figures(results[REFERENCE])
    levels = {}
    for method, found in results.items():
        if method == REFERENCE:
            continue
        own = draws.figures(found)
        for centre in own.keys() & reference.keys():
            levels[method, centre] = p_values(reference[centre], own[centre])
    return levels


class _Draws:
    """One set of draws for each centre, for all of them as one set, for every method and seed."""

    def __init__(self, example: JobResult, role: str, resamples: int) -> None:
        self._role = role
        self._centres = [centre for centre in example.centres if centre.role == role]
        self._samples = {c.name: Sample(c.patients, c.references) for c in self._centres}
        if self._centres:
            # Patients of two centres are never the same person.
            self._samples[POOLED] = Sample(
                tuple(f"{c.name}/{patient}" for c in self._centres for patient in c.patients),
                tuple(text for c in self._centres for text in c.references),
            )
        self._weights = {
            name: sample.draws(resamples, seed)
            for seed, (name, sample) in enumerate(self._samples.items())
        }

    def figures(self, found: Sequence[JobResult]) -> dict[str, dict[str, Values]]:
        """Centre -> figure -> values on every resample, the mean over seeds and models."""
        systems: dict[str, list[Sequence[str]]] = {name: [] for name in self._samples}
        for result in found:
            centres = {c.name: c for c in result.centres if c.role == self._role}
            for name in centres.keys() & systems.keys():
                systems[name] += [each.reports for each in centres[name].written]
            if self._centres:
                systems[POOLED] += _pooled([centres[c.name] for c in self._centres])
        values = {
            name: resampled(self._samples[name], written, self._weights[name])
            for name, written in systems.items()
            if written
        }
        alone = [each for name, each in values.items() if name != POOLED]
        if alone:
            shared = set.intersection(*(set(each) for each in alone))
            values[ALL] = {n: np.mean([each[n] for each in alone], axis=0) for n in shared}
        return values


def _pooled(centres: Sequence[CentreResult]) -> list[tuple[str, ...]]:
    """What each model wrote at all the centres; a centre with one model gives it to all."""
    count = max(len(centre.written) for centre in centres)
    return [
        tuple(
            report
            for centre in centres
            for report in centre.written[min(place, len(centre.written) - 1)].reports
        )
        for place in range(count)
    ]
