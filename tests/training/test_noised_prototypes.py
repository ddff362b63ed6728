"""Prototypes of a private site: what is summed, what it is charged for, and what stays away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedmrg_secure.core.config import ModelConfig, RunConfig, UpdateConfig
from fedmrg_secure.core.privacy_terms import privacy_terms
from fedmrg_secure.core.types import Status
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.contrast import head_anchors
from fedmrg_secure.model.report_generator import (
    PROTOTYPES,
    ReportGenerator,
    build_report_generator,
)
from fedmrg_secure.privacy.accountant import account
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.noised_prototypes import noised_prototypes
from fedmrg_secure.training.private_step import PrivateTraining
from fedmrg_secure.training.site_trainer import SiteTrainer
from fedmrg_secure.update.factorization import make_factorization

HARDLY = 1e-6
"""Noise far below what is compared."""


def _config(boosting: str = "one_way", **privacy: float) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "prototypes",
            "data": {"source": "phantom", "image_size": 32},
            "model": {"feature_width": 16, "visual_tokens": 4, "anchors": "prototype"},
            "training": {"rounds": 3, "local_steps": 2, "batch_size": 4, "boosting": boosting},
            "update": {"rank": 2, "factorization": "ffa"},
            "privacy": {"population": 5, "expected_batch": 5, "delta": 1e-3, **privacy},
        }
    )


def _generator(run: RunConfig) -> ReportGenerator:
    return build_report_generator(
        ModelConfig.model_validate(run.model.model_dump()),
        UpdateConfig.model_validate(run.update.model_dump()),
        image_size=32,
        seed=4,
    )


def _private(run: RunConfig, noise: float) -> PrivateTraining:
    return PrivateTraining(privacy_terms(run, "a"), noise, NoiseStream.fresh())


def _of_patients(records: Sequence[Record], *sizes: int) -> list[Record]:
    """The records dealt to patients who have so many of them."""
    names = [f"p{place}" for place, size in enumerate(sizes) for _ in range(size)]
    return [replace(record, patient_id=name) for record, name in zip(records, names, strict=False)]


def test_each_patients_sum_is_clipped_to_one_and_divided_by_a_public_number(
    records: tuple[Record, ...],
) -> None:
    run = _config(noise_multiplier=HARDLY)
    generator = _generator(run)
    own = _of_patients(records, 3, 1, 2)
    found = noised_prototypes(generator, own, _private(run, HARDLY), ImageCache(32), 4)
    batch = make_batch(own, ImageCache(32), generator)
    z_g, _ = generator.features(batch.images)
    expected = np.zeros(found.shape)
    clipped = 0
    for patient in ("p0", "p1", "p2"):
        total = np.zeros(found.shape)
        for row, record in enumerate(own):
            if record.patient_id == patient:
                positive = batch.statuses[row] == Status.POSITIVE
                total[positive] += z_g[row].numpy() / max(1, int(positive.sum())) ** 0.5
        norm = np.linalg.norm(total)
        clipped += norm > 1.01
        expected += total / max(1.0, norm)
    assert clipped, "else the bound is not tried"
    np.testing.assert_allclose(found.numpy(), expected / 5, atol=1e-4)


def test_the_noise_is_a_steps_whoever_is_there() -> None:
    run = _config(noise_multiplier=3.0)
    generator = _generator(run)
    drawn = [
        noised_prototypes(generator, (), _private(run, 3.0), ImageCache(32), 4) for _ in range(8)
    ]
    spread = float(torch.stack(drawn).std())
    assert spread == pytest.approx(3.0 / 5, rel=0.1)  # of 8 x 14 x 16 values


@pytest.mark.parametrize("boosting", ["one_way", "joint"])
def test_a_round_is_charged_for_it_and_the_sites_own_anchors_are_its_heads(
    records: tuple[Record, ...], boosting: str
) -> None:
    run = _config(boosting, noise_multiplier=2.0)
    generator = _generator(run)
    shared = generator.shared_state()
    factorization = make_factorization(run.update, {n: v.shape for n, v in shared.items()})
    trainer = SiteTrainer("a", generator, records, (), run, factorization)
    event = trainer.privacy_event(1)
    assert event is not None
    assert event.steps == 3  # two of the optimiser, and one
    assert privacy_terms(run, "a").steps == 9
    update = trainer.train_round(1, factorization.initial(shared)).vector
    layout = factorization.layouts[0]
    sent = layout.unflatten(update[: layout.size])[PROTOTYPES]
    assert np.abs(sent).min() > 0, "noise on every value"
    own = trainer.memory["specialized.anchors"]
    assert np.array_equal(own, head_anchors(generator.diagnosis, 16).numpy())


def test_the_target_is_met_with_the_further_steps() -> None:
    run = _config(target_epsilon=2.0)
    assert run.privacy is not None
    generator = _generator(run)
    shared = generator.shared_state()
    factorization = make_factorization(run.update, {n: v.shape for n, v in shared.items()})
    trainer = SiteTrainer("a", generator, (), (), run, factorization)
    events = [event for n in (1, 2, 3) if (event := trainer.privacy_event(n))]
    assert 1.98 < account(events, run.privacy.delta).epsilon <= 2.0


def test_an_event_covers_the_larger_of_both_noises() -> None:
    """The coupling with Gaussian noise counts values."""
    run = _config(noise_multiplier=1.0)
    generator = _generator(run)
    for parameter in generator.shared_parameters().values():
        parameter.requires_grad_(False)
    shared = {"diagnosis.linear.bias": generator.shared_state()["diagnosis.linear.bias"]}
    factorization = make_factorization(run.update, {n: v.shape for n, v in shared.items()})
    trainer = SiteTrainer("a", generator, (), (), run, factorization)
    event = trainer.privacy_event(1)
    assert event is not None
    assert event.noise.coordinates == generator.prototypes.numel() > 56
