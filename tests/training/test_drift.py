"""Drift correction: what is taken back, what is remembered, and that the mean does not change."""

from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.core.config import TrainingConfig, UpdateConfig
from fedmrg_secure.training.drift import (
    drift_shares,
    own_change,
    settle_drift,
    step_corrections,
)
from fedmrg_secure.update.factorization import Factorization, make_factorization

UP, DOWN = "adapter.generic.layer.lora_B", "adapter.generic.layer.lora_A"
SHARES = {UP: 1.0, "encoder.weight": 0.5}
STEPS = 4


def plain() -> Factorization:
    shapes = {UP: (6, 2), "encoder.weight": (3, 3)}
    return make_factorization(UpdateConfig(factorization="ffa", rank=2), shapes)


def state(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        UP: random.standard_normal((6, 2)).astype(np.float32),
        "encoder.weight": random.standard_normal((3, 3)).astype(np.float32),
    }


def one_round(
    memories: list[dict[str, np.ndarray]],
    before: dict[str, np.ndarray],
    gradients: list[dict[str, np.ndarray]],
    *,
    last: bool = True,
) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Sites that step along fixed gradients; gives the mean state and each site's own end."""
    ends = []
    for memory, gradient in zip(memories, gradients, strict=True):
        corrections = step_corrections(memory, SHARES, STEPS)
        end = {name: value + gradient[name] for name, value in before.items()}
        for name, correction in corrections.items():
            end[name] = end[name] + STEPS * correction.numpy()
        memory.update(own_change(before, end, memory, SHARES))
        ends.append(end)
    after = {name: np.mean([end[name] for end in ends], axis=0) for name in before}
    after = {name: value.astype(np.float32) for name, value in after.items()}
    for memory in memories:
        settle_drift(memory, before, after, plain().carried, included=True, last=last)
    return after, ends


def test_sites_that_always_pull_apart_end_near_each_other_and_the_mean_stays() -> None:
    base = state(0)
    common, own = state(1), state(2)
    pulls = [{name: common[name] + sign * own[name] for name in base} for sign in (1.0, -1.0)]
    memories: list[dict[str, np.ndarray]] = [{}, {}]
    distances = []
    for _ in range(20):
        after, ends = one_round(memories, base, pulls)
        for name in base:
            np.testing.assert_allclose(after[name] - base[name], common[name], atol=1e-5)
        distances.append(np.abs(ends[0][UP] - ends[1][UP]).max())
        base = after
    assert distances[-1] < 0.02 * distances[0]


def test_half_the_share_takes_back_half_the_drift() -> None:
    base, own = state(0), state(2)
    memories: list[dict[str, np.ndarray]] = [{}, {}]
    pulls = [{name: sign * own[name] for name in base} for sign in (1.0, -1.0)]
    for _ in range(40):
        base, ends = one_round(memories, base, pulls)
    left = (ends[0]["encoder.weight"] - ends[1]["encoder.weight"]) / (2 * own["encoder.weight"])
    np.testing.assert_allclose(left, 0.5, atol=1e-3)


def test_a_site_that_the_sum_went_on_without_keeps_only_what_it_knew_before() -> None:
    base = state(0)
    memory: dict[str, np.ndarray] = {}
    memory.update(own_change(base, state(1), memory, SHARES))
    settle_drift(memory, base, state(2), plain().carried, included=False, last=True)
    assert memory == {}
    known = {"drift.mean." + UP: np.ones((6, 2), dtype=np.float32)}
    settle_drift(known, base, state(2), plain().carried, included=False, last=True)
    np.testing.assert_array_equal(known["drift.mean." + UP], 1)


def test_a_round_of_two_passes_is_compared_as_one() -> None:
    base, between, after, end = state(0), state(1), state(2), state(3)
    twice = own_change(base, end, {}, SHARES)
    settle_drift(twice, base, between, plain().carried, included=True, last=False)
    settle_drift(twice, between, after, plain().carried, included=True, last=True)
    once = own_change(base, end, {}, SHARES)
    settle_drift(once, base, after, plain().carried, included=True, last=True)
    assert twice.keys() == once.keys() == {"drift.mean." + name for name in SHARES}
    for name in once:
        np.testing.assert_allclose(twice[name], once[name], atol=1e-5)


def test_drift_follows_the_basis_that_fedsvd_turns() -> None:
    random = np.random.default_rng(5)
    rows = np.linalg.qr(random.standard_normal((7, 2)))[0].T.astype(np.float32)
    before = {UP: random.standard_normal((6, 2)).astype(np.float32), DOWN: rows}
    config = UpdateConfig(factorization="fedsvd", refactor_every=1, rank=2)
    scheme = make_factorization(config, {name: value.shape for name, value in before.items()})
    after = scheme.apply(1, before, random.standard_normal(scheme.vector_size))
    assert not np.allclose(after[DOWN], before[DOWN])
    drift = random.standard_normal((6, 2)).astype(np.float32)
    memory = {"drift.mean." + UP: drift}
    settle_drift(memory, before, after, scheme.carried, included=True, last=True)
    turned = memory["drift.mean." + UP]
    np.testing.assert_allclose(turned @ after[DOWN], drift @ before[DOWN], atol=1e-5)


def test_no_share_means_no_memory() -> None:
    training = TrainingConfig(drift_correction=0, encoder_drift_correction=0)
    assert drift_shares(training, [UP, "encoder.weight"]) == {}
    training = TrainingConfig(drift_correction=0.25, encoder_drift_correction=0)
    assert drift_shares(training, [UP, "encoder.weight"]) == {UP: pytest.approx(0.25)}
