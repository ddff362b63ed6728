"""The federation in one process: means of local training, bounds, and what sites keep."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from fedmrg_secure.benchmark.simulate import (
    SimulatedRound,
    SimulationResult,
    simulate_federation,
)
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.training.seeds import round_seed
from fedmrg_secure.training.trainer import train_locally

SITES = ("cedar-valley-clinic", "harbour-view-infirmary")
PLAIN = {"adapters": "generic", "feature_width": 32}


def config(
    model: dict[str, Any] = PLAIN,
    training: dict[str, Any] | None = None,
    update: dict[str, Any] | None = None,
) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "simulated",
            "seed": 4,
            "data": {"source": "phantom", "image_size": 32, "patients_per_centre": 12},
            "model": model,
            "training": {"rounds": 2, "local_steps": 2, "batch_size": 4, **(training or {})},
            "update": {"factorization": "ffa", "clip_norm": 50.0, **(update or {})},
            "secure_aggregation": {
                "scheme": "insecure-plaintext",
                "acknowledge_plaintext": True,
            },
        }
    )


def build(run: RunConfig) -> ReportGenerator:
    return build_report_generator(run.model, run.update, image_size=32, seed=run.seed)


@pytest.fixture(scope="module")
def records() -> dict[str, tuple[Record, ...]]:
    torch.set_num_threads(1)
    return {site: load_centre(config().data, site).train for site in SITES}


def locally(run: RunConfig, records: tuple[Record, ...], site: str) -> dict[str, np.ndarray]:
    generator = build(run)
    train_locally(
        generator, records, run.training, image_size=32, seed=round_seed(run.seed, site, 1)
    )
    return generator.shared_state()


@pytest.mark.parametrize("shares", [None, (Fraction(1), Fraction(1, 3))])
def test_a_round_is_the_weighted_mean_of_local_training(
    records: dict[str, tuple[Record, ...]], shares: tuple[Fraction, Fraction] | None
) -> None:
    run = config()
    ends = [locally(run, records[site], site) for site in SITES]
    weights = [1.0, 1.0] if shares is None else [float(share) for share in shares]
    generator = build(run)
    rounds: list[SimulatedRound] = []
    result = simulate_federation(
        generator,
        records,
        run,
        weights=None if shares is None else dict(zip(SITES, shares, strict=True)),
        on_round=rounds.append,
    )
    assert [one.number for one in rounds] == [1, 2]
    step = run.update.clip_norm / 2**run.update.precision_bits
    bound = step * len(SITES) / (2 * sum(weights)) + 1e-6
    for name, value in rounds[0].state.items():
        mean = np.average([end[name] for end in ends], axis=0, weights=weights)
        assert np.abs(value - mean).max() <= bound, name
    held = generator.shared_state()
    assert all(np.array_equal(result.state[name], held[name]) for name in held)


def test_one_site_alone_is_local_training(records: dict[str, tuple[Record, ...]]) -> None:
    site = SITES[0]
    run = config(training={"rounds": 1})
    alone = locally(run, records[site], site)
    final = simulate_federation(build(run), {site: records[site]}, run).state
    step = run.update.clip_norm / 2**run.update.precision_bits
    assert all(np.abs(final[name] - alone[name]).max() <= step for name in alone)


def test_an_update_moves_the_model_no_further_than_its_bound(
    records: dict[str, tuple[Record, ...]],
) -> None:
    run = config(training={"rounds": 1}, update={"clip_norm": 0.5})
    generator = build(run)
    start = generator.shared_state()
    rounds: list[SimulatedRound] = []
    final = simulate_federation(generator, records, run, on_round=rounds.append).state
    moved = np.concatenate([(final[name] - start[name]).ravel() for name in start])
    assert max(rounds[0].update_norms.values()) <= 0.5
    assert min(rounds[0].update_norms.values()) > 0.49
    assert float(np.linalg.norm(moved.astype(np.float64))) <= 0.5 * 1.001


def same(first: SimulationResult, second: SimulationResult) -> bool:
    states = [(first.state, second.state)]
    states += [(first.memories[site], second.memories[site]) for site in first.memories]
    return all(
        one.keys() == two.keys() and all(np.array_equal(one[n], two[n]) for n in one)
        for one, two in states
    )


def test_the_whole_method_repeats_itself_and_each_site_keeps_its_own(
    records: dict[str, tuple[Record, ...]],
) -> None:
    run = config({"feature_width": 32}, update={"factorization": "fedsvd", "refactor_every": 1})
    first = simulate_federation(build(run), records, run, validation=records)
    second = simulate_federation(build(run), records, run, validation=records)
    assert same(first, second)
    own = [first.memories[site] for site in SITES]
    moved = [name for name in own[0] if name.startswith("specialized.adapter")]
    assert moved
    assert any(not np.array_equal(own[0][name], own[1][name]) for name in moved)
    assert all(float(memory["specialized.mix"][0]) in (0, 0.25, 0.5, 0.75, 1) for memory in own)
    assert not any("specialized" in name or "drift" in name for name in first.state)


@pytest.mark.parametrize(
    "training",
    [{"moon_weight": 1.0}, {"proximal_weight": 5.0}, {"drift_correction": 0.0}],
    ids=lambda training: next(iter(training)),
)
def test_what_a_baseline_adds_changes_the_second_round_only_as_it_should(
    records: dict[str, tuple[Record, ...]], training: dict[str, float]
) -> None:
    """MOON and drift know nothing in the first round; the proximal term pulls from its second
    step on."""
    ends: list[list[SimulatedRound]] = []
    for changes in ({}, training):
        run = config(training=changes)
        rounds: list[SimulatedRound] = []
        simulate_federation(build(run), records, run, on_round=rounds.append)
        ends.append(rounds)
    equal = [
        all(np.array_equal(one.state[n], two.state[n]) for n in one.state)
        for one, two in zip(*ends, strict=True)
    ]
    assert equal == ([False, False] if "proximal_weight" in training else [True, False])
