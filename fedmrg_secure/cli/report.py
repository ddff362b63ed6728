"""``fedmrg report``: the page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmrg_secure.cli.output import JsonOption, Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write RUN/report.html: one self-contained page, also of a run that failed or still goes.

    The page of a run on real patients contains their images; it says so.

    Examples:

      fedmrg report runs/quickstart
    """
    from fedmrg_secure.reports.html import write_report

    output = Output(as_json=as_json)
    path = write_report(run)
    if not as_json:
        output.say(str(path))
    output.result({"report": str(path), "bytes": path.stat().st_size})
