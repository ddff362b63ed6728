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
        str | None,
        typer.Option(
            help="A participating site: with its specialized adapter, which never left it before.",
            show_default="the model that all share",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the trained model as a PEFT adapter folder with its other parts and a model card.

    PeftModel.from_pretrained(base, OUT) loads the adapter; fedmrg generate OUT uses all of it. With
    --site the adapter is path B, the generic and the site's specialized one joined into one of
    twice the rank, and fedmrg generate OUT mixes as the site chose. Such a folder holds what the
    site's own patients taught: it is the site's to give.

    Examples:

      fedmrg export runs/quickstart --out exported

      fedmrg export runs/quickstart --out exported-cedar --site cedar-valley-clinic
    """
    from fedmrg_secure.federation.states import read_own_part
    from fedmrg_secure.federation.trained_model import newest_model_state
    from fedmrg_secure.reports.export import export_run
    from fedmrg_secure.reports.run_folder import read_run

    output = Output(as_json=as_json)
    content = read_run(run)
    number, state = newest_model_state(content.config, run)
    own = None if site is None else read_own_part(run, site)
    export_run(content, state, out, after_round=number, site=site, own=own)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    if not as_json:
        output.say(f"the model {f'of {site} ' if site else ''}after round {number} is in {out}")
    output.result({"folder": str(out), "round": number, "site": site, "files": files})
