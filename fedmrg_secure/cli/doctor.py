"""``fedmrg doctor``: is this machine fit for a federation?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmrg_secure.cli.output import JsonOption, Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    folder: Annotated[Path, typer.Option(help="Where runs will be written.")] = Path("runs"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to try; 0 for any.", min=0, max=65535)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Check this machine: versions, memory, disk, clock, port, encryption, base model.

    Every line says ok, warn or fail, and how to mend what is not well. The exit code is 1 when
    something fails. Nothing is left behind and nothing leaves the machine.

    Examples:

      fedmrg doctor

      fedmrg doctor --folder /srv/fedmrg --host 0.0.0.0 --port 7443 --json
    """
    from fedmrg_secure.cli.preflight import run_checks

    output = Output(as_json=as_json)
    found = []
    for check in run_checks(folder, host, port):
        output.say(f"{check.verdict:4}  {check.name}: {check.detail}")
        if check.mend:
            output.say(f"      {check.mend}")
        found.append(check)
    failed = [check.name for check in found if check.verdict == "fail"]
    output.say(
        f"{len(failed)} of {len(found)} checks failed." if failed else "Fit for a federation."
    )
    output.result({"ok": not failed, "checks": [check.to_json() for check in found]})
    if failed:
        raise typer.Exit(1)
