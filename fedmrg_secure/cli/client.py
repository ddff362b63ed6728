"""``fedmrg client run``: one site's agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="A site of a federation.")
    group.command("run")(run)
    app.add_typer(group, name="client")


def run(
    folder: Annotated[
        Path,
        typer.Argument(help="The site's folder: kit/ and config.yaml; gets state/ and log/."),
    ],
    coordinator: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the coordinator listens.")
    ],
) -> None:
    """Take part in a session until it ends: train, encrypt, upload, open, verify, apply.

    The site may be stopped and started at any time: it goes on from its own state. Progress is
    printed as JSON lines; the loss stays on this machine.

    Example:

      fedmrg client run /srv/fedmrg/st-anna --coordinator aggregator.example:7443
    """
    from fedmrg_secure.client.agent import run_site
    from fedmrg_secure.core.logging import configure_logging
    from fedmrg_secure.core.yaml_source import load_run_config
    from fedmrg_secure.provisioning.site_kit import load_kit

    kit = load_kit(folder / "kit")
    configure_logging(level="warning", party=kit.identity.name)
    config = load_run_config(folder / "config.yaml")
    run_site(kit.identity, kit.roster, config, folder, coordinator)
