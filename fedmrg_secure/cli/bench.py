"""``fedmrg bench``: measured figures."""

from __future__ import annotations

import typer

from fedmrg_secure.cli import bench_labeler
from fedmrg_secure.cli.bench_communication import bench_communication
from fedmrg_secure.cli.bench_coordinator import bench_coordinator
from fedmrg_secure.cli.bench_crypto import bench_crypto
from fedmrg_secure.cli.bench_dp import bench_dp
from fedmrg_secure.cli.bench_model import bench_model
from fedmrg_secure.cli.bench_round import bench_round


def register(app: typer.Typer) -> None:
    """Add ``bench`` and its commands."""
    bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True)
    bench.command("crypto")(bench_crypto)
    bench.command("round")(bench_round)
    bench.command("coordinator")(bench_coordinator)
    bench.command("dp")(bench_dp)
    bench.command("model")(bench_model)
    bench.command("communication")(bench_communication)
    bench_labeler.register(bench)
    app.add_typer(bench, name="bench")
