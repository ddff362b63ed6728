"""``fedmrg bench communication``: what a site sends, worked out without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output, SetOption, human_bytes


def bench_communication(
    task: Annotated[
        str, typer.Option(help="phantom, covid-cxr or iu-xray; its data is not read.")
    ] = "phantom",
    config: Annotated[
        Path | None,
        typer.Option(help="Any run's YAML file in place of the task's own.", show_default=False),
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(help="Short for --set model.decoder=...", show_default="as configured"),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, help="Short for --set update.rank=...", show_default="as configured"
        ),
    ] = None,
    sites: Annotated[int, typer.Option(min=2, max=256, help="Uploads in a sum.")] = 4,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Values and bytes that one site sends in a training round, by factorisation.

    Encrypted sizes are those of the frames on the wire, to the byte. Full tuning and plain LoRA
    stand beside them, computed at four bytes a value. Nothing is trained and no data is read.

    Examples:

      fedmrg bench communication

      fedmrg bench communication --decoder smollm2 --rank 8 --json
    """
    from fedmrg_secure.benchmark.communication import communication_rows
    from fedmrg_secure.benchmark.tasks import load_task

    output = Output(as_json=as_json)
    changes = list(overrides or ())
    if decoder is not None:
        changes.append(f"model.decoder={decoder}")
    if rank is not None:
        changes.append(f"update.rank={rank}")
    base = load_task(None if config else task, config=config, overrides=changes).base
    rows = communication_rows(base, sites=sites)
    show_communication(output, rows)
    output.result({"rows": rows, "sites": sites, "rank": base.update.rank})


def show_communication(output: Output, rows: Sequence[dict[str, Any]]) -> None:
    """The rows of `benchmark.communication` as a table."""
    output.table(
        "what one site sends in a round",
        ("", "values", "of the model", "bytes", ""),
        [
            (
                row["name"],
                f"{row['values']:,}",
                f"{row['share']:.3%}",
                human_bytes(row["bytes"]),
                "computed, float32" if row["computed"] else f"encrypted, {_sums(row['passes'])}",
            )
            for row in rows
        ],
    )


def _sums(passes: int) -> str:
    return "one sum" if passes == 1 else f"{passes} sums"
