"""What a private run has cost each site's patients, by the sites' own ledgers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedmrg_secure.client.privacy import site_ledger_path
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.privacy_terms import privacy_terms
from fedmrg_secure.privacy.accountant import epsilon
from fedmrg_secure.privacy.ledger import LedgerView, read_ledger
from fedmrg_secure.privacy.ledger_file import HEAD_SUFFIX


def privacy_spent(
    config: RunConfig, session: str, folders: dict[str, Path]
) -> dict[str, dict[str, Any]]:
    """Each site's cost as JSON, by party name; empty without a `privacy` section.

    ``epsilon`` is of this run alone, with every round that was begun, those that a kill cut short
    included; ``spent`` is of all that the data set was ever used for. A ledger that cannot be read
    does not keep the run's other results back: its site has ``unreadable``, the error's code, and
    ``reason``.

    Args:
        config: of the run.
        session: of the run, hex, as the ledgers name it.
        folders: each site's own folder.
    """
    if config.privacy is None:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for site, folder in folders.items():
        path = site_ledger_path(config, site, folder)
        if not path.exists() and not path.with_name(path.name + HEAD_SUFFIX).exists():
            continue  # a site that never started has spent nothing
        try:
            found[site] = _of_ledger(config, session, site, read_ledger(path))
        except FedmrgError as error:
            found[site] = {"unreadable": error.code, "reason": error.message}
        except OSError as error:
            found[site] = {"unreadable": "file", "reason": str(error.strerror)}
    return found


def _of_ledger(config: RunConfig, session: str, site: str, view: LedgerView) -> dict[str, Any]:
    assert config.privacy is not None, "asked of a private run"
    terms = privacy_terms(config, site)
    events = [spending.event for spending in view.spendings if spending.run == session]
    budget = min(view.budget, config.privacy.budget)
    return {
        "unit": view.unit,
        "delta": view.delta,
        "epsilon": epsilon(events, view.delta),
        "rounds": len(events),
        "noise_multiplier": events[0].noise.noise_multiplier if events else 0.0,
        "sampling_rate": terms.sampling_rate,
        "population": terms.population,
        "spent": view.account.epsilon,
        "budget": budget,
        "remaining": max(0.0, budget - view.account.epsilon),
    }
