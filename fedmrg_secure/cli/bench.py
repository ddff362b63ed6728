"""``fedmrg bench``: measured figures."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fedmrg_secure.cli import bench_labeler
from fedmrg_secure.cli.bench_communication import bench_communication
from fedmrg_secure.cli.bench_coordinator import bench_coordinator
from fedmrg_secure.cli.bench_model import bench_model
from fedmrg_secure.cli.bench_round import bench_round
from fedmrg_secure.cli.output import JsonOption, Output


def register(app: typer.Typer) -> None:
    """Add ``bench`` and its commands."""
    bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True)
    bench.command("crypto")(_crypto)
    bench.command("round")(bench_round)
    bench.command("coordinator")(bench_coordinator)
    bench.command("model")(bench_model)
    bench.command("communication")(bench_communication)
    bench_labeler.register(bench)
    app.add_typer(bench, name="bench")


def _crypto(
    parameters: Annotated[
        int | None, typer.Option(min=1, help="Values of one site's update.", show_default="1000000")
    ] = None,
    sites: Annotated[int, typer.Option(min=1, max=256, help="Uploads in the sum.")] = 4,
    precision_bits: Annotated[
        int | None,
        typer.Option(min=8, max=30, help="Bits of the fixed-point grid.", show_default="20"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One pass over 100,000 parameters: a smoke test.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the schemes with the TenSEAL vectors that other frameworks use.

    Normal updates are encrypted, added and opened, each scheme in a process of its own. Rates are
    in million parameters a second of one core's time, the fastest of three passes; errors are
    those of the mean against float64. ckks-multiparty has a row for each width on the wire; its
    coordinates are bounded by ten standard deviations, and its grid is as fine as fits.

    Examples:

      fedmrg bench crypto

      fedmrg bench crypto --parameters 2000000 --sites 8 --json
    """
    from fedmrg_secure.benchmark.crypto import measure_schemes
    from fedmrg_secure.core.config import UpdateConfig

    output = Output(as_json=as_json)
    with _Progress(output) as progress:
        rows = measure_schemes(
            parameters=parameters or (100_000 if quick else 1_000_000),
            sites=sites,
            precision_bits=precision_bits or UpdateConfig().precision_bits,
            repeats=1 if quick else 3,
            progress=progress,
        )
    output.table(
        f"{rows[0]['parameters']:,} parameters, {sites} sites",
        (
            "scheme",
            "B/param up",
            "down",
            "encrypt M/s",
            "receive",
            "add",
            "open",
            "MB",
            "rms",
            "max",
        ),
        [_cells(row) for row in rows],
    )
    peers = rows[-1]
    for ours in rows[:-1]:
        if ours["scheme"] == "insecure-plaintext":
            continue
        encrypt, open_, up = (
            ours[figure] / peers[figure]
            for figure in ("encrypt_mparam_s", "open_mparam_s", "uplink_bytes_per_parameter")
        )
        output.say(
            f"{_name(ours)} encrypts {encrypt:.1f} times as fast, opens {open_:.1f} times as fast "
            f"and sends {1 / up:.1f} times fewer bytes than {peers['scheme']}."
        )
    output.result({"rows": rows})


def _name(row: dict[str, Any]) -> str:
    if row.get("baseline"):
        return f"{row['scheme']} (peers)"
    width = f", {row['wire_bits']:.0f} bits" if row["scheme"] == "ckks-multiparty" else ""
    return f"{row['scheme']}{width}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rates = (row[f"{phase}_mparam_s"] for phase in ("encrypt", "receive", "add", "open"))
    return (
        _name(row),
        f"{row['uplink_bytes_per_parameter']:.2f}",
        f"{row['downlink_bytes_per_parameter']:.2f}",
        *("-" if rate is None else f"{rate:.3g}" for rate in rates),
        f"{row['peak_memory_mb']:.0f}",
        f"{row['rms_error']:.1e}",
        f"{row['max_error']:.1e}",
    )


class _Progress:
    """A bar for each scheme on a terminal's stderr; a plain line each elsewhere."""

    def __init__(self, output: Output) -> None:
        from rich.console import Console
        from rich.progress import Progress, TaskID

        self._output = output
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(console=self._console, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Progress:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def __call__(self, scheme: str, share: float) -> None:
        if scheme not in self._tasks:
            self._tasks[scheme] = self._bars.add_task(scheme, total=1.0)
            if not self._console.is_terminal:
                self._output.note(f"measuring {scheme} ...")
        self._bars.update(self._tasks[scheme], completed=share)
