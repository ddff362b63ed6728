"""``fedmrg bench crypto``: what encryption costs, beside other frameworks' parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from fedmrg_secure.cli.output import JsonOption, Output
from fedmrg_secure.core.errors import InputError

if TYPE_CHECKING:
    from fedmrg_secure.benchmark.crypto_row import Case

_PHASES: Final = ("encrypt", "receive", "add", "open")
_MAX_PARAMETERS: Final = 1_000_000_000
_MAX_THREADS: Final = 256
_PASSES: Final = 30
"""Over a vector, at most; the seconds of a row usually end sooner."""

_ALL: Final = "all"


class NumbersInvalid(InputError):
    """A list of sizes, sites or threads on the command line is not one."""

    code: ClassVar[str] = "FMRG-8202"


def bench_crypto(
    parameters: Annotated[
        str | None,
        typer.Option(help="Values of one site's update, by commas.", show_default="1000000"),
    ] = None,
    sites: Annotated[
        str | None, typer.Option(help="Uploads in a sum, by commas.", show_default="4")
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Of a site, by commas; all: one a core.", show_default="1,all"),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep", help="100,000 to 50,000,000 values and 2 to 50 sites: some minutes."
        ),
    ] = False,
    precision_bits: Annotated[
        int | None,
        typer.Option(min=8, max=30, help="Bits of the fixed-point grid.", show_default="20"),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            help="Error of the mean above which a width is marked, as a share of the range.",
            show_default="1e-05",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Measuring time of a row.")
    ] = 2.0,
    page: Annotated[
        Path | None,
        typer.Option(help="Also write a self-contained page to this file.", show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One pass over 100,000 parameters: a smoke test.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the schemes with the TenSEAL vectors that other frameworks use.

    Normal updates are encrypted, added and opened, each row in a process of its own. Rates are in
    million parameters a second, the median over pieces of a vector: of processor time with one
    thread, of the clock with more; the peers' encryption is also measured in turns with each of
    ours, which gives the ratio. Errors are those of the mean against float64; a ! marks a
    width whose error bound is above max_error. ckks-multiparty has a row for each width on the
    wire; its coordinates are bounded by ten standard deviations, and its grid is as fine as fits.
    Several lists give every combination; --sweep varies one thing at a time. What was measured
    before Ctrl-C is shown.

    Examples:

      fedmrg bench crypto

      fedmrg bench crypto --parameters 1e6,1e7 --sites 2,8 --threads 1 --json

      fedmrg bench crypto --sweep --page crypto.html
    """
    from fedmrg_secure.benchmark import crypto
    from fedmrg_secure.core.config import SecureAggregationConfig, UpdateConfig
    from fedmrg_secure.crypto.parameters import MAX_SITES

    if sweep and (parameters or sites or quick):
        raise NumbersInvalid("--sweep chooses sizes and sites itself", hint="leave one of them out")
    sizes = _numbers("parameters", parameters or ("100000" if quick else "1e6"), _MAX_PARAMETERS)
    counts = _numbers("sites", sites or "4", MAX_SITES)
    workers = _numbers("threads", threads or ("1" if quick else f"1,{_ALL}"), _MAX_THREADS)
    settings = crypto.Settings(
        precision_bits=precision_bits or UpdateConfig().precision_bits,
        repeats=1 if quick else _PASSES,
        seconds=seconds,
        max_error=max_error or SecureAggregationConfig().max_error,
    )
    cases = (
        crypto.sweep(workers, settings) if sweep else crypto.grid(sizes, counts, workers, settings)
    )
    output = Output(as_json=as_json)
    rows: list[dict[str, Any]] = []
    interrupted = False
    try:
        with _Progress(output, len(cases)) as progress:
            for row in crypto.measure_cases(cases, progress):
                rows.append(row)
    except KeyboardInterrupt:
        interrupted = True
    summary = crypto.summarise(rows, settings, total=len(cases))
    show(output, summary)
    if page is not None:
        from fedmrg_secure.reports.crypto_page import write_crypto_page

        write_crypto_page(page, summary)
        output.say(f"page: {page}")
    output.result(summary)
    if interrupted:
        output.note(f"interrupted: {len(rows)} of {len(cases)} rows were measured")
        raise KeyboardInterrupt


