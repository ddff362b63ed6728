"""``benchmark.html``: one self-contained page about a benchmark of methods."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.reports.benchmark_data import Benchmark, Method, Row, read_benchmark
from fedmrg_secure.reports.benchmark_plots import (
    COLOURS,
    Line,
    Spread,
    byte_chart,
    spread_chart,
)
from fedmrg_secure.reports.findings import Comparison, Labeler, compare
from fedmrg_secure.reports.html import page_environment, stylesheet, write_page
from fedmrg_secure.reports.utility import metric_title

TABLES: Final = {"adaptability": "participating", "generalizability": "unseen"}
METRICS: Final = {
    "ce_rule_f1_macro": "Clinical F1",
    "ce_rule_f1_micro": "F1 micro",
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "meteor_exact_stem": "METEOR",
    "cider": "CIDEr-D",
    "diagnosis_auroc": "AUROC",
}
"""Columns of the tables."""
PLOTTED: Final = ("ce_rule_f1_macro", "bleu4")
OURS: Final = "fedmrg"
SURE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of a table; `mark` is ``better`` or ``worse`` than the reference, or empty."""

    text: str
    deviation: str
    mark: str
    best: bool
    note: str


@dataclass(frozen=True, slots=True)
class Table:
    """Methods by metrics.

    Attributes:
        name: ``adaptability`` or ``generalizability``.
        role: of its centres.
        centres, records: how many.
        metrics: columns.
        lines: a method and its cells, None where a figure is missing.
    """

    name: str
    role: str
    centres: int
    records: int
    metrics: tuple[str, ...]
    lines: tuple[tuple[Method, tuple[Cell | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One record with what each method wrote, compared with the reference."""

    title: str
    role: str
    record: str
    reference: str
    written: tuple[tuple[str, Comparison], ...]


def write_benchmark_page(root: Path) -> Path:
    """Write ``benchmark.html`` into a benchmark's folder, atomically, and return its path.

    Raises:
        NotABenchmark, RunFileInvalid: see `read_benchmark`.
    """
    return write_page(root / "benchmark.html", render_benchmark(read_benchmark(root), label_report))


def render_benchmark(benchmark: Benchmark, label: Labeler) -> str:
    """The page as HTML.

    Args:
        benchmark: everything that is shown.
        label: the rule labeler that marks findings in the shown reports.
    """
    tables = [table for name in TABLES if (table := _table(benchmark, name))]
    context: dict[str, Any] = {
        "css": Markup(stylesheet()),  # noqa: S704 - our own file
        "benchmark": benchmark,
        "tables": tables,
        "columns": METRICS,
        "headline": _headline(benchmark),
        "charts": [
            (metric, [(table.name, _spreads(benchmark, table.name, metric)) for table in tables])
            for metric in PLOTTED
        ],
        "curves": _curves(benchmark),
        "centre_tables": [_centre_table(benchmark, table) for table in tables],
        "sent_high": max((row.bytes for row in benchmark.communication), default=1),
        "reaching": _reaching(benchmark),
        "shown": [
            Shown(
                sample.title,
                sample.role,
                sample.record,
                sample.reference,
                tuple(
                    (name, compare(sample.reference, text, label))
                    for name, text in sample.written.items()
                ),
            )
            for sample in benchmark.samples
        ],
        "ours": OURS,
        "sure": SURE,
        "seconds": sum(sum(method.wall_s) for method in benchmark.methods),
        "mean": statistics.fmean,
    }
    return page_environment().get_template("benchmark.html.j2").render(context)


def _rows(benchmark: Benchmark, table: str, centre: str = "all") -> dict[tuple[str, str], Row]:
    return {
        (row.method, row.metric): row
        for row in benchmark.rows
        if row.table == table and row.centre == centre
    }


def _table(benchmark: Benchmark, name: str) -> Table | None:
    rows = _rows(benchmark, name)
    metrics = tuple(metric for metric in METRICS if any(key[1] == metric for key in rows))
    if not metrics:
        return None
    centres = [centre for centre in benchmark.centres if centre.role == TABLES[name]]
    best = {metric: _best(benchmark, rows, metric) for metric in metrics}
    reference = benchmark.reference or ""
    lines = tuple(
        (
            method,
            tuple(
                _cell(
                    rows.get((method.name, metric)),
                    rows.get((reference, metric)),
                    best=best[metric] == method.name,
                )
                for metric in metrics
            ),
        )
        for method in benchmark.methods
    )
    records = sum(centre.records for centre in centres)
    return Table(name, TABLES[name], len(centres), records, metrics, lines)


def _best(benchmark: Benchmark, rows: dict[tuple[str, str], Row], metric: str) -> str:
    """The federated method with the highest mean; empty where only one is federated."""
    found = [
        row
        for method in benchmark.methods
        if method.scope == "federated" and (row := rows.get((method.name, metric)))
    ]
    return max(found, key=lambda row: row.mean).method if len(found) > 1 else ""


def _cell(row: Row | None, reference: Row | None, *, best: bool) -> Cell | None:
    if row is None:
        return None
    level, mark, note = row.p_value_vs_fedavg, "", ""
    if level is not None and reference is not None:
        note = f"p = {level:.3g} against {reference.method}"
        if level < SURE:
            mark = "better" if row.mean > reference.mean else "worse"
    return Cell(f"{row.mean:.3f}", f"{row.std:.3f}", mark, best, note)


def _headline(benchmark: Benchmark) -> list[dict[str, Any]]:
    """Ours beside the reference, table by table, in the plotted metrics."""
    found = []
    for table, role in TABLES.items():
        rows = _rows(benchmark, table)
        for metric in PLOTTED:
            ours = rows.get((OURS, metric))
            base = rows.get((benchmark.reference or "", metric))
            if ours and base:
                found.append({"role": role, "metric": metric, "ours": ours, "base": base})
    return found


def _kind(method: Method) -> str:
    if method.name == OURS:
        return "ours"
    return "federated" if method.scope == "federated" else "apart"


def _spreads(benchmark: Benchmark, table: str, metric: str) -> Markup | None:
    rows = _rows(benchmark, table)
    spreads = [
        Spread(
            method.name,
            row.mean,
            row.std,
            _kind(method),
            f"{method.summary}: {row.mean:.3f} ± {row.std:.3f} over {row.seeds} seeds",
        )
        for method in benchmark.methods
        if (row := rows.get((method.name, metric)))
    ]
    if not spreads:
        return None
    return spread_chart(spreads, description=f"{metric_title(metric)}, {table}, by method")


def _curves(benchmark: Benchmark) -> list[tuple[str, str, Markup]]:
    """(metric, role, chart); the first methods of the tables, ours always."""
    others = [name for name in benchmark.curves if name != OURS]
    names = [OURS, *others][:COLOURS] if OURS in benchmark.curves else others[:COLOURS]
    charts = []
    for metric in PLOTTED:
        for role in TABLES.values():
            lines = [
                Line(name, points)
                for name in names
                if (points := _mean_curve(benchmark, name, role, metric))
            ]
            if lines:
                title = f"{metric_title(metric)} at {role} centres against bytes sent"
                charts.append((metric, role, byte_chart(lines, description=title)))
    return charts


def _mean_curve(
    benchmark: Benchmark, method: str, role: str, metric: str
) -> tuple[tuple[int, float], ...]:
    curves = [
        [
            (point.uplink_bytes, values[metric])
            for point in curve
            if metric in (values := getattr(point, role)) and point.uplink_bytes > 0
        ]
        for curve in benchmark.curves[method]
    ]
    return tuple(
        (points[0][0], statistics.fmean(point[1] for point in points))
        for points in zip(*curves, strict=False)
    )


def _centre_table(benchmark: Benchmark, table: Table) -> dict[str, Any]:
    """Methods by centres, for each plotted metric."""
    centres = [centre for centre in benchmark.centres if centre.role == table.role]
    found = {c.name: _rows(benchmark, table.name, c.name) for c in centres}
    lines = [
        (
            method.name,
            [
                (metric, [found[centre.name].get((method.name, metric)) for centre in centres])
                for metric in PLOTTED
            ],
        )
        for method in benchmark.methods
    ]
    return {"name": table.name, "centres": centres, "lines": lines}


def _reaching(benchmark: Benchmark) -> list[dict[str, Any]]:
    """One line a method: role and metric -> when it was as good as the reference's end."""
    columns = list(dict.fromkeys((row.role, row.metric) for row in benchmark.reaching))
    methods: Sequence[str] = list(dict.fromkeys(row.method for row in benchmark.reaching))
    found = {(row.method, row.role, row.metric): row for row in benchmark.reaching}
    computed = {row.method for row in benchmark.reaching if row.computed}
    return [
        {
            "method": name,
            "computed": name in computed,
            "cells": [(column, found.get((name, *column))) for column in columns],
        }
        for name in methods
    ]
