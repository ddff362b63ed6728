from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fedmrg_secure.core.config import ModelConfig, TrainingConfig, UpdateConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.training.baselines import ModelContrast, add_proximal_gradient
from fedmrg_secure.training.trainer import train_locally


@pytest.fixture(scope="module")
def small() -> ReportGenerator:
    return build_report_generator(
        ModelConfig(feature_width=16, adapters="generic"),
        UpdateConfig(rank=2, factorization="ffa"),
        image_size=32,
        seed=0,
    )


@given(st.integers(0, 999), st.floats(0.01, 10))
def test_the_proximal_gradient_is_the_derivative_of_the_proximal_term(
    seed: int, weight: float
) -> None:
    """Of mu/2 * ||w - w_received||^2, by differences."""
    random = torch.Generator().manual_seed(seed)
    values = [torch.randn(3, 2, generator=random, dtype=torch.float64) for _ in range(4)]
    parameters = {"a": nn.Parameter(values[0]), "b": nn.Parameter(values[1].clone())}
    received = {"a": values[2], "b": values[3]}
    parameters["a"].grad = torch.ones(3, 2, dtype=torch.float64)  # of the loss itself
    add_proximal_gradient(parameters, received, weight)
    assert parameters["b"].grad is None, "what does not train is not pulled"

    def term(w: Tensor) -> float:
        return weight / 2 * float(((w - received["a"]) ** 2).sum())

    found = parameters["a"].grad - 1
    for place in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[place] = 1e-5
        w = parameters["a"].detach()
        numeric = (term(w + step.view(3, 2)) - term(w - step.view(3, 2))) / 2e-5
        assert float(found.view(-1)[place]) == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def _moved(generator: ReportGenerator, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: (value + random.normal(0, 0.1, value.shape)).astype(np.float32)
        for name, value in generator.shared_state().items()
    }


def test_model_contrast_is_its_formula(small: ReportGenerator) -> None:
    """Against models that are built anew and hold the states in full."""
    start = small.shared_state()
    received, previous, now = (_moved(small, seed) for seed in (1, 2, 3))
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    features = []
    for state in (received, previous, now):
        small.load_shared_state(state)
        features.append(small.features(images)[0])
    small.load_shared_state(received)
    moon = ModelContrast(small, previous, 0.5)
    small.load_shared_state(now)  # training goes on; the copies stay
    z = features[2].clone().requires_grad_()
    found = moon.loss(images, z)
    for row in range(3):
        near = math.exp(float(features[2][row] @ features[0][row]) / 0.5)
        far = math.exp(float(features[2][row] @ features[1][row]) / 0.5)
        assert float(found[row].detach()) == pytest.approx(-math.log(near / (near + far)), rel=1e-4)
    (gradient,) = torch.autograd.grad(found.sum(), z)
    assert gradient.abs().max() > 0
    trained = set(small.shared_parameters())
    small.load_shared_state(start)
    assert trained == set(small.shared_parameters())


def test_without_a_previous_model_there_is_nothing_to_be_far_from(small: ReportGenerator) -> None:
    moon = ModelContrast(small, None, 0.5)
    z = torch.rand(4, 16)
    assert moon.loss(torch.rand(4, 1, 32, 32), z).tolist() == [0.0] * 4


def test_a_strong_proximal_term_holds_training_back(
    small: ReportGenerator, records: tuple[Record, ...]
) -> None:
    start = small.shared_state()
    distances = []
    for weight in (0.0, 1e4):
        small.load_shared_state(start)
        training = TrainingConfig(local_steps=8, batch_size=4, proximal_weight=weight)
        train_locally(small, records, training, image_size=32, seed=1)
        after = small.shared_state()
        distances.append(sum(float(np.abs(after[n] - start[n]).sum()) for n in start))
    small.load_shared_state(start)
    assert distances[1] < 0.6 * distances[0]
