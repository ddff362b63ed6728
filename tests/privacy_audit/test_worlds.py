"""What an onlooker sees of canaries: nothing but noise of the stated size, and 1 where one is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedmrg_secure.privacy.accountant import epsilon
from fedmrg_secure.privacy.events import ContinuousNoise, EveryUnit, PrivacyEvent
from fedmrg_secure.privacy_audit.claim import STEPS, Claim, make_claim
from fedmrg_secure.privacy_audit.mutants import NoiseOff, PrivateNormaliser
from fedmrg_secure.privacy_audit.worlds import (
    ASIDE,
    WIDTH,
    bystander_energies,
    canary_runs,
    inclusions,
)
from fedmrg_secure.training.private_step import PrivateSteps

PRESENT = np.arange(WIDTH) % 2 == 0


@pytest.fixture(scope="module")
def claim() -> Claim:
    return make_claim(4.0, 1e-5, WIDTH // 2, WIDTH)


def test_a_claim_has_the_noise_of_a_run_with_this_target(claim: Claim) -> None:
    event = PrivacyEvent(ContinuousNoise(claim.noise_multiplier), EveryUnit(), STEPS)
    assert 0.99 * 4.0 < epsilon([event], 1e-5) <= 4.0
    assert claim.account.epsilon <= 4.0
    assert claim.terms.sampling_rate == 1.0
    assert claim.terms.steps == STEPS
    assert claim.terms.expected_batch == WIDTH // 2
    other = claim.among(1000, 50)
    assert other.terms.sampling_rate == 0.05
    assert other.noise_multiplier == claim.noise_multiplier


def test_without_noise_a_clipped_canary_adds_one_where_it_is(claim: Claim) -> None:
    seen = canary_runs(NoiseOff, claim, PRESENT, 1)
    np.testing.assert_allclose(seen[0], PRESENT, atol=1e-6)


def test_with_noise_its_size_is_what_the_claim_says(claim: Claim) -> None:
    seen = canary_runs(PrivateSteps, claim, PRESENT, 40)
    noise = seen - PRESENT
    sigma = claim.noise_multiplier / math.sqrt(STEPS)
    assert abs(noise.mean()) < 5 * sigma / math.sqrt(noise.size)
    assert abs(noise.std() / sigma - 1) < 5 / math.sqrt(2 * noise.size)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 5 / math.sqrt(WIDTH)


def test_bystanders_hear_the_public_divisor_and_not_the_number_of_patients(claim: Claim) -> None:
    loud = claim.noise_multiplier * claim.terms.clip_norm
    for patients in (0, 3):
        energies = bystander_energies(PrivateSteps, claim, patients, 20)
        spread = math.sqrt(2 / (ASIDE * 20))
        assert abs(energies.mean() - 2 * math.log(loud / 8)) < 5 * spread
        private = bystander_energies(PrivateNormaliser, claim, patients, 20)
        assert abs(private.mean() - 2 * math.log(loud / max(1, patients))) < 5 * spread
    assert bystander_energies(NoiseOff, claim, 1, 1)[0] < -700, "silence is a number too"


def test_each_patient_is_drawn_or_not_as_a_whole(claim: Claim) -> None:
    drawn = inclusions(PrivateSteps, claim, patients=200, expected_batch=50, steps=100)
    assert drawn.shape == (100, 200)
    assert abs(drawn.mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / drawn.size)
    assert inclusions(PrivateSteps, claim, patients=10, expected_batch=10, steps=3).all()
