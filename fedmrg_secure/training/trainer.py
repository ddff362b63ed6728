"""Local training at one site for one round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.batches import Batch, ImageCache, make_batch, shuffled_indices
from fedmrg_secure.training.errors import NothingLearned, NoTrainingRecords, TrainingDiverged
from fedmrg_secure.training.objectives import record_losses


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step.

    Attributes:
        step: 1, 2, ...
        steps: of the round.
        loss: mean over the batch's records.
        language_loss: nats a token, mean over the batch.
        diagnosis_loss: nats a class, mean over the batch.
    """

    step: int
    steps: int
    loss: float
    language_loss: float
    diagnosis_loss: float


@dataclass(frozen=True, slots=True)
class LocalTrainingResult:
    """One round of local training.

    Attributes:
        steps: optimiser steps taken.
        records: records the site trains on.
        loss: mean over all steps' records.
        language_loss: the same, of the report alone.
        diagnosis_loss: the same, of the statuses alone.
        truncated_reports: reports seen that were cut to `max_report_tokens`, repeats counted.
        seconds: wall-clock.
    """

    steps: int
    records: int
    loss: float
    language_loss: float
    diagnosis_loss: float
    truncated_reports: int
    seconds: float


def train_locally(
    generator: ReportGenerator,
    records: Sequence[Record],
    training: TrainingConfig,
    *,
    image_size: int,
    seed: int,
    on_step: Callable[[StepReport], None] | None = None,
    images: ImageCache | None = None,
    optimiser: torch.optim.Optimizer | None = None,
) -> LocalTrainingResult:
    """Train the generator's shared parameters in place for `training.local_steps` steps.

    One thread and equal arguments give equal bits.

    Args:
        generator: holds the state the round starts from; changed in place.
        records: the site's training records, at least one.
        training: the configuration's section.
        image_size: side of the images in pixels.
        seed: of this site and round, see `training.seeds.round_seed`.
        on_step: called after every step, on this thread.
        images: cache to keep over rounds; a new one when None.
        optimiser: of this site, from `make_optimiser`, to keep over rounds; a new one when None.

    Raises:
        NoTrainingRecords: `records` is empty.
        TrainingDiverged: a loss or gradient is not finite; names the step.
        NothingLearned: no shared value changed.
    """
    if not records:
        raise NoTrainingRecords("there are no training records", hint="check the data's splits")
    started = time.monotonic()
    torch.set_num_threads(training.threads)
    random = np.random.Generator(np.random.Philox(seed))
    cache = ImageCache(image_size) if images is None else images
    optimiser = make_optimiser(generator, training) if optimiser is None else optimiser
    before = generator.shared_state()
    reports: list[StepReport] = []
    truncated = 0
    generator.train()
    chosen = shuffled_indices(len(records), training.batch_size, training.local_steps, random)
    for step, indices in enumerate(chosen, start=1):
        batch = make_batch([records[i] for i in indices], cache, generator)
        truncated += batch.reports.truncated
        report = _step(generator, batch, training, optimiser, random, step)
        reports.append(report)
        if on_step is not None:
            on_step(report)
    generator.eval()
    after = generator.shared_state()
    if all(np.array_equal(before[name], after[name]) for name in before):
        raise NothingLearned(
            f"{training.local_steps} steps changed no shared value",
            hint="check training.learning_rate and the model's dtype",
        )
    return LocalTrainingResult(
        steps=len(reports),
        records=len(records),
        loss=_mean([report.loss for report in reports]),
        language_loss=_mean([report.language_loss for report in reports]),
        diagnosis_loss=_mean([report.diagnosis_loss for report in reports]),
        truncated_reports=truncated,
        seconds=time.monotonic() - started,
    )


def _step(
    generator: ReportGenerator,
    batch: Batch,
    training: TrainingConfig,
    optimiser: torch.optim.Optimizer,
    random: np.random.Generator,
    step: int,
) -> StepReport:
    predicted = torch.from_numpy(random.random(batch.statuses.shape) < training.status_mixing)
    output = generator(batch.images, batch.reports, batch.statuses, predicted)
    losses = record_losses(
        output, batch.reports, batch.statuses, diagnosis_weight=training.diagnosis_weight
    )
    count = len(batch.statuses)
    optimiser.zero_grad(set_to_none=True)
    (losses.total.sum() / count).backward()
    loss = _finite(losses.total.mean(), "loss", step)
    parameters = list(generator.shared_parameters().values())
    norm = nn.utils.clip_grad_norm_(parameters, training.gradient_clip_norm)
    _finite(norm, "gradient", step)
    optimiser.step()
    return StepReport(
        step,
        training.local_steps,
        loss,
        float(losses.language.mean().detach()),
        float(losses.diagnosis.mean().detach()),
    )


def make_optimiser(generator: ReportGenerator, training: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW over the shared parameters, one learning rate for the adapters, one for the rest.

    Kept over rounds its moments never leave the site. Afresh in every round its first steps are
    all of full length whatever the gradient: with short rounds that is mostly noise.
    """
    dense: list[nn.Parameter] = []
    adapters: list[nn.Parameter] = []
    for name, parameter in generator.shared_parameters().items():
        (adapters if name.startswith("adapter.") else dense).append(parameter)
    groups = [
        {"params": dense, "lr": training.learning_rate},
        {"params": adapters, "lr": training.adapter_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=training.weight_decay)


def _finite(value: Tensor, what: str, step: int) -> float:
    number = float(value.detach())
    if not np.isfinite(number):
        raise TrainingDiverged(
            f"the {what} is {number} at step {step}",
            hint="lower training.learning_rate and training.adapter_learning_rate",
        )
    return number


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
