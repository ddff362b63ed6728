"""What a configuration promises the patients of one site: public numbers, never counted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedmrg_secure.core.config import PhantomData, PrivacyConfig, RunConfig


@dataclass(frozen=True, slots=True)
class PrivacyTerms:
    """The public constants of one site's private training; nothing here is counted on its data.

    Attributes:
        unit: who is protected, under add/remove of one.
        delta: of the guarantee.
        population: units that the site is said to train on.
        sampling_rate: q, the chance of each unit to be in a step.
        expected_batch: units of one step on average, what a step's noised sum is divided by.
        steps: noised steps of the whole run.
        steps_per_round: of one training round: the optimiser's, and one for class prototypes where
            they are sent.
        max_records: of one unit in one step.
        clip_norm: L2 bound C on what one unit adds to a step's sum.
    """

    unit: Literal["patient", "record"]
    delta: float
    population: int
    sampling_rate: float
    expected_batch: float
    steps: int
    steps_per_round: int
    max_records: int
    clip_norm: float


def privacy_terms(config: RunConfig, site: str) -> PrivacyTerms:
    """The terms of a run with a `privacy` section for one site, by party name.

    Raises:
        ValueError: the section is absent, or no population is given for the site;
            `core.config_checks` finds both.
    """
    privacy = config.privacy
    population = None if privacy is None else public_population(config, site)
    if privacy is None or population is None:
        raise ValueError(f"there are no privacy terms for {site}")
    training = config.training
    steps = training.local_steps + (config.model.anchors == "prototype")
    return PrivacyTerms(
        unit=privacy.unit,
        delta=privacy.delta,
        population=population,
        sampling_rate=min(1.0, privacy.expected_batch / population),
        expected_batch=privacy.expected_batch,
        steps=training.rounds * steps,
        steps_per_round=steps,
        max_records=privacy.max_records if privacy.unit == "patient" else 1,
        clip_norm=privacy.clip_norm,
    )


def public_population(config: RunConfig, site: str) -> int | None:
    """How many units a site is said to train on; None where nothing says so."""
    privacy = config.privacy or PrivacyConfig()
    if isinstance(privacy.population, int):
        return privacy.population
    if privacy.population is not None:
        return privacy.population.get(site)
    if isinstance(config.data, PhantomData):
        return max(1, round(config.data.patients_per_centre * config.data.splits.train))
    return None
