"""``fedmrg run``: a whole federation on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fedmrg_secure.cli.output import JsonOption, Output, SetOption
from fedmrg_secure.cli.places import placed


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder.", show_default="runs/NAME, the first that is free"),
    ] = None,
    overrides: SetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, start nothing.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted run (--out, or the newest one)."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a report generator at several sites, each a process, over mutual TLS.

    Throw-away identities are made, a coordinator and the sites start, encrypted updates are added
    round by round, and the run's folder gets the metrics, the adapters, the logs and report.html.
    Ctrl-C stops everything; --resume goes on.

    Examples:

      fedmrg run configs/quickstart.yaml

      fedmrg run configs/quickstart.yaml --set training.rounds=2 --out runs/short

      fedmrg run configs/covid_cxr.yaml --set data.root=/data/covid_cxr --dry-run

      fedmrg run configs/quickstart.yaml --resume
    """
    from fedmrg_secure.cli.validate import show_plan, show_privacy
    from fedmrg_secure.core.errors import FedmrgError
    from fedmrg_secure.core.yaml_source import load_run_config
    from fedmrg_secure.federation.local import run_federation
    from fedmrg_secure.federation.plan import make_plan
    from fedmrg_secure.federation.run_folder import create_run_folder, reopen_run_folder
    from fedmrg_secure.reports.html import write_report

    output = Output(as_json=as_json)
    run_config = load_run_config(config, overrides or ())
    output.note("planning: data, model and encryption are checked")
    with placed(config, overrides or ()):
        # A run that goes on has charged a part of its cost already: it would count twice.
        privacy = {} if resume else show_privacy(output, run_config)
        plan = make_plan(run_config)
    if dry_run:
        show_plan(output, plan, privacy)
        return
    if resume:
        folder = reopen_run_folder(run_config, out)
    else:
        options = [word for item in overrides or () for word in ("--set", item)]
        command = shlex.join(["fedmrg", "run", str(config), *options])
        folder = create_run_folder(run_config, out, command=command)
    output.note(f"run folder: {folder.root}")
    try:
        summary = run_federation(plan, folder, output.console, resume=resume)
    except FedmrgError:
        output.note(f"report of what there is: {write_report(folder.root)}")
        raise
    report = write_report(folder.root)
    output.say(f"report: {report}")
    output.result({"folder": str(folder.root), "report": str(report), **summary})
