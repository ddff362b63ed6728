"""What is audited: an epsilon that a run would claim, with the noise such a run would draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fedmrg_secure.core.config import PhantomData, PrivacyConfig, RunConfig, TrainingConfig
from fedmrg_secure.core.privacy_terms import PrivacyTerms
from fedmrg_secure.privacy.accountant import Account, account
from fedmrg_secure.privacy.events import PoissonSampling, PrivacyEvent
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.privacy_audit.gaussian import mu_of
from fedmrg_secure.training.private_plan import plan_private_training
from fedmrg_secure.training.private_step import PrivateTraining
from fedmrg_secure.training.private_sum import noise_of

STEPS: Final = 4
"""Noised steps of an audited run; the claim is for all of them together."""

_SITE: Final = "audited"
_CLIP_NORM: Final = 0.5
"""Not 1, so that a bound that is forgotten somewhere shows."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An (epsilon, delta) for each patient, as a configuration asks for it.

    Attributes:
        epsilon, delta: for adding or removing one patient, over `STEPS` steps.
        terms: of the audited runs, with every patient in every step.
        noise_multiplier: what a run with this target draws.
        account: what the accountants say of that.
        mu: the Gaussian-DP parameter that the claim stands for.
    """

    epsilon: float
    delta: float
    terms: PrivacyTerms
    noise_multiplier: float
    account: Account
    mu: float

    def fresh(self) -> PrivateTraining:
        """The private training of one audited run, with a stream of its own."""
        return PrivateTraining(self.terms, self.noise_multiplier, NoiseStream.fresh())

    def among(self, population: int, expected_batch: float) -> PrivateTraining:
        """The same noise at a site of another public population, with another rate."""
        terms = replace(
            self.terms,
            population=population,
            expected_batch=expected_batch,
            sampling_rate=min(1.0, expected_batch / population),
        )
        return replace(self.fresh(), terms=terms)

    @property
    def accountant(self) -> str:
        """Whose epsilon is charged: the smaller of the two upper bounds."""
        return "PRV" if self.account.prv <= self.account.rdp else "RDP"


def make_claim(epsilon: float, delta: float, population: int, coordinates: int) -> Claim:
    """Plan the noise for an epsilon as `fedmrg run` does, from a configuration.

    Args:
        epsilon, delta: the target, 0 < delta < 1 / population.
        population: patients of the audited site.
        coordinates: values that get noise.

    Raises:
        BudgetCannotBeMet: no noise reaches it.
        AccountantsDisagree: no epsilon is known for it.
    """
    config = RunConfig(
        name="mechanism-audit",
        data=PhantomData(source="phantom"),
        training=TrainingConfig(rounds=1, local_steps=STEPS),
        privacy=PrivacyConfig(
            target_epsilon=epsilon,
            delta=delta,
            population=population,
            expected_batch=population,
            clip_norm=_CLIP_NORM,
        ),
    )
    private = plan_private_training(config, _SITE)
    terms = private.terms
    noise = noise_of(private.noise_multiplier, coordinates)
    event = PrivacyEvent(noise, PoissonSampling(terms.sampling_rate), terms.steps)
    costs = account([event], delta)
    return Claim(epsilon, delta, terms, private.noise_multiplier, costs, mu_of(epsilon, delta))
