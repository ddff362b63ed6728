"""What a private run would cost each site's patients: worked out from public numbers alone.

No record is read: the configuration, the model's shape and the site's ledger say everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from fedmrg_secure.client.privacy import site_ledger_path
from fedmrg_secure.core.config import ManifestData, PhantomData, RunConfig
from fedmrg_secure.core.types import party_name
from fedmrg_secure.data.task import describe_task
from fedmrg_secure.model.report_generator import build_report_generator
from fedmrg_secure.privacy.accountant import epsilon
from fedmrg_secure.privacy.events import PrivacyEvent
from fedmrg_secure.privacy.ledger import LedgerView, read_ledger
from fedmrg_secure.training.private_checks import check_privately_trainable
from fedmrg_secure.training.private_plan import pass_event, plan_private_training
from fedmrg_secure.training.private_step import PrivateTraining
from fedmrg_secure.update.factorization import make_factorization

LARGE_EPSILON: Final = 8.0
"""Above it, the bound says little: it allows odds to change by more than e^8."""
EVERY_SITE: Final = "every site"


@dataclass(frozen=True, slots=True)
class SiteForecast:
    """One site's part of a run that has not begun.

    Attributes:
        site: party name, or `EVERY_SITE` where no names are known before data is read.
        private: the site's constants and noise.
        epsilon: of the whole run by itself.
        budget: what the data set may lose in all runs: the stricter of configuration and ledger.
        spent: what the ledger has; 0 without one.
        epsilon_after: of all that the ledger has, the run included.
        ledger: where one is, else None: the run begins one.
    """

    site: str
    private: PrivateTraining
    epsilon: float
    budget: float
    spent: float
    epsilon_after: float
    ledger: Path | None

    @property
    def fits(self) -> bool:
        """Whether the site can go through the whole run."""
        return self.epsilon_after <= self.budget

    def to_json(self) -> dict[str, Any]:
        terms = self.private.terms
        return {
            "unit": terms.unit,
            "epsilon": self.epsilon,
            "delta": terms.delta,
            "noise_multiplier": self.private.noise_multiplier,
            "population": terms.population,
            "sampling_rate": terms.sampling_rate,
            "steps": terms.steps,
            "clip_norm": terms.clip_norm,
            "budget": self.budget,
            "spent": self.spent,
            "remaining": max(0.0, self.budget - self.spent),
            "epsilon_after": self.epsilon_after,
            "ledger": None if self.ledger is None else str(self.ledger),
        }


def forecast(
    config: RunConfig, *, site: str | None = None, folder: Path | None = None
) -> tuple[SiteForecast, ...]:
    """The cost of a run by site; empty without a `privacy` section.

    Args:
        config: of the run, or of one site.
        site: party name, to forecast for this one alone.
        folder: that site's own folder; None where a run makes the sites' folders anew.

    Raises:
        NotPrivatelyTrainable: the model cannot be trained privately.
        BudgetCannotBeMet: no noise reaches `privacy.target_epsilon`.
        LedgerBroken, LedgerCopied, LedgerLocked: see `privacy.ledger.read_ledger`.
    """
    if config.privacy is None:
        return ()
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    check_privately_trainable(generator, config.training)
    shared = generator.shared_state()
    factorization = make_factorization(
        config.update, {name: values.shape for name, values in shared.items()}
    )
    passes = range(1, config.training.rounds * factorization.passes + 1)
    found = []
    for name in [site] if site else _sites(config):
        private = plan_private_training(config, name)
        made = [pass_event(generator, factorization, config, private, each) for each in passes]
        events = tuple(event for event in made if event is not None)
        found.append(_with_ledger(config, name, private, events, folder))
    return tuple(found)


def warnings(forecasts: Sequence[SiteForecast]) -> list[str]:
    """What a person should know before starting, a sentence each."""
    said = []
    for each in forecasts:
        if not each.fits:
            left = max(0.0, each.budget - each.spent)
            said.append(
                f"{each.site}: the run would bring its data to epsilon {each.epsilon_after:.3f}; "
                f"the budget is {each.budget:g}, of which {left:.3f} is left: it would stop before "
                "the end"
            )
    largest = max((each.epsilon for each in forecasts), default=0.0)
    if largest > LARGE_EPSILON:
        said.append(
            f"epsilon {largest:.3g} is above {LARGE_EPSILON:g}: at that size the bound says little"
        )
    if any(each.private.terms.unit == "record" for each in forecasts):
        said.append(
            "privacy.unit is record: a patient with k records loses more than k times as much; "
            "privacy.unit: patient protects the patient"
        )
    return said


def _sites(config: RunConfig) -> list[str]:
    """Who trains, as far as it is known without reading data."""
    data = config.data
    if config.federation.sites is not None:
        return sorted(map(party_name, config.federation.sites))
    if isinstance(data, PhantomData):
        return sorted(describe_task(data).participating)
    listed = data if isinstance(data, ManifestData) else data.centres
    if listed is not None and listed.participating:
        return sorted(map(party_name, listed.participating))
    return [EVERY_SITE]


def _with_ledger(
    config: RunConfig,
    site: str,
    private: PrivateTraining,
    events: tuple[PrivacyEvent, ...],
    folder: Path | None,
) -> SiteForecast:
    assert config.privacy is not None, "asked of a private run"
    delta, budget = private.terms.delta, config.privacy.budget
    alone = _epsilon(events, delta)
    path, view = _ledger(config, site, folder)
    if view is None:
        return SiteForecast(site, private, alone, budget, 0.0, alone, None)
    before = tuple(spending.event for spending in view.spendings)
    return SiteForecast(
        site=site,
        private=private,
        epsilon=alone,
        budget=min(budget, view.budget),
        spent=view.account.epsilon,
        epsilon_after=_epsilon(before + events, delta),
        ledger=path,
    )


def _ledger(
    config: RunConfig, site: str, folder: Path | None
) -> tuple[Path | None, LedgerView | None]:
    assert config.privacy is not None, "asked of a private run"
    if site == EVERY_SITE or (folder is None and config.privacy.ledgers is None):
        return None, None
    path = site_ledger_path(config, site, folder or Path())
    return (path, read_ledger(path)) if path.exists() else (None, None)


@lru_cache(maxsize=64)
def _epsilon(events: tuple[PrivacyEvent, ...], delta: float) -> float:
    return epsilon(events, delta)
