"""``fedmrg export``: hand a trained model on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmrg_secure.cli.output import JsonOption, Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="The folder to make; must not hold anything.", show_default=False)
    ],
    site: Annotated[
        str | None, typer.Option(help="Whose copy of the model.", show_default="any site's")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the trained model as a PEFT adapter folder with its other parts and a model card.

    PeftModel.from_pretrained(base, OUT) loads the adapter; fedmrg generate OUT uses all of it.

    Examples:

      fedmrg export runs/quickstart --out exported
    """
    from fedmrg_secure.federation.states import newest_state
    from fedmrg_secure.reports.export import export_run
    from fedmrg_secure.reports.run_folder import read_run

    output = Output(as_json=as_json)
    content = read_run(run)
    number, state = newest_state(run, site)
    export_run(content, state, out, after_round=number)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    if not as_json:
        output.say(f"the model after round {number} is in {out}")
    output.result({"folder": str(out), "round": number, "files": files})
