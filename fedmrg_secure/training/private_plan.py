"""How much noise a site's private training takes, and what a round of it costs."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.privacy_terms import PrivacyTerms, privacy_terms
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.privacy.accountant import BudgetCannotBeMet, calibrate
from fedmrg_secure.privacy.events import PoissonSampling, PrivacyEvent
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.dp_trainer import noised_parts
from fedmrg_secure.training.private_step import PrivateTraining
from fedmrg_secure.training.private_sum import coordinates, noise_of
from fedmrg_secure.update.factorization import Factorization

MOST_NOISE: Final = 256
"""What the grid has room for: `mechanism.MAX_SIGMA` over `grid.SENSITIVITY`."""


def plan_private_training(config: RunConfig, site: str) -> PrivateTraining:
    """The private training of one site, with a fresh secret stream.

    Args:
        config: with a `privacy` section.
        site: party name.

    Raises:
        BudgetCannotBeMet: no noise reaches `privacy.target_epsilon`.
    """
    terms = privacy_terms(config, site)
    return PrivateTraining(terms, noise_multiplier(config, terms), NoiseStream.fresh())


def noise_multiplier(config: RunConfig, terms: PrivacyTerms) -> float:
    """As the configuration gives it, or the least that meets its target over the whole run."""
    privacy = config.privacy
    assert privacy is not None, "asked of a private run"
    if privacy.noise_multiplier is not None:
        return privacy.noise_multiplier
    assert privacy.target_epsilon is not None, "one of the two is given"
    found = _calibrated(privacy.target_epsilon, terms.delta, terms.sampling_rate, terms.steps)
    if found > MOST_NOISE:
        raise BudgetCannotBeMet(
            f"epsilon {privacy.target_epsilon:g} takes noise of {found:g} times the clip bound; "
            f"{MOST_NOISE} is the most",
            hint="take fewer steps, a smaller sampling rate, or a larger target",
        )
    return found


def pass_event(
    generator: ReportGenerator,
    factorization: Factorization,
    config: RunConfig,
    private: PrivateTraining,
    number: int,
) -> PrivacyEvent | None:
    """What one pass does to a unit's privacy, as the accountant sees it; None where it trains not.

    Args:
        generator: the model; what requires gradients in it is set as the pass needs it.
        factorization: what leaves the site.
        config: with a `privacy` section.
        private: constants and noise.
        number: of the pass, 1, 2, ...
    """
    if not factorization.trains(number):
        return None
    generator.set_trainable(factorization.trainable(number))
    size = coordinates(noised_parts(generator, config.training))
    if config.model.anchors == "prototype":
        size = max(size, generator.prototypes.numel())  # the step of these has noise of its own
    sampling = PoissonSampling(private.terms.sampling_rate)
    noise = noise_of(private.noise_multiplier, size)
    return PrivacyEvent(noise, sampling, private.terms.steps_per_round)


@lru_cache(maxsize=64)
def _calibrated(target_epsilon: float, delta: float, rate: float, steps: int) -> float:
    return calibrate(target_epsilon, delta, rate, steps)
