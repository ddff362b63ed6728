"""``fedmrg doctor``: is this machine fit for a federation?"""

from __future__ import annotations

from functools import partial
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
    kit: Annotated[
        Path | None, typer.Option(help="Also check this party's keys and certificates.")
    ] = None,
    coordinator: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="With --kit: try to reach it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine: versions, memory, disk, clock, port, encryption, base model.

    Every line says ok, warn or fail, and how to mend what is not well. The exit code is 1 when
    something fails. Nothing is left behind and nothing leaves the machine.

    Examples:

      fedmrg doctor

      fedmrg doctor --folder /srv/fedmrg --host 0.0.0.0 --port 7443 --json

      fedmrg doctor --kit site/kit --coordinator aggregator.example:7443
    """
    from fedmrg_secure.cli.check import NamedCheck
    from fedmrg_secure.cli.preflight import run_checks
    from fedmrg_secure.cli.preflight_party import check_coordinator, check_kit

    output = Output(as_json=as_json)
    if coordinator and not kit:
        raise typer.BadParameter("--coordinator needs --kit")
    more: list[NamedCheck] = []
    if kit:
        more.append(("kit", partial(check_kit, kit)))
    if kit and coordinator:
        more.append(("coordinator", partial(check_coordinator, kit, coordinator)))
    found = []
    for check in run_checks(folder, host, port, more):
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
