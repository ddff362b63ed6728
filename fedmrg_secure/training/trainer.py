"""Local training at one site for one round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.baselines import add_proximal_gradient
from fedmrg_secure.training.batches import Batch, ImageCache, make_batch, shuffled_indices
from fedmrg_secure.training.errors import NothingLearned, NoTrainingRecords, TrainingDiverged
from fedmrg_secure.training.objectives import RecordLosses
from fedmrg_secure.training.phases import Meter, unmeasured
from fedmrg_secure.training.round_loss import RoundLoss

State = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step; losses are means over the batch's records.

    Attributes:
        step: 1, 2, ...
        steps: of the round.
        loss: L, see `training.objectives`.
        language_loss: CE(A), nats a token.
        specialized_loss: CE(B), nats a token; 0 without a specialized adapter.
        boosting_loss: what the paths teach each other.
        diagnosis_loss: nats a class.
        contrast_loss: Lcon.
    """

    step: int
    steps: int
    loss: float
    language_loss: float
    specialized_loss: float
    boosting_loss: float
    diagnosis_loss: float
    contrast_loss: float


@dataclass(frozen=True, slots=True)
class LocalTrainingResult:
    """One round of local training; losses are means over all steps' records, see `StepReport`.

    Attributes:
        steps: optimiser steps taken.
        records: records the site trains on.
        truncated_reports: reports seen that were cut to `max_report_tokens`, repeats counted.
        seconds: wall-clock.
    """

    steps: int
    records: int
    loss: float
    language_loss: float
    specialized_loss: float
    boosting_loss: float
    diagnosis_loss: float
    contrast_loss: float
    truncated_reports: int
    seconds: float


def train_locally(
    generator: ReportGenerator,
    records: Sequence[Record],
    training: TrainingConfig,
    *,
    image_size: int,
    seed: int,
    round_number: int = 1,
    on_step: Callable[[StepReport], None] | None = None,
    images: ImageCache | None = None,
    optimiser: torch.optim.Optimizer | None = None,
    previous: State | None = None,
    corrections: Mapping[str, Tensor] | None = None,
) -> LocalTrainingResult:
    """Train what requires gradients, shared and specialized, for `training.local_steps` steps.

    One thread and equal arguments give equal bits.

    Args:
        generator: holds the state the round starts from; changed in place.
        records: the site's training records, at least one.
        training: the configuration's section.
        image_size: side of the images in pixels.
        seed: of this site and round, see `training.seeds.round_seed`.
        round_number: t of the boosting's warm-up, 1, 2, ...
        on_step: called after every step, on this thread.
        images: cache to keep over rounds; a new one when None.
        optimiser: of this site, from `make_optimiser`, to keep over rounds; a new one when None.
        previous: the site's shared state after its last training, for MOON.
        corrections: added to shared tensors after every step, by name, see `training.drift`.

    Raises:
        NoTrainingRecords: `records` is empty.
        TrainingDiverged: a loss or gradient is not finite; names the step.
        NothingLearned: no value that may train has changed.
    """
    if not records:
        raise NoTrainingRecords("there are no training records", hint="check the data's splits")
    started = time.monotonic()
    torch.set_num_threads(training.threads)
    random = np.random.Generator(np.random.Philox(seed))
    cache = ImageCache(image_size) if images is None else images
    optimiser = make_optimiser(generator, training) if optimiser is None else optimiser
    before = generator.shared_state() | generator.specialized_state()
    reports: list[StepReport] = []
    truncated = 0
    generator.train()
    stepper = PlainStepper(
        generator, training, round_number, optimiser, random, previous, corrections or {}
    )
    chosen = shuffled_indices(len(records), training.batch_size, training.local_steps, random)
    for indices in chosen:
        batch = make_batch([records[i] for i in indices], cache, generator)
        truncated += batch.reports.truncated
        report = stepper.step(batch)
        reports.append(report)
        if on_step is not None:
            on_step(report)
    generator.eval()
    after = generator.shared_state() | generator.specialized_state()
    if all(np.array_equal(before[name], after[name]) for name in before):
        raise NothingLearned(
            f"{training.local_steps} steps changed no value",
            hint="check training.learning_rate and the model's dtype",
        )
    losses = [field.name for field in fields(StepReport) if field.name.endswith("loss")]
    return LocalTrainingResult(
        steps=len(reports),
        records=len(records),
        truncated_reports=truncated,
        seconds=time.monotonic() - started,
        **{name: float(np.mean([getattr(r, name) for r in reports])) for name in losses},
    )


