from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from fedmrg_secure.core.config import ModelConfig, PhantomData, TrainingConfig, UpdateConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.federation.simulate import SimulatedRound, simulate_federation
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.training.seeds import round_seed
from fedmrg_secure.training.trainer import train_locally

SITES = ("cedar-valley-clinic", "harbour-view-infirmary")
TRAINING = TrainingConfig(rounds=2, local_steps=2, batch_size=4)
UPDATE = UpdateConfig(clip_norm=50.0)


@pytest.fixture(scope="module")
def records() -> dict[str, tuple[Record, ...]]:
    torch.set_num_threads(1)
    data = PhantomData(source="phantom", image_size=32, patients_per_centre=12)
    return {site: load_centre(data, site).train for site in SITES}


@pytest.fixture
def generator() -> ReportGenerator:
    return build_report_generator(ModelConfig(), UPDATE, image_size=32, seed=4)


def _locally(
    generator: ReportGenerator, records: tuple[Record, ...], site: str, start: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    generator.load_shared_state(start)
    train_locally(generator, records, TRAINING, image_size=32, seed=round_seed(4, site, 1))
    return generator.shared_state()


@pytest.mark.parametrize("shares", [None, (Fraction(1), Fraction(1, 3))])
def test_a_round_is_the_weighted_mean_of_local_training(
    generator: ReportGenerator,
    records: dict[str, tuple[Record, ...]],
    shares: tuple[Fraction, Fraction] | None,
) -> None:
    start = generator.shared_state()
    ends = [_locally(generator, records[site], site, start) for site in SITES]
    weights = [1.0, 1.0] if shares is None else [float(share) for share in shares]
    generator.load_shared_state(start)
    rounds: list[SimulatedRound] = []
    final = simulate_federation(
        generator,
        records,
        TRAINING,
        UPDATE,
        image_size=32,
        seed=4,
        weights=None if shares is None else dict(zip(SITES, shares, strict=True)),
        on_round=rounds.append,
    )
    assert [one.number for one in rounds] == [1, 2]
    step = UPDATE.clip_norm / 2**UPDATE.precision_bits
    bound = step * len(SITES) / (2 * sum(weights)) + 1e-6
    for name, value in rounds[0].state.items():
        mean = np.average([end[name] for end in ends], axis=0, weights=weights)
        assert np.abs(value - mean).max() <= bound, name
    held = generator.shared_state()
    assert all(np.array_equal(final[name], held[name]) for name in final)


def test_one_site_alone_is_local_training(
    generator: ReportGenerator, records: dict[str, tuple[Record, ...]]
) -> None:
    site = SITES[0]
    start = generator.shared_state()
    alone = _locally(generator, records[site], site, start)
    generator.load_shared_state(start)
    once = TRAINING.model_copy(update={"rounds": 1})
    final = simulate_federation(
        generator, {site: records[site]}, once, UPDATE, image_size=32, seed=4
    )
    step = UPDATE.clip_norm / 2**UPDATE.precision_bits
    assert all(np.abs(final[n] - alone[n]).max() <= step for n in final)


def test_an_update_moves_the_model_no_further_than_its_bound(
    generator: ReportGenerator, records: dict[str, tuple[Record, ...]]
) -> None:
    start = generator.shared_state()
    tight = UpdateConfig(clip_norm=0.5)
    once = TRAINING.model_copy(update={"rounds": 1})
    rounds: list[SimulatedRound] = []
    final = simulate_federation(
        generator, records, once, tight, image_size=32, seed=4, on_round=rounds.append
    )
    moved = np.concatenate([(final[name] - start[name]).ravel() for name in final])
    assert min(rounds[0].update_norms.values()) > 0.5
    assert float(np.linalg.norm(moved.astype(np.float64))) <= 0.5 * 1.001
