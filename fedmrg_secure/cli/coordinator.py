"""`fedmrg coordinator serve`: the aggregator's half of a deployment.

Stdout carries one JSON object a line, for supervisors; errors go to stderr.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedmrg_secure.coordinator.session import Session

_LOG_FOLDER = "log"
_KIT_FOLDER = "kit"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(no_args_is_help=True, help="The coordinator: adds what it cannot open.")
    group.command("serve")(serve)
    group.callback()(_group)
    app.add_typer(group, name="coordinator")


def _group() -> None:
    """Keep `serve` a subcommand although it is the only one."""


def serve(
    folder: Annotated[
        Path, typer.Argument(help="Holds kit/ and session.json; gets the state, blobs and log.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    farewell_s: Annotated[
        float,
        typer.Option(
            min=0,
            help="How long an ended session waits for its sites to hear of it and to fetch what "
            "they missed; anew with every piece of a sum that one fetches.",
        ),
    ] = 20.0,
) -> None:
    """Run the session in FOLDER until it ends; go on with it after a stop or a crash.

    SIGTERM stops after the calls under way; SIGHUP reads the kit's roster anew.

    Example:

      fedmrg coordinator serve /srv/fedmrg/coordinator --host 0.0.0.0 --port 7443
    """
    from fedmrg_secure.audit_log.checkpoint import log_origin
    from fedmrg_secure.audit_log.log import AuditLog
    from fedmrg_secure.coordinator.folder import locked
    from fedmrg_secure.coordinator.serve import open_session, serve_session
    from fedmrg_secure.core.logging import configure_logging
    from fedmrg_secure.provisioning.site_kit import load_kit

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    kit = load_kit(folder / _KIT_FOLDER)
    identity = kit.identity
    configure_logging(level="warning", party=identity.name)
    with (
        locked(folder),
        AuditLog.open(
            folder / _LOG_FOLDER,
            log_origin(identity.federation, identity.name),
            identity.signing_key,
        ) as log,
    ):
        session = open_session(folder, kit.roster, log, report)
        _reload_on_hangup(folder, session)
        serve_session(
            session,
            identity,
            host=host,
            port=port,
            stop=stop,
            on_serving=lambda bound: report({"event": "serving", "host": host, "port": bound}),
            farewell_s=farewell_s,
        )
        if stop.is_set() and not session.ledger.state.ended:
            report({"event": "stopped"})


def _reload_on_hangup(folder: Path, session: Session) -> None:
    """On SIGHUP put the kit's newer roster into force; a bad one changes nothing."""
    from fedmrg_secure.core.errors import FedmrgError
    from fedmrg_secure.provisioning.site_kit import load_kit

    asked = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: asked.set())

    def reload() -> None:
        while True:
            asked.wait()
            asked.clear()
            try:
                session.adopt_roster(load_kit(folder / _KIT_FOLDER).roster)
            except FedmrgError as error:
                print(error.explain(), file=sys.stderr)  # noqa: T201

    threading.Thread(target=reload, name="roster-reload", daemon=True).start()


def report(event: Mapping[str, Any]) -> None:
    """One JSON line on stdout; a reader that has gone away does not end the session."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        return
