"""``sweep.html``: one self-contained page about a sweep, where every point links to its run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from fedmrg_secure.reports.axes import byte_axis, epsilon_axis
from fedmrg_secure.reports.cost import PHASES
from fedmrg_secure.reports.html import page_environment, stylesheet, write_page
from fedmrg_secure.reports.sweep_data import Point, Row, RunOf, SweepResult, read_sweep
from fedmrg_secure.reports.sweep_plots import (
    LEFT,
    PLOT_END,
    Dot,
    Series,
    Spot,
    utility_chart,
)
from fedmrg_secure.reports.utility import metric_title
from fedmrg_secure.reports.wording import bytes_text

TABLES: Final = {"adaptability": "participating", "generalizability": "unseen"}
_TONES: Final = 7
_EQUAL: Final = 5e-4
"""Untrained figures that differ by less are drawn as one line."""
_FEW_SEEDS: Final = 3
_LABEL: Final = 18
"""Characters of a label in a chart."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One chart of the page."""

    metric: str
    role: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class TimeBar:
    """A point's seconds by phase; widths are shares of the longest bar on the page."""

    point: Point
    slices: tuple[tuple[str, float, float], ...]
    total: float


@dataclass(frozen=True, slots=True)
class Headline:
    """The share of the non-private gain that a private point keeps."""

    point: Point
    role: str
    metric: str
    row: Row


def write_sweep_page(root: Path) -> Path:
    """Write ``sweep.html`` into a sweep's folder, atomically, and return its path.

    Raises:
        NotASweep, RunFileInvalid: see `read_sweep`.
    """
    return write_page(root / "sweep.html", render_sweep(read_sweep(root)))


def render_sweep(sweep: SweepResult) -> str:
    """The page as HTML."""
    found: dict[tuple[str, str, str], Row] = {
        (row.point, row.table, row.metric): row for row in sweep.rows
    }
    tables = [name for name in TABLES if any(row.table == name for row in sweep.rows)]
    context: dict[str, Any] = {
        "css": Markup(stylesheet()),  # noqa: S704 - our own file
        "sweep": sweep,
        "tables": tables,
        "roles": TABLES,
        "found": found,
        "command": sweep.commands[-1],
        "headlines": _headlines(sweep, found, tables),
        "by_epsilon": _pictures(sweep, found, tables, "epsilon"),
        "by_bytes": _pictures(sweep, found, tables, "bytes"),
        "times": _times(sweep.points),
        "phases": PHASES,
        "sites": list(dict.fromkeys(site for point in sweep.points for site in point.epsilon)),
        "few_seeds": len(sweep.seeds) < _FEW_SEEDS,
        "undone": sum(not run.done for point in sweep.points for run in point.runs),
        "clock": sum(run.wall_s or 0.0 for point in sweep.points for run in point.runs),
    }
    return page_environment().get_template("sweep.html.j2").render(context)


def _headlines(
    sweep: SweepResult, found: dict[tuple[str, str, str], Row], tables: Sequence[str]
) -> list[Headline]:
    """The most and the least private points that have something to keep, by table."""
    metric, lines = sweep.metrics[0], []
    for table in tables:
        kept = [
            Headline(point, TABLES[table], metric, row)
            for point in sweep.points
            if (row := found.get((point.name, table, metric))) and row.kept
        ]
        kept.sort(key=lambda each: -(each.point.largest_epsilon or 0.0))
        lines += [kept[0], kept[-1]] if len(kept) > 1 else kept
    return lines


def _pictures(
    sweep: SweepResult, found: dict[tuple[str, str, str], Row], tables: Sequence[str], cost: str
) -> list[Picture]:
    pictures = []
    for metric in sweep.metrics:
        for table in tables:
            shown = [
                (point, row)
                for point in sweep.points
                if (row := found.get((point.name, table, metric))) and _place(point, cost)
            ]
            private = any(point.private for point, _ in shown)
            if not shown or (cost == "epsilon" and not private):
                continue
            front = metric == sweep.metrics[0]
            pictures.append(_picture(sweep, shown, metric, table, cost, front=front))
    return pictures


