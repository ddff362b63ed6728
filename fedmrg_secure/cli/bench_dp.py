"""``fedmrg bench dp``: what a private step costs beside a plain one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fedmrg_secure.cli.output import JsonOption, Output, SetOption

_NAMES: Final = {
    "load": "load the batch",
    "gradients": "forward and backward",
    "clip": "clip, round, add",
    "noise": "noise, beyond the backward pass",
    "optimiser": "optimiser",
}


def bench_dp(
    decoder: Annotated[
        str | None,
        typer.Option(
            help="builtin or smollm2: short for --set model.decoder=...", show_default="builtin"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A run's YAML file: its model, factorisation and losses.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=4096, help="Records of a step.")] = 8,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Of each kind, in turns.")] = 5,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a private step of training beside a plain one of the same records.

    The two take turns in one process, as a site makes them: the private one with gradients of
    single records, each patient's clipped and rounded to the grid, and noise that a thread draws
    meanwhile. Seconds are medians over the turns, ratios medians of each turn's own; processor time
    counts all threads. The most memory of each kind is that of a process that makes no other.
    Records are made up, one a patient, and the decoder is in float32, as private training asks.

    Examples:

      fedmrg bench dp

      fedmrg bench dp --decoder smollm2 --batch 4 --steps 3 --json
    """
    from fedmrg_secure.benchmark.dp import measure_dp
    from fedmrg_secure.benchmark.dp_step import Case
    from fedmrg_secure.benchmark.tasks import load_task

    output = Output(as_json=as_json)
    changes = list(overrides or ())
    if decoder is not None:
        changes.append(f"model.decoder={decoder}")
    base = load_task(None if config else "phantom", config=config, overrides=changes).base
    row = measure_dp(Case(base, batch, steps), output.note)
    show(output, row)
    output.result(row)


def show(output: Output, row: dict[str, Any]) -> None:
    """What `benchmark.dp.measure_dp` gives, as a table and a sentence."""
    plain, private = row["plain"], row["private"]
    lines = [(_NAMES[name], _of(plain, name), _of(private, name), "") for name in private["phases"]]
    for title, figure in (("whole step", "wall"), ("processor time", "cpu")):
        key = f"{figure}_s"
        ratio = f"{row[f'{figure}_times_plain']:.2f}"
        lines.append((title, f"{plain[key]:.3f}", f"{private[key]:.3f}", ratio))
    output.table(
        f"a step of {row['batch']} records, {row['decoder']}, {row['threads']} of "
        f"{row['machine']['cores']} cores, seconds",
        ("", "plain", "private", "ratio"),
        lines,
    )
    output.say(
        f"{row['noised_values']:,} of {row['trained_values']:,} trained values get noise; peak "
        f"memory {plain['peak_mb']:,.0f} and {private['peak_mb']:,.0f} MB, "
        f"{row['memory_times_plain']:.2f} times"
    )


def _of(kind: dict[str, Any], phase: str) -> str:
    return f"{kind['phases'][phase]:.3f}" if phase in kind["phases"] else ""
