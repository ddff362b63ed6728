"""``fedmrg session``: pin what every site of a federation of machines must agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import typer

from fedmrg_secure.cli.output import JsonOption, Output, SetOption
from fedmrg_secure.cli.places import placed
from fedmrg_secure.core.errors import InputError


class BadWeight(InputError):
    """A ``--weight`` that is not SITE=RECORDS."""

    code: ClassVar[str] = "FMRG-1202"


class SessionFileExists(InputError):
    """A session is written once."""

    code: ClassVar[str] = "FMRG-1203"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("session")(session)


def session(
    config: Annotated[
        Path, typer.Argument(help="The consortium's common YAML file.", show_default=False)
    ],
    kit: Annotated[Path, typer.Option(help="A kit of the federation; its roster is pinned.")],
    out: Annotated[Path, typer.Option(help="Where the session goes.")] = Path("session.json"),
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE=RECORDS",
            help="With weighting: records, the most that a site may declare. Repeatable.",
        ),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pin a session: rounds, sites, layout, base model, parameters, roster. Reads no data.

    Put the file into the coordinator's folder. Every site works the same terms out of its own
    configuration, model and roster, and refuses a session that differs in any.

    Examples:

      fedmrg session common.yaml --kit kit --out /srv/fedmrg/coordinator/session.json

      fedmrg session common.yaml --kit kit --weight st-anna=1200 --weight charite=3400
    """
    from fedmrg_secure.core.yaml_source import load_run_config
    from fedmrg_secure.federation.session import pin_session
    from fedmrg_secure.provisioning.site_kit import load_kit

    output = Output(as_json=as_json)
    run_config = load_run_config(config, overrides or ())
    weights = dict(map(_weight, weight or ()))
    roster = load_kit(kit).roster
    if out.exists():
        raise SessionFileExists(
            "there is a session already",
            hint="a session's terms never change: choose another file",
            location=str(out),
        )
    with placed(config, overrides or ()):
        manifest = pin_session(run_config, roster, weights)
    manifest.write(out)
    output.say(f"Session {manifest.session_id.hex()} of {manifest.federation} in {out}:")
    output.say(f"  {manifest.rounds} rounds of {', '.join(manifest.sites)}")
    output.result(
        {
            "session": manifest.session_id.hex(),
            "path": str(out),
            "federation": manifest.federation,
            "sites": list(manifest.sites),
            "rounds": manifest.rounds,
        }
    )


def _weight(text: str) -> tuple[str, int]:
    site, equals, count = text.partition("=")
    if not equals or not count.isascii() or not count.isdigit() or int(count) < 1:
        raise BadWeight(f"{text!r} is not SITE=RECORDS", hint="for example --weight st-anna=1200")
    return site, int(count)