def _numbers(name: str, text: str, largest: int) -> list[int]:
    """``1000,1e6`` as whole numbers in their order, each once; ``all`` is the number of cores.

    Raises:
        NumbersInvalid: something else, or out of range.
    """
    found = []
    for word in filter(None, (part.strip().replace("_", "") for part in text.split(","))):
        if word == _ALL and name == "threads":
            found.append(min(os.cpu_count() or 1, largest))
            continue
        number = float(word) if re.fullmatch(r"\d{1,12}(\.\d+)?(e\d{1,2})?", word, re.ASCII) else 0
        if number != int(number) or not 1 <= number <= largest:
            raise NumbersInvalid(
                f"--{name} takes whole numbers from 1 to {largest:,} by commas, not {word!r}"
            )
        found.append(int(number))
    if not found:
        raise NumbersInvalid(f"--{name} is an empty list")
    return list(dict.fromkeys(found))


def show(output: Output, summary: dict[str, Any]) -> None:
    """A table for each size and number of sites, and how the schemes compare."""
    rows = summary["rows"]
    for size, sites in dict.fromkeys((row["parameters"], row["sites"]) for row in rows):
        chosen = [row for row in rows if (row["parameters"], row["sites"]) == (size, sites)]
        output.table(
            f"{size:,} parameters, {sites} sites; bytes a parameter, million parameters a second",
            (
                *("scheme", "threads", "B up", "B down"),
                *("encrypt", "receive", "add", "open", "MB", "rms", "bound"),
            ),
            [_cells(row) for row in chosen if row["fits"]],
        )
        for row in chosen:
            if not row["fits"]:
                output.say(f"{_name(row)} does not fit: {row['reason']}")
            elif "encrypt_times_peers" in row and row["scheme"] != "insecure-plaintext":
                output.say(f"{_name(row)} {_beside_peers(row)}.")
    if any(row.get("within_max_error") is False for row in rows):
        output.say(
            f"! the error of the mean may exceed {summary['max_error']:g} of the range "
            "(secure_aggregation.max_error); fedmrg validate refuses such a session"
        )


def _beside_peers(row: dict[str, Any]) -> str:
    said = f"encrypts {row['encrypt_times_peers']:.1f} times as fast as the peers"
    if "open_times_peers" not in row:  # their row comes last, and may be missing
        return said
    return (
        f"{said}, opens {row['open_times_peers']:.1f} times as fast and sends "
        f"{row['uplink_times_smaller']:.1f} times fewer bytes"
    )


def _name(row: dict[str, Any]) -> str:
    if row.get("baseline"):
        return "tenseal (peers)"
    return str(row["name"])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rates = (row[f"{phase}_mparam_s"] for phase in _PHASES)
    bound = row.get("error_bound")
    mark = "" if row.get("within_max_error", True) else "!"
    return (
        _name(row),
        str(row["threads"]),
        f"{row['uplink_bytes_per_parameter']:.2f}",
        f"{row['downlink_bytes_per_parameter']:.2f}",
        *("-" if rate is None else f"{rate:.3g}" for rate in rates),
        f"{row['peak_memory_mb']:.0f}",
        f"{row['rms_error']:.1e}",
        "-" if bound is None else f"{bound:.1e}{mark}",
    )


class _Progress:
    """A bar for the row in hand and one for all on a terminal's stderr; else a line a row."""

    def __init__(self, output: Output, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._output, self._total = output, total
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(console=self._console, transient=True)
        self._all = self._bars.add_task("all", total=total)
        self._row = self._bars.add_task("", total=1.0)
        self._begun: list[Case] = []

    def __enter__(self) -> Callable[[Case, float], None]:
        if self._console.is_terminal:
            self._bars.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def _tell(self, case: Case, share: float) -> None:
        if not self._begun or self._begun[-1] != case:
            self._begun.append(case)
            workers = f", {case.threads} threads" if case.threads > 1 else ""
            title = f"{case.name}, {case.parameters:,} x {case.sites}{workers}"
            self._bars.update(self._all, completed=len(self._begun) - 1)
            self._bars.update(self._row, description=title)
            if not self._console.is_terminal:
                self._output.note(f"{len(self._begun)}/{self._total} measuring {title} ...")
        self._bars.update(self._row, completed=share)
