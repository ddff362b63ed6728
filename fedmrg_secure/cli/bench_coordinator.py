"""``fedmrg bench coordinator``: what one coordinator bears."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output


def bench_coordinator(
    sites: Annotated[int, typer.Option(min=3, max=1024, help="Simulated sites.")] = 100,
    parameters: Annotated[
        int, typer.Option(min=1, help="Values of one site's update.")
    ] = 1_000_000,
    wire_bits: Annotated[int, typer.Option(help="16, 20, 24 or 30 bits a residue.")] = 20,
    precision_bits: Annotated[
        int, typer.Option(min=8, max=30, help="Bits of the fixed-point grid.")
    ] = 18,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Sites that call at a time.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Let a crowd of simulated sites play one round with a real coordinator over mutual TLS.

    Every site has an identity and an open connection of its own and makes every call of a round of
    ckks-multiparty, with frames and sealed shares of the real sizes; the sum that comes back is
    compared with what was uploaded. MiB is the most memory of the coordinator's process so far.
    Crowd and coordinator share this machine's cores; uploads need the disk: 25 MB for each ten
    million parameters and site, and 8 KB for each pair of sites, twice.

    Examples:

      fedmrg bench coordinator

      fedmrg bench coordinator --sites 1000 --parameters 10_000_000 --json
    """
    from fedmrg_secure.benchmark.coordinator import CrowdCase, measure_coordinator

    output = Output(as_json=as_json)
    row = measure_coordinator(
        CrowdCase(sites, parameters, wire_bits, precision_bits, concurrency), output.note
    )
    output.table(
        f"{sites:,} sites, {parameters:,} parameters, {row['scheme']}",
        ("phase", "seconds", "MiB moved", "MiB/s", "coordinator MiB"),
        [_cells(name, phase) for name, phase in row["phases"].items()],
    )
    output.say(
        f"the round took {row['round_s']:.0f} s, {row['coordinator_cpu_s']:.0f} s of the "
        f"coordinator's processor time; adding {row['add_mparam_s']:,.0f} Mparam/s; peak memory "
        f"{row['coordinator_peak_mb']} MiB; the sum is exact"
    )
    output.result(row)


def _cells(name: str, phase: dict[str, Any]) -> tuple[str, ...]:
    moved = phase["bytes"] / 2**20
    rate = f"{moved / phase['seconds']:,.0f}" if moved else ""
    return (
        name,
        f"{phase['seconds']:.1f}",
        f"{moved:,.0f}" if moved else "",
        rate,
        f"{phase['peak_mb']:.0f}",
    )
