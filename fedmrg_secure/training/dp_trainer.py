"""Local training at one site for one round, with differential privacy for its patients.

A step: draw units by Poisson sampling, take each record's gradient, sum and clip each unit's, add
discrete Gaussian noise, divide by a public constant, and let the optimiser step. A step that drew
nobody takes the noise alone. `private_step` does that; see `unit_sampling`, `per_record` and
`private_sum` for the three things that the guarantee rests on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.baselines import add_proximal_gradient
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.errors import TrainingDiverged
from fedmrg_secure.training.per_record import PerRecordGradients, per_record_gradients
from fedmrg_secure.training.phases import Meter, unmeasured
from fedmrg_secure.training.private_step import PrivateSteps, PrivateTraining
from fedmrg_secure.training.private_sum import PrivateSum
from fedmrg_secure.training.round_loss import RoundLoss, State
from fedmrg_secure.training.trainer import LocalTrainingResult, StepReport, make_optimiser

_LOSSES: Final = ("language", "specialized", "boosting", "diagnosis", "contrast")


def train_privately(
    generator: ReportGenerator,
    records: Sequence[Record],
    training: TrainingConfig,
    private: PrivateTraining,
    *,
    image_size: int,
    round_number: int = 1,
    on_step: Callable[[StepReport], None] | None = None,
    images: ImageCache | None = None,
    optimiser: torch.optim.Optimizer | None = None,
    previous: State | None = None,
    corrections: Mapping[str, Tensor] | None = None,
) -> LocalTrainingResult:
    """Train what requires gradients for `training.local_steps` noised steps.

    Two runs are never equal: which patients are in a step, and the noise, are drawn from a secret
    stream.

    Args:
        generator: holds the state the round starts from; changed in place. It has passed
            `private_checks`.
        records: the site's training records; none is allowed, and nobody can tell.
        training: the configuration's section; `batch_size` is the most records of one forward
            pass, `boosting` is ``one_way`` or ``joint`` with a specialized part.
        private: constants, noise and stream.
        image_size, round_number, on_step, images, optimiser, previous, corrections: see
            `trainer.train_locally`.

    Returns:
        The losses are of the site's own records, without noise: they must not leave it. NaN where
        no step drew a record.

    Guarantee:
        The shared tensors afterwards are a function of `training.local_steps` outputs of the
        Poisson-sampled discrete Gaussian mechanism with sampling rate q and noise_multiplier, of
        public values and of what the site was given. With ``joint`` the specialized tensors are
        too; with ``one_way`` they are not private and must not leave the site.

    Raises:
        TrainingDiverged: a trained value is not finite.
    """
    started = time.monotonic()
    torch.set_num_threads(training.threads)
    cache = ImageCache(image_size) if images is None else images
    optimiser = make_optimiser(generator, training) if optimiser is None else optimiser
    generator.train()
    parts = noised_parts(generator, training)
    steps = PrivateSteps(private, records, parts, training.batch_size)
    stepper = PrivateStepper(
        generator,
        training,
        steps,
        RoundLoss(generator, training, round_number, previous),
        optimiser,
        corrections or {},
    )
    reports: list[StepReport] = []
    with per_record_gradients(generator, stepper.noised) as gradients:
        for _ in range(training.local_steps):
            report = stepper.step(records, cache, gradients)
            reports.append(report)
            if on_step is not None:
                on_step(report)
    generator.eval()
    losses = [field.name for field in fields(StepReport) if field.name.endswith("loss")]
    return LocalTrainingResult(
        steps=len(reports),
        records=len(records),
        truncated_reports=stepper.truncated,
        seconds=time.monotonic() - started,
        **{name: _mean([getattr(report, name) for report in reports]) for name in losses},
    )


class PrivateStepper:
    """One round's noised steps over one model.

    Args:
        generator, training, optimiser, corrections: see `train_privately`.
        steps: over the site's records and `noised_parts`.
        loss: of the round.
        meter: of the steps' parts.

    Attributes:
        noised: what gets noise, by name; `step` takes the gradients of single records of these.
        truncated: reports seen that were cut, repeats counted.
    """

    def __init__(
        self,
        generator: ReportGenerator,
        training: TrainingConfig,
        steps: PrivateSteps,
        loss: RoundLoss,
        optimiser: torch.optim.Optimizer,
        corrections: Mapping[str, Tensor],
        meter: Meter = unmeasured,
    ) -> None:
        self._generator, self._training, self._steps = generator, training, steps
        self._loss, self._optimiser, self._corrections = loss, optimiser, corrections
        self._meter = meter
        self._all_shared = generator.shared_parameters()
        self._received = {name: p.detach().clone() for name, p in self._all_shared.items()}
        specialized = generator.specialized_parameters()
        self._local = list(specialized.values()) if len(steps.parts) == 1 else []
        self.noised: dict[str, nn.Parameter] = {
            n: p for part in steps.parts for n, p in part.items()
        }
        self.truncated = 0
        self._done = 0

    def step(
        self, records: Sequence[Record], cache: ImageCache, gradients: PerRecordGradients
    ) -> StepReport:
        """One step over whom `steps` draws.

        Args:
            records: those that `steps` draws from.
            cache: of their images.
            gradients: of `noised`, inside `per_record_gradients`.

        Raises:
            TrainingDiverged: a trained value is not finite.
        """
        self._done += 1
        units = self._steps.draw()
        self._optimiser.zero_grad(set_to_none=True)
        # Keyed by the secret stream: with the run's public seed, who is before a record in the
        # batch would decide how it is augmented.
        random = np.random.Generator(np.random.Philox(key=self._steps.private.stream.bits(128)))
        losses: list[Tensor] = []

        def gradients_of(indices: Sequence[int]) -> dict[str, Tensor]:
            with self._meter("load"):
                batch = make_batch([records[i] for i in indices], cache, self._generator)
            self.truncated += batch.reports.truncated
            with self._meter("gradients"):
                whole, parts = self._loss.of(batch, random)
                whole.sum().backward()
            named = [whole, *(getattr(parts, name) for name in _LOSSES)]
            losses.append(torch.stack([value.detach() for value in named], dim=1))
            return gradients.take(len(indices))

        with self._meter("clip"):
            total = self._steps.total(units, gradients_of)
        with self._meter("noise"):
            self._set_gradients(total, sum(map(len, losses)))
        with self._meter("optimiser"):
            self._optimiser.step()
            with torch.no_grad():
                for name, correction in self._corrections.items():
                    self._all_shared[name].add_(correction)
            self._check_finite()
        return self._report(losses)

    def _set_gradients(self, total: PrivateSum, taken: int) -> None:
        """What the optimiser sees: noised for what leaves, plain for what stays."""
        released = self._steps.release(total)
        for name, parameter in self.noised.items():
            parameter.grad = torch.from_numpy(released[name]).to(parameter.device)
        if self._training.proximal_weight:
            weight = self._training.proximal_weight
            add_proximal_gradient(self._all_shared, self._received, weight)
        self._set_local_gradients(taken)

    def _set_local_gradients(self, taken: int) -> None:
        """Means over the records taken, clipped; none where they are not finite: to stop there
        would tell that there is such a record."""
        for parameter in self._local:
            if parameter.grad is not None:
                parameter.grad.div_(max(1, taken))
        if not self._local:
            return
        norm = nn.utils.clip_grad_norm_(self._local, self._training.gradient_clip_norm)
        if not bool(torch.isfinite(norm)):
            for parameter in self._local:
                parameter.grad = None

    def _check_finite(self) -> None:
        """Of noised values alone: what a record's own loss was must not decide who goes on."""
        for name, parameter in self.noised.items():
            if not bool(torch.isfinite(parameter.detach()).all()):
                raise TrainingDiverged(
                    f"{name} is no longer finite at step {self._done}",
                    hint="lower training.learning_rate and training.adapter_learning_rate",
                )

    def _report(self, losses: list[Tensor]) -> StepReport:
        means = torch.cat(losses).mean(dim=0).tolist() if losses else [float("nan")] * 6
        named = dict(zip(("loss", *(f"{name}_loss" for name in _LOSSES)), means, strict=True))
        return StepReport(step=self._done, steps=self._training.local_steps, **named)


def noised_parts(
    generator: ReportGenerator, training: TrainingConfig
) -> tuple[dict[str, nn.Parameter], ...]:
    """What gets noise, by the groups that are clipped together: all that is shared and trained,
    and with ``joint`` the specialized part."""
    shared = {name: p for name, p in generator.shared_parameters().items() if p.requires_grad}
    specialized = generator.specialized_parameters()
    if specialized and training.boosting == "joint":
        return shared, specialized
    return (shared,)


def _mean(values: list[float]) -> float:
    """Over the steps that drew a record; NaN where none did."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
