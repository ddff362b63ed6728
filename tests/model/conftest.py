"""One built-in report generator for the tests that only read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fedmrg_secure.core.config import ModelConfig, UpdateConfig
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator

IMAGE_SIZE = 32


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def build() -> Callable[..., ReportGenerator]:
    """Builds a small generator; keyword arguments change the model's or update's section."""

    def built(*, seed: int = 0, image_size: int = IMAGE_SIZE, **changes: object) -> ReportGenerator:
        update = {k: v for k, v in changes.items() if k in UpdateConfig.model_fields}
        model = {k: v for k, v in changes.items() if k in ModelConfig.model_fields}
        return build_report_generator(
            ModelConfig(**model), UpdateConfig(**update), image_size=image_size, seed=seed
        )

    return built


@pytest.fixture(scope="session")
def generator() -> ReportGenerator:
    return build_report_generator(ModelConfig(), UpdateConfig(), image_size=IMAGE_SIZE, seed=0)


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """Four smooth random images, shape (4, 1, 32, 32)."""
    coarse = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=IMAGE_SIZE, mode="bilinear")
