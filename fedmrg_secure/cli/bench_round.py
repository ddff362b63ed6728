"""``fedmrg bench round``: a whole round over loopback, by scheme."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output


def bench_round(
    parameters: Annotated[
        int | None,
        typer.Option(min=1, help="Values of one site's update.", show_default="10000000"),
    ] = None,
    sites: Annotated[int, typer.Option(min=2, max=64, help="Sites in the round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Measured, after one to warm up.")] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round of 100,000 parameters: a smoke test.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a round without training: coordinator and sites as processes over mutual TLS.

    Every scheme and then the same round in plaintext, at 4 bytes a parameter. Seconds are wall
    time, each the slowest site's; all processes share this machine's cores. B/param go up from a
    site; MB is the most memory of the coordinator.

    Examples:

      fedmrg bench round

      fedmrg bench round --parameters 1000000 --sites 4 --json
    """
    from fedmrg_secure.benchmark.round import measure_rounds

    output = Output(as_json=as_json)
    rows = measure_rounds(
        values=parameters or (100_000 if quick else 10_000_000),
        sites=sites,
        rounds=1 if quick else rounds,
        progress=lambda title: output.note(f"measuring {title} ..."),
    )
    output.table(
        f"{rows[0]['parameters']:,} parameters, {sites} sites, seconds",
        (
            *("scheme", "round", "of plaintext", "encrypt", "certify", "upload", "wait"),
            *("download", "open", "B/param", "MB"),
        ),
        [_cells(row) for row in rows],
    )
    output.result({"rows": rows})


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    phases = ("encrypt", "certify", "upload", "wait", "download", "open")
    return (
        row["scheme"],
        f"{row['round_s']:.2f}",
        f"{row['against_plaintext']:.2f}",
        *(f"{row[f'{phase}_s']:.2f}" for phase in phases),
        f"{row['uplink_bytes'] / row['parameters']:.2f}",
        f"{row['coordinator_mb']}",
    )
