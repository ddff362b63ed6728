"""``fedmrg bench labeler``: the rule labeler against reports that people have indexed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output

if TYPE_CHECKING:
    from fedmrg_secure.evaluation.clinical import ClassEfficacy


def register(bench: typer.Typer) -> None:
    """Add the command to ``bench``."""
    bench.command("labeler")(_labeler)


def _labeler(
    reports: Annotated[
        Path,
        typer.Option(
            help="JSON lines with study_id, findings, impression and mesh_major.",
            show_default=False,
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Precision and recall of the rule labeler on the Indiana collection's indexed reports.

    A class is said where the labeler finds it positive or uncertain; the last two columns count
    positive alone. Indexers skip much of what a report only considers, so precision is a lower
    bound.

    Examples:

      fedmrg bench labeler --reports reports.jsonl

      fedmrg bench labeler --reports reports.jsonl --json
    """
    from fedmrg_secure.evaluation.labeler_agreement import labeler_agreement, read_indexed_reports

    output = Output(as_json=as_json)
    read = read_indexed_reports(reports)
    rows = [
        _row(said, positive)
        for said, positive in zip(
            labeler_agreement(read), labeler_agreement(read, uncertain=False), strict=True
        )
    ]
    output.table(
        f"{len(read):,} indexed reports",
        ("class", "indexed", "precision", "recall", "F1", "positive: precision", "recall"),
        [_cells(row) for row in rows],
    )
    output.result({"reports": len(read), "rows": rows})


def _row(said: ClassEfficacy, positive: ClassEfficacy) -> dict[str, Any]:
    return {
        "class": said.name,
        "indexed": said.support,
        "precision": said.precision,
        "recall": said.recall,
        "f1": said.f1,
        "precision_positive": positive.precision,
        "recall_positive": positive.recall,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    figures = ("precision", "recall", "f1", "precision_positive", "recall_positive")
    return (row["class"], str(row["indexed"]), *(f"{row[name]:.3f}" for name in figures))
