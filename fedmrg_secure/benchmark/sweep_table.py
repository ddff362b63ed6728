"""From the runs of a sweep to its points and rows: means over seeds, gains kept, fronts, cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fedmrg_secure.benchmark.intervals import estimate, share_of
from fedmrg_secure.benchmark.sweep_results import Change, RunSummary
from fedmrg_secure.benchmark.tables import TABLES
from fedmrg_secure.core.config import RunConfig

_EQUAL: Final = 1.01


@dataclass(frozen=True, slots=True)
class Finished:
    """One run of a point.

    Attributes:
        seed: of the run.
        folder: of the run, seen from the sweep's own.
        command: what makes this run alone.
        summary: None while the run is not done.
        error: why it failed, or empty.
        whole_clock: whether the summary's seconds are those of the whole run.
    """

    seed: int
    folder: str
    command: str
    summary: RunSummary | None
    error: str
    whole_clock: bool


@dataclass(frozen=True, slots=True)
class PointResults:
    """A point of the grid and its runs, by seed; `config` is the first one's."""

    name: str
    settings: Mapping[str, str]
    config: RunConfig
    runs: tuple[Finished, ...]

    @property
    def summaries(self) -> dict[int, RunSummary]:
        """Of the runs that are done, by seed."""
        return {run.seed: run.summary for run in self.runs if run.summary is not None}

    @property
    def private(self) -> bool:
        return self.config.privacy is not None


def make_points(
    results: Sequence[PointResults], *, metric: str, centre: str
) -> list[dict[str, Any]]:
    """What every point is, cost and reached.

    Args:
        results: of all points.
        metric, centre: the figure that the fronts go by.

    Returns:
        Objects with ``name``, ``settings``, ``scheme``, ``private``, ``unit``, ``delta``,
        ``target_epsilon``, ``epsilon`` (site -> mean over seeds of what its ledger says),
        ``largest_epsilon`` (of any site, mean over seeds), ``reference`` (the name of the point
        without privacy that it is compared with), ``uplink_bytes``, ``downlink_bytes`` (of one site
        over the run) and ``total_bytes``, ``wall_s`` over ``wall_seeds`` runs that were not
        interrupted, ``phases`` (seconds, mean over sites and seeds), ``front`` (the tables on whose
        fronts of epsilon and of bytes the point is) and ``runs``. Figures are null without a run.
    """
    fronts = {
        (cost, table): _front(results, table, metric, centre, cost)
        for table in TABLES
        for cost in ("epsilon", "bytes")
    }
    return [
        _point(each, _reference(each, results))
        | {
            "front": {
                cost: [table for table in TABLES if each.name in fronts[cost, table]]
                for cost in ("epsilon", "bytes")
            }
        }
        for each in results
    ]


def make_rows(
    results: Sequence[PointResults], *, metrics: Sequence[str], centre: str
) -> list[dict[str, Any]]:
    """Every figure of every point.

    Args:
        results: of all points.
        metrics: names.
        centre: ``all``, ``pooled`` or a party name.

    Returns:
        Rows with ``point``, ``table``, ``centre``, ``metric``, ``mean``, ``std``, ``low``, ``high``
        (95 %, Student), ``seeds``, ``untrained`` (mean), ``gain`` (``mean`` less ``untrained``),
        ``kept`` (share of the reference's gain, ``share``, ``low``, ``high`` by Fieller and
        ``seeds`` that both have; null for the reference itself and where it has gained nothing)
        and ``values`` (one a seed: ``seed``, ``untrained``, ``final``).
    """
    rows = []
    for each in results:
        reference = _reference(each, results)
        for table in TABLES:
            for metric in metrics:
                found = _figures(each, table, centre, metric)
                if not found:
                    continue
                kept = None
                if reference is not None:
                    kept = _kept(found, _figures(reference, table, centre, metric))
                untrained = statistics.fmean(value.untrained for value in found.values())
                final = estimate([value.final for value in found.values()])
                rows.append(
                    {
                        "point": each.name,
                        "table": table,
                        "centre": centre,
                        "metric": metric,
                        **final.to_json(),
                        "untrained": untrained,
                        "gain": final.mean - untrained,
                        "kept": kept,
                        "values": [
                            {"seed": seed, **value.model_dump()} for seed, value in found.items()
                        ],
                    }
                )
    return rows


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point costs as little and is as good, and better in one of both.

    Costs that differ by less than a hundredth count as equal: calibrated epsilons and measured
    bytes vary by as much.

    Args:
        points: (cost, utility) each; a cost is at least 0 and may be infinite.
    """
    return [
        not any(
            other <= cost * _EQUAL
            and better >= utility
            and (better > utility or other * _EQUAL < cost)
            for other, better in points
        )
        for cost, utility in points
    ]


def _front(
    results: Sequence[PointResults], table: str, metric: str, centre: str, cost: str
) -> set[str]:
    """Names of the points on a table's front."""
    found = {
        each.name: (
            _epsilon(each) if cost == "epsilon" else _mean_of(map(_up, each.summaries.values())),
            statistics.fmean(value.final for value in figures.values()),
        )
        for each in results
        if (figures := _figures(each, table, centre, metric))
    }
    return {name for name, best in zip(found, on_front(list(found.values())), strict=True) if best}


