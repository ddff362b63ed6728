"""What cannot be trained privately, found before a record is read.

Two looks at the model: its layers by kind, and a trial with made-up records whose gradients are
compared with those of each record alone. The trial finds what no list of kinds can: a layer that
looks at other records, a value that is used outside of its layer, a loss that is no sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedmrg_secure.core.config import Augmentation, TrainingConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import Status
from fedmrg_secure.model.report_generator import ReportGenerator, images_tensor
from fedmrg_secure.training.batches import Batch
from fedmrg_secure.training.per_record import per_record_gradients
from fedmrg_secure.training.round_loss import RoundLoss

_REPORTS: Final = ("The heart is enlarged.", "No effusion. The lungs are clear, bones too.", "Old.")
_TOLERANCE: Final = 1e-3
"""Share of a tensor's largest gradient; another padding gives some 1e-6 of it in float32."""
_FLOOR: Final = 1e-5
"""Share of the model's largest gradient: biases of keys have rounding errors alone."""


class NotPrivatelyTrainable(InputError):
    """A part of the model has no gradient of single records."""

    code: ClassVar[str] = "FMRG-3111"


class RecordsMix(InputError):
    """What one record contributes depends on another record."""

    code: ClassVar[str] = "FMRG-3112"


def check_privately_trainable(generator: ReportGenerator, training: TrainingConfig) -> None:
    """Return if every record's gradient is its own, for all that is trained.

    Reads no data. The model is left as it was.

    Args:
        generator: the model of the run.
        training: the configuration's section.

    Raises:
        NotPrivatelyTrainable: a module is a BatchNorm in use, or has trained values that Opacus
            cannot part by record (recurrent layers, layers with buffers); names the module.
        RecordsMix: the trial found a tensor whose gradient for a record depends on its company,
            or is not what the record alone gives; names the tensor.
    """
    was_training = generator.training
    generator.train()
    try:
        for problem in _layers(generator):
            raise problem
        _try(generator, training)
    finally:
        generator.zero_grad(set_to_none=True)
        generator.train(was_training)


def _layers(generator: ReportGenerator) -> Iterator[NotPrivatelyTrainable]:
    for name, module in generator.named_modules():
        trained = any(p.requires_grad for p in module.parameters(recurse=False))
        if isinstance(module, _BatchNorm):
            if trained or module.training or not module.track_running_stats:
                yield NotPrivatelyTrainable(
                    f"{name} is a {type(module).__name__}, which normalises each record by others",
                    hint="put encoder into model.freeze, or choose an encoder with GroupNorm or "
                    "LayerNorm",
                )
        elif trained and (isinstance(module, nn.RNNBase) or list(module.buffers())):
            yield NotPrivatelyTrainable(
                f"{name} is a {type(module).__name__} with trained values, which gives no "
                "gradient of single records",
                hint="put encoder into model.freeze, or choose another encoder or decoder",
            )


def _try(generator: ReportGenerator, training: TrainingConfig) -> None:
    """Compare the gradients of made-up records in one batch with those of each alone."""
    plain = training.model_copy(update={"augmentation": Augmentation(), "status_mixing": 0.0})
    named = generator.shared_parameters() | generator.specialized_parameters()
    parameters = {name: p for name, p in named.items() if p.requires_grad}
    records = _made_up(generator)
    with _stirred(parameters):
        loss = RoundLoss(generator, plain, plain.boost_warmup, generator.shared_state())
        random = np.random.default_rng(0)  # draws nothing that counts
        with per_record_gradients(generator, parameters) as gradients:
            loss.of(_batch(generator, records), random)[0].sum().backward()
            together = gradients.take(len(records))
        for row, record in enumerate(records):
            generator.zero_grad(set_to_none=True)
            loss.of(_batch(generator, [record]), random)[0].sum().backward()
            alone = {
                n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()
            }
            _compare({name: value[row] for name, value in together.items()}, alone)


def _compare(together: Mapping[str, Tensor], alone: Mapping[str, Tensor]) -> None:
    largest = max(float(value.abs().max()) for value in alone.values())
    for name, value in alone.items():
        bound = _TOLERANCE * float(value.abs().max()) + _FLOOR * largest
        if not float((together[name] - value).abs().max()) <= bound:
            raise RecordsMix(
                f"the gradient of {name} for a record is another one in a batch than alone",
                hint="a layer before or after it mixes records, or uses it outside of a layer "
                "that Opacus knows: put encoder into model.freeze, or choose another encoder or "
                "decoder",
            )


@dataclass(frozen=True, slots=True)
class _MadeUp:
    """A record that no patient has: noise as an image, any words as its report."""

    image: npt.NDArray[np.float32]
    report: str
    statuses: tuple[Status, ...]


def _made_up(generator: ReportGenerator) -> list[_MadeUp]:
    random = np.random.default_rng(0)
    side, classes = generator.encoder.image_size, len(generator.class_columns)
    return [
        _MadeUp(
            random.random((side, side), dtype=np.float32),
            report,
            tuple(Status((row + column) % len(Status)) for column in range(classes)),
        )
        for row, report in enumerate(_REPORTS)
    ]


def _batch(generator: ReportGenerator, records: Sequence[_MadeUp]) -> Batch:
    return Batch(
        images_tensor([record.image for record in records]),
        generator.tokens.encode([record.report for record in records]),
        torch.tensor([record.statuses for record in records]),
    )


@contextmanager
def _stirred(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Leave the start, where B = 0 hides gradients, for a while."""
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(before[name])