class PlainStepper:
    """One round's steps over one model.

    Args:
        generator, training, round_number, optimiser, previous, corrections: see `train_locally`.
        random: of augmentation and the prompts' mixing.
        meter: of the steps' parts, but for loading.
    """

    def __init__(
        self,
        generator: ReportGenerator,
        training: TrainingConfig,
        round_number: int,
        optimiser: torch.optim.Optimizer,
        random: np.random.Generator,
        previous: State | None,
        corrections: Mapping[str, Tensor],
        meter: Meter = unmeasured,
    ) -> None:
        self._generator, self._training, self._meter = generator, training, meter
        self._optimiser, self._random = optimiser, random
        self._corrections = corrections
        self._loss = RoundLoss(generator, training, round_number, previous)
        self._shared = generator.shared_parameters()
        self._specialized = list(generator.specialized_parameters().values())
        self._received = {name: p.detach().clone() for name, p in self._shared.items()}
        self._done = 0

    def step(self, batch: Batch) -> StepReport:
        """One step over one batch.

        Raises:
            TrainingDiverged: the loss or a gradient is not finite.
        """
        self._done += 1
        training = self._training
        with self._meter("gradients"):
            total, losses = self._loss.of(batch, self._random)
            self._optimiser.zero_grad(set_to_none=True)
            (total.sum() / len(total)).backward()
        loss = self._finite(total.mean(), "loss")
        if training.proximal_weight:
            add_proximal_gradient(self._shared, self._received, training.proximal_weight)
        with self._meter("clip"):
            for parameters, bound in self._budgets():
                self._finite(nn.utils.clip_grad_norm_(parameters, bound), "gradient")
        with self._meter("optimiser"):
            self._optimiser.step()
            with torch.no_grad():
                for name, correction in self._corrections.items():
                    self._shared[name].add_(correction)
        return self._report(loss, losses)

    def _budgets(self) -> list[tuple[list[nn.Parameter], float]]:
        """Bounds on gradients: `joint` splits one budget, C_G^2 + C_S^2 = C^2."""
        shared, bound = list(self._shared.values()), self._training.gradient_clip_norm
        if not self._specialized:
            return [(shared, bound)]
        if self._training.boosting == "joint":
            bound /= 2**0.5
        return [(shared, bound), (self._specialized, bound)]

    def _report(self, loss: float, losses: RecordLosses) -> StepReport:
        return StepReport(
            step=self._done,
            steps=self._training.local_steps,
            loss=loss,
            language_loss=_mean(losses.language),
            specialized_loss=_mean(losses.specialized),
            boosting_loss=_mean(losses.boosting),
            diagnosis_loss=_mean(losses.diagnosis),
            contrast_loss=_mean(losses.contrast),
        )

    def _finite(self, value: Tensor, what: str) -> float:
        number = float(value.detach())
        if not np.isfinite(number):
            raise TrainingDiverged(
                f"the {what} is {number} at step {self._done}",
                hint="lower training.learning_rate and training.adapter_learning_rate",
            )
        return number


def make_optimiser(generator: ReportGenerator, training: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW over all that may train, one learning rate for the adapters, one for the rest.

    Kept over rounds its moments never leave the site. Afresh in every round its first steps are
    all of full length whatever the gradient: with short rounds that is mostly noise.
    """
    dense: list[nn.Parameter] = []
    adapters: list[nn.Parameter] = []
    named = generator.shared_parameters() | generator.specialized_parameters()
    for name, parameter in named.items():
        (adapters if "adapter." in name else dense).append(parameter)
    groups = [
        {"params": dense, "lr": training.learning_rate},
        {"params": adapters, "lr": training.adapter_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=training.weight_decay)


def _mean(values: Tensor) -> float:
    return float(values.mean().detach())