def _epsilon(point: PointResults) -> float:
    """Of any site, mean over seeds; infinite without privacy."""
    if not point.private:
        return math.inf
    return _mean_of(found.largest_epsilon or 0.0 for found in point.summaries.values())


def _reference(point: PointResults, results: Sequence[PointResults]) -> PointResults | None:
    """The point without privacy that differs from a private one in one axis alone."""
    if not point.private:
        return None
    for other in results:
        differing = [
            axis for axis, label in point.settings.items() if other.settings[axis] != label
        ]
        if not other.private and len(differing) == 1:
            return other
    return None


def _figures(point: PointResults, table: str, centre: str, metric: str) -> dict[int, Change]:
    """Seed -> the figure, of the runs that have it."""
    found = {
        seed: summary.figure(table, centre, metric) for seed, summary in point.summaries.items()
    }
    return {seed: value for seed, value in found.items() if value is not None}


def _kept(own: Mapping[int, Change], reference: Mapping[int, Change]) -> dict[str, Any] | None:
    seeds = [seed for seed in own if seed in reference]
    if not seeds:
        return None
    part, whole = (
        [values[seed].final - values[seed].untrained for seed in seeds]
        for values in (own, reference)
    )
    share = share_of(part, whole)
    return None if share is None else {**share.to_json(), "seeds": len(seeds)}


def _point(point: PointResults, reference: PointResults | None) -> dict[str, Any]:
    privacy, found = point.config.privacy, list(point.summaries.values())
    clocked = [run.summary for run in point.runs if run.summary is not None and run.whole_clock]
    spent = [spending for summary in found for spending in summary.privacy.values()]
    sites = dict.fromkeys(site for summary in found for site in summary.privacy)
    phases = dict.fromkeys(phase for summary in found for phase in summary.seconds.by_phase)
    return {
        "name": point.name,
        "settings": dict(point.settings),
        "scheme": point.config.secure_aggregation.scheme,
        "private": point.private,
        "unit": spent[0].unit if spent else None,
        "delta": spent[0].delta if spent else None,
        "target_epsilon": privacy.target_epsilon if privacy else None,
        "epsilon": {
            site: _mean_of(s.privacy[site].epsilon for s in found if site in s.privacy)
            for site in sites
        },
        "largest_epsilon": _epsilon(point) if point.private and found else None,
        "reference": reference.name if reference else None,
        "uplink_bytes": _whole(map(_up, found)),
        "downlink_bytes": _whole(
            s.communication.bytes_down_per_round_per_site * s.rounds for s in found
        ),
        "total_bytes": _whole(s.communication.total_bytes for s in found),
        "wall_s": _mean_of(s.seconds.total for s in clocked) if clocked else None,
        "wall_seeds": len(clocked),
        "phases": {
            phase: round(_mean_of(s.seconds.by_phase.get(phase, 0.0) for s in found), 3)
            for phase in phases
        },
        "runs": [_run(run) for run in point.runs],
    }


def _run(run: Finished) -> dict[str, Any]:
    summary = run.summary
    return {
        "seed": run.seed,
        "done": summary is not None,
        "error": run.error,
        "folder": run.folder,
        "command": run.command,
        "largest_epsilon": summary.largest_epsilon if summary else None,
        "uplink_bytes": _up(summary) if summary else None,
        "wall_s": summary.seconds.total if summary and run.whole_clock else None,
        "train_s": summary.seconds.by_phase.get("train", 0.0) if summary else None,
    }


def _up(summary: RunSummary) -> int:
    return summary.communication.bytes_up_per_round_per_site * summary.rounds


def _whole(values: Iterable[float]) -> int | None:
    found = list(values)
    return round(statistics.fmean(found)) if found else None


def _mean_of(values: Iterable[float]) -> float:
    return statistics.fmean(values)