def _picture(
    sweep: SweepResult,
    shown: Sequence[tuple[Point, Row]],
    metric: str,
    table: str,
    cost: str,
    *,
    front: bool,
) -> Picture:
    role, own = TABLES[table], _privacy_axis(sweep)
    groups: dict[str, list[tuple[Point, Row]]] = {}
    for point, row in shown:
        others = ", ".join(f"{a} {b}" for a, b in point.settings.items() if a != own)
        groups.setdefault(others, []).append((point, row))
    joined, alone = cost == "epsilon", len(groups) == 1
    series = []
    for index, (name, members) in enumerate(groups.items()):
        last = max(members, key=lambda each: _place(each[0], cost) or 0.0)[0]
        spots = []
        for point, row in members:
            # A line is named at its end; spots that no line joins, or that are alone, one by one.
            label = point.title if alone or not joined else name if point is last else ""
            spots.append(_spot(point, row, cost, _short(label), front=front))
        style = role if alone else f"tone{index % _TONES}"
        series.append(Series(style, tuple(spots), joined))
    places = [spot.place for one in series for spot in one.spots]
    if cost == "epsilon":
        axis = epsilon_axis(places, LEFT, PLOT_END)
    else:
        axis = byte_axis(round(min(places)), round(max(places)), LEFT, PLOT_END)
    before = [row.untrained for _, row in shown]
    chart = utility_chart(
        series,
        axis,
        role=role,
        untrained=before[0] if max(before) - min(before) < _EQUAL else None,
        description=f"{metric_title(metric)} at {role} centres against {axis.title}",
    )
    return Picture(metric, role, chart)


def _place(point: Point, cost: str) -> float | None:
    """Where a point is on the axis; None where that is not known."""
    if cost == "bytes":
        return point.uplink_bytes or None
    return (point.largest_epsilon or None) if point.private else math.inf


def _run_place(point: Point, run: RunOf, cost: str) -> float | None:
    if cost == "bytes":
        return run.uplink_bytes or None
    return (run.largest_epsilon or None) if point.private else math.inf


def _spot(point: Point, row: Row, cost: str, label: str, *, front: bool) -> Spot:
    table, place = row.table, _place(point, cost)
    assert place is not None
    finals = {value.seed: value.final for value in row.values}
    interval = "" if row.low is None else f", 95 % interval {row.low:.3f} to {row.high:.3f}"
    where = "" if point.uplink_bytes is None else f", {bytes_text(point.uplink_bytes)} sent"
    return Spot(
        label=label,
        place=place,
        mean=row.mean,
        low=row.low,
        high=row.high,
        front=front and table in (point.front.epsilon if cost == "epsilon" else point.front.bytes),
        link=f"#{point.name}",
        note=f"{point.title}: {row.mean:.3f} over {row.seeds} seeds{interval}{where}",
        dots=tuple(
            Dot(at, finals[run.seed], run.link, f"{point.title}, seed {run.seed}: open its report")
            for run in point.done
            if run.seed in finals and (at := _run_place(point, run, cost)) is not None
        ),
    )


def _short(label: str) -> str:
    """As it fits beside a chart; the whole of it shows while the pointer rests on the spot."""
    label = label.replace(" inf", " ∞")
    return label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"


def _privacy_axis(sweep: SweepResult) -> str | None:
    """The axis whose value alone fixes whether a point is private, and how much."""
    for axis, labels in sweep.axes.items():
        targets = {
            label: {
                (point.private, point.target_epsilon)
                for point in sweep.points
                if point.settings[axis] == label
            }
            for label in labels
        }
        different = {target for found in targets.values() for target in found}
        if len(different) > 1 and all(len(found) == 1 for found in targets.values()):
            return axis
    return None


def _times(points: Sequence[Point]) -> dict[str, list[TimeBar]]:
    """Scheme -> the bars of its points."""
    longest = max((sum(point.phases.values()) for point in points), default=0.0)
    bars: dict[str, list[TimeBar]] = {}
    for point in points:
        if not point.phases or longest <= 0:
            continue
        order = [phase for phase in PHASES if phase in point.phases]
        order += sorted(phase for phase in point.phases if phase not in PHASES)
        slices = tuple(
            (phase, point.phases[phase], point.phases[phase] / longest) for phase in order
        )
        bars.setdefault(point.scheme, []).append(TimeBar(point, slices, sum(point.phases.values())))
    return bars
