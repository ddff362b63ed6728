"""A small generator and the phantom records that it trains on."""

from __future__ import annotations

import pytest
import torch

from fedmrg_secure.core.config import ModelConfig, PhantomData, UpdateConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator

IMAGE_SIZE = 32


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def records() -> tuple[Record, ...]:
    data = PhantomData(source="phantom", image_size=IMAGE_SIZE, patients_per_centre=16)
    return load_centre(data, "cedar-valley-clinic").train


@pytest.fixture
def generator() -> ReportGenerator:
    return build_report_generator(ModelConfig(), UpdateConfig(), image_size=IMAGE_SIZE, seed=0)
