from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.errors import NothingLearned, NoTrainingRecords, TrainingDiverged
from fedmrg_secure.training.trainer import StepReport, make_optimiser, train_locally

SHORT = TrainingConfig(local_steps=3, batch_size=4)

PROGRAM = """
import torch
from fedmrg_secure.core.config import ModelConfig, PhantomData, TrainingConfig, UpdateConfig
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.model.report_generator import build_report_generator
from fedmrg_secure.training.trainer import train_locally
from hashlib import sha256
generator = build_report_generator(ModelConfig(), UpdateConfig(), image_size=32, seed=0)
data = PhantomData(source="phantom", image_size=32, patients_per_centre=16)
records = load_centre(data, "cedar-valley-clinic").train
short = TrainingConfig(local_steps=3, batch_size=4)
train_locally(generator, records, short, image_size=32, seed=9)
state = generator.shared_state()
digest = sha256(b"".join(value.tobytes() for value in state.values()))
print(generator.base_hash, digest.hexdigest())
"""


def test_training_repeats_itself_in_another_process(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    train_locally(generator, records, SHORT, image_size=32, seed=9)
    state = generator.shared_state()
    digest = hashlib.sha256(b"".join(value.tobytes() for value in state.values())).hexdigest()
    other = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert other.stdout.decode().split() == [generator.base_hash, digest]


def test_training_changes_what_is_shared_and_nothing_else(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    before = generator.shared_state() | generator.specialized_state()
    frozen = {n: p.clone() for n, p in generator.named_parameters() if not p.requires_grad}
    train_locally(generator, records, SHORT, image_size=32, seed=1)
    after = generator.shared_state() | generator.specialized_state()
    still = {name for name in before if np.array_equal(before[name], after[name])}
    refactored = {name for name in before if name.endswith(".lora_A") and "generic" in name}
    assert still == refactored | {"specialized.anchors", "specialized.mix"}
    for name, parameter in generator.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name]), name


def test_the_loss_falls(generator: ReportGenerator, records: tuple[Record, ...]) -> None:
    steps: list[StepReport] = []
    training = TrainingConfig(local_steps=24, batch_size=4)
    result = train_locally(
        generator, records, training, image_size=32, seed=1, on_step=steps.append
    )
    assert [report.step for report in steps] == list(range(1, 25))
    losses = [report.loss for report in steps]
    assert np.mean(losses[-6:]) < 0.7 * np.mean(losses[:3])
    assert result.loss == pytest.approx(np.mean(losses))
    assert result.steps == 24
    assert result.records == len(records)


def test_the_seed_decides_the_order(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    start = generator.shared_state()
    ends = []
    for seed in (1, 1, 2):
        generator.load_shared_state(start)
        generator.load_specialized_state(None)
        train_locally(generator, records, SHORT, image_size=32, seed=seed)
        ends.append(generator.shared_state()["diagnosis.linear.bias"])
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


def test_an_optimiser_that_is_kept_remembers(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    """Two rounds with one optimiser are one round of twice the steps on the same batches."""
    start = generator.shared_state()
    whole = tuple(records[:4])
    six = SHORT.model_copy(update={"local_steps": 6, "status_mixing": 0.0})
    three = six.model_copy(update={"local_steps": 3})
    train_locally(generator, whole, six, image_size=32, seed=1)
    expected = generator.shared_state()
    generator.load_shared_state(start)
    generator.load_specialized_state(None)
    kept = make_optimiser(generator, three)
    for seed in (1, 2):
        train_locally(generator, whole, three, image_size=32, seed=seed, optimiser=kept)
    remembered = generator.shared_state()
    generator.load_shared_state(start)
    generator.load_specialized_state(None)
    for seed in (1, 2):
        train_locally(generator, whole, three, image_size=32, seed=seed)
    forgotten = generator.shared_state()

    def distance(state: dict[str, np.ndarray]) -> float:
        return float(sum(np.abs(state[name] - expected[name]).sum() for name in state))

    assert distance(remembered) < 0.05 * distance(forgotten)


def test_divergence_names_its_step(generator: ReportGenerator, records: tuple[Record, ...]) -> None:
    broken = SHORT.model_copy(update={"learning_rate": float("inf")})
    with pytest.raises(TrainingDiverged, match=r"step [23]"):
        train_locally(generator, records, broken, image_size=32, seed=1)


def test_learning_nothing_is_an_error(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    still = SHORT.model_copy(update={"learning_rate": 0.0, "adapter_learning_rate": 0.0})
    with pytest.raises(NothingLearned):
        train_locally(generator, records, still, image_size=32, seed=1)


def test_a_site_needs_records(generator: ReportGenerator) -> None:
    with pytest.raises(NoTrainingRecords):
        train_locally(generator, [], SHORT, image_size=32, seed=1)


def test_cut_reports_are_counted(generator: ReportGenerator, records: tuple[Record, ...]) -> None:
    generator.tokens._max_tokens = 8
    result = train_locally(generator, records, SHORT, image_size=32, seed=1)
    assert result.truncated_reports == 12
