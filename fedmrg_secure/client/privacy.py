"""Which ledger a site's private training is charged to, and where it remembers the others'."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedmrg_secure.client.peer_ledgers import PeerLedgers
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.privacy_terms import privacy_terms
from fedmrg_secure.privacy.ledger import Ledger, ledger_path

LEDGERS: Final = "ledgers"
"""Folder beside a site's kit."""


def site_ledger_path(config: RunConfig, site: str, folder: Path) -> Path:
    """Where the ledger of a site's data lies, for a configuration with a `privacy` section.

    Args:
        config: of the site.
        site: party name.
        folder: the site's own, with kit and state.
    """
    privacy = config.privacy
    assert privacy is not None, "asked of a private run"
    ledgers = folder / LEDGERS if privacy.ledgers is None else privacy.ledgers / site
    dataset = privacy.dataset or config.data.source
    return ledger_path(ledgers, dataset, privacy.unit, privacy.delta)


def open_peer_ledgers(
    config: RunConfig, site: str, federation: str, folder: Path
) -> PeerLedgers | None:
    """What a site knows of the others' ledgers, beside its own; None without a `privacy` section.

    Args:
        config, site, folder: as for `site_ledger_path`.
        federation: its name.
    """
    if config.privacy is None:
        return None
    ledgers = site_ledger_path(config, site, folder).parent
    return PeerLedgers(site, federation, folder / "state", ledgers)


def open_ledger(config: RunConfig, site: str, folder: Path) -> Ledger | None:
    """The ledger of a site's data, begun if there is none; None without a `privacy` section.

    Args:
        config, site, folder: as for `site_ledger_path`.

    Raises:
        LedgerBroken, LedgerCopied, LedgerMismatch, DeltaTooLarge: see `Ledger.open`.
    """
    privacy = config.privacy
    if privacy is None:
        return None
    return Ledger.open(
        site_ledger_path(config, site, folder),
        dataset=privacy.dataset or config.data.source,
        unit=privacy.unit,
        delta=privacy.delta,
        budget=privacy.budget,
        units=privacy_terms(config, site).population,
    )
