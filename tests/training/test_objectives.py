from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.objectives import diagnosis_loss, language_loss, record_losses


def test_language_loss_is_a_mean_over_the_records_own_tokens() -> None:
    logits = torch.zeros(2, 3, 4)
    logits[1, 0, 2] = math.log(3)  # probability 3/6
    targets = torch.tensor([[0, 1, 2], [2, 0, 0]])
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    expected = torch.tensor([math.log(4), math.log(2)])
    torch.testing.assert_close(language_loss(logits, targets, mask), expected)


def test_diagnosis_loss_is_a_mean_over_classes() -> None:
    logits = torch.zeros(1, 2, 4)
    logits[0, 1, 3] = math.log(5)  # probability 5/8
    loss = diagnosis_loss(logits, torch.tensor([[0, 3]]))
    torch.testing.assert_close(loss, torch.tensor([(math.log(4) + math.log(8 / 5)) / 2]))


def _gradients(generator: ReportGenerator, records: Sequence[Record]) -> dict[str, Tensor]:
    batch = make_batch(records, ImageCache(32), generator)
    predicted = torch.zeros_like(batch.statuses, dtype=torch.bool)
    predicted[:, ::3] = True
    output = generator(batch.images, batch.reports, batch.statuses, predicted)
    losses = record_losses(output, batch.reports, batch.statuses, diagnosis_weight=4.0)
    parameters = generator.shared_parameters()
    gradients = torch.autograd.grad(losses.total.sum(), list(parameters.values()))
    return dict(zip(parameters, gradients, strict=True))


def test_a_batchs_gradient_is_the_sum_of_its_records(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    with torch.no_grad():  # with B = 0 some gradients would vanish
        for name, parameter in generator.shared_parameters().items():
            if name.startswith("adapter."):
                parameter.normal_(0, 0.02, generator=torch.Generator().manual_seed(len(name)))
    chosen = records[:5]
    together = _gradients(generator, chosen)
    alone = [_gradients(generator, [record]) for record in chosen]
    for name, gradient in together.items():
        total = torch.stack([one[name] for one in alone]).sum(dim=0)
        scale = float(gradient.abs().max())
        assert scale > 0, name
        torch.testing.assert_close(gradient, total, atol=2e-4 * scale, rtol=1e-3, msg=name)


def test_the_total_weighs_the_diagnosis(
    generator: ReportGenerator, records: tuple[Record, ...]
) -> None:
    batch = make_batch(records[:2], ImageCache(32), generator)
    output = generator(batch.images, batch.reports, batch.statuses)
    losses = record_losses(output, batch.reports, batch.statuses, diagnosis_weight=2.5)
    torch.testing.assert_close(losses.total, losses.language + 2.5 * losses.diagnosis)
    assert losses.total.shape == (2,)
