"""The permanent test of additivity: what per-record clipping, hence DP-SGD, rests on.

Opacus reads a record's gradient off activations and their gradients. It is right only where no
layer mixes records, no parameter is used outside a layer that Opacus knows, and the loss is a sum.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn

from fedmrg_secure.core.config import ModelConfig, TrainingConfig, UpdateConfig
from fedmrg_secure.core.types import Status
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.training.batches import Batch, ImageCache, make_batch
from fedmrg_secure.training.objectives import ObjectiveWeights, public_log_prior, record_losses
from fedmrg_secure.update.factorization import make_factorization
from tests.fixtures.vision_backbones import BACKBONES, save_random

# Images need no gradient, which the hook of the first layer remarks upon.
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")

IMAGE_SIZE = 32
MODES = ("mutual", "one_way", "joint", "none")
FACTORIZATIONS = ("ffa", "fedsvd", "rolora", "fedsb", "powersgd")
CLASSES = ("No Finding", "Cardiomegaly", "Edema", "Pleural Effusion")


def _generator(factorization: str = "fedsvd", **model: Any) -> ReportGenerator:
    generator = build_report_generator(
        ModelConfig(classes=CLASSES, feature_width=16, visual_tokens=4, **model),
        UpdateConfig(factorization=factorization, rank=2),
        image_size=IMAGE_SIZE,
        seed=3,
    )
    _stir(generator, 0)
    generator.train()
    return generator


@torch.no_grad()
def _stir(generator: ReportGenerator, seed: int, *, only: str = "") -> None:
    """Leave the start, where B = 0 makes gradients vanish and both paths are equal."""
    random = torch.Generator().manual_seed(seed)
    named = generator.shared_parameters() | generator.specialized_parameters()
    for name, parameter in named.items():
        if name.startswith(only):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    for buffer in (generator.local_anchors, *([] if only else [generator.anchors])):
        draws = torch.randn(buffer.shape, generator=random)
        buffer.copy_(nn.functional.normalize(draws, dim=-1))


def _batch(generator: ReportGenerator, records: Sequence[Record]) -> Batch:
    """Records of several lengths whose labels meet every status."""
    batch = make_batch(records, ImageCache(IMAGE_SIZE), generator)
    for row, status in enumerate(batch.statuses):
        status[row % len(CLASSES)] = Status.POSITIVE
        status[(row + 1) % len(CLASSES)] = Status.UNCERTAIN
    return batch


def _rows(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some of a batch's records, with the padding that a batch of their own has."""
    index = torch.tensor(rows)
    reports = batch.reports
    longest = int(reports.mask[index].sum(dim=1).max())
    return Batch(
        images=batch.images[index],
        reports=type(reports)(
            reports.inputs[index, :longest],
            reports.targets[index, :longest],
            reports.mask[index, :longest],
            0,
        ),
        statuses=batch.statuses[index],
    )


def _backward(
    call: Any, generator: ReportGenerator, batch: Batch, boosting: str, *, round_number: int = 3
) -> None:
    """The gradient of the loss summed over the records, as the trainer computes it."""
    training = TrainingConfig(boosting=boosting, boost_temperature=1.5, contrast_weight=0.7)
    weights = ObjectiveWeights.of(training, round_number)
    predicted = torch.zeros_like(batch.statuses, dtype=torch.bool)
    predicted[:, ::2] = True
    output = call(
        batch.images,
        batch.reports,
        batch.statuses,
        predicted,
        share_features=weights.share_features,
    )
    losses = record_losses(
        output,
        batch.reports,
        batch.statuses,
        weights,
        anchors=generator.anchors,
        local_anchors=generator.local_anchors,
        log_prior=public_log_prior({"Edema": 0.1}, CLASSES),
    )
    losses.total.sum().backward()


def _per_record(generator: ReportGenerator, batch: Batch, boosting: str) -> dict[str, Tensor]:
    """By Opacus, shape (batch, ...) for every value that trains."""
    generator.zero_grad(set_to_none=True)
    sampler = GradSampleModule(generator, loss_reduction="sum", strict=True)
    try:
        _backward(sampler, generator, batch, boosting)
        return {
            name: parameter.grad_sample.detach().clone()  # type: ignore[attr-defined]
            for name, parameter in _trained(generator).items()
        }
    finally:
        sampler.to_standard_module()
        for parameter in generator.parameters():
            if hasattr(parameter, "grad_sample"):
                del parameter.grad_sample


def _one_by_one(generator: ReportGenerator, batch: Batch, boosting: str) -> dict[str, Tensor]:
    """The same from a batch of its own for each record."""
    rows: list[dict[str, Tensor]] = []
    for row in range(len(batch.images)):
        generator.zero_grad(set_to_none=True)
        _backward(generator, generator, _rows(batch, [row]), boosting)
        rows.append({name: p.grad.clone() for name, p in _trained(generator).items()})  # type: ignore[union-attr]
    return {name: torch.stack([one[name] for one in rows]) for name in rows[0]}


def _trained(generator: ReportGenerator) -> dict[str, nn.Parameter]:
    """Every value that requires a gradient, and proof that it has a name."""
    named = generator.shared_parameters() | generator.specialized_parameters()
    trained = {name: p for name, p in named.items() if p.requires_grad}
    assert {id(p) for p in trained.values()} == {
        id(p) for p in generator.parameters() if p.requires_grad
    }
    return trained


def _compare(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    for name, value in expected.items():
        scale = float(value.abs().max())
        assert scale > 0, f"{name} gets no gradient at all"
        # A bias of keys gets the rounding error of zero: softmax does not see it.
        bound = 2e-4 * scale + 1e-8 * largest
        report = f"{name}: {{}}".format
        torch.testing.assert_close(found[name], value, atol=bound, rtol=1e-3, msg=report)


def _check(generator: ReportGenerator, records: Sequence[Record], boosting: str) -> None:
    batch = _batch(generator, records[:3])
    lengths = batch.reports.mask.sum(dim=1)
    assert len(set(lengths.tolist())) > 1, "records of one length prove less"
    expected = _one_by_one(generator, batch, boosting)
    found = _per_record(generator, batch, boosting)
    _compare(found, expected)
    generator.zero_grad(set_to_none=True)
    _backward(generator, generator, batch, boosting)
    whole = {name: parameter.grad for name, parameter in _trained(generator).items()}
    _compare(whole, {name: rows.sum(dim=0) for name, rows in expected.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("factorization", "boosting"), list(itertools.product(FACTORIZATIONS, MODES))
)
def test_every_factorisation_in_every_mode(
    records: tuple[Record, ...], factorization: str, boosting: str
) -> None:
    _check(_generator(factorization), records, boosting)


@pytest.mark.parametrize("boosting", MODES)
@pytest.mark.parametrize(
    "model",
    [
        {"anchors": "text"},
        {"anchors": "prototype"},
        {"anchors": "text", "anchor_attention": False},
        {"anchor_attention": False},
        {"prompts": False},
        {"image_mean": 0.5, "image_deviation": 0.25},
    ],
    ids=lambda model: ",".join(f"{k}={v}" for k, v in model.items()),
)
def test_every_part_of_the_model(
    records: tuple[Record, ...], model: dict[str, Any], boosting: str
) -> None:
    _check(_generator(**model), records, boosting)


def test_one_adapter_alone(records: tuple[Record, ...]) -> None:
    generator = _generator(adapters="generic")
    assert not generator.specialized_parameters()
    _check(generator, records, "none")


def test_frozen_parts_take_no_gradient(records: tuple[Record, ...]) -> None:
    generator = _generator(freeze=("projection", "projector", "prompts"))
    parts = {name.split(".")[0] for name in _trained(generator)}
    assert parts == {"adapter", "diagnosis", "encoder", "specialized"}
    _check(generator, records, "one_way")


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_pretrained_backbone(records: tuple[Record, ...], kind: str, tmp_path: Path) -> None:
    """Windows, class tokens, layer scales and position embeddings do not deceive Opacus."""
    _check(_generator(encoder=save_random(BACKBONES[kind], tmp_path)), records, "mutual")


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None,
    reason="the extra [encoders] is not installed",
)
def test_efficientnet_lite0(records: tuple[Record, ...]) -> None:
    _check(_generator(encoder="efficientnet_lite0"), records, "one_way")


@pytest.mark.parametrize("number", [1, 2])
def test_each_turn_of_rolora(records: tuple[Record, ...], number: int) -> None:
    generator = _generator("rolora")
    shapes = {name: value.shape for name, value in generator.shared_state().items()}
    scheme = make_factorization(UpdateConfig(factorization="rolora", rank=2), shapes)
    generator.set_trainable(scheme.trainable(number))
    factors = {name[-6:] for name in _trained(generator) if name.startswith("adapter.")}
    assert factors == {"lora_B" if number == 1 else "lora_A"}
    _check(generator, records, "mutual")


@pytest.mark.parametrize("boosting", MODES)
@pytest.mark.parametrize("factorization", ["fedsvd", "fedsb"])
def test_only_one_way_keeps_the_shared_gradients_from_the_specialized_part(
    records: tuple[Record, ...], factorization: str, boosting: str
) -> None:
    """A site may train its specialized part without noise: no record's gradient on anything that
    is shared changes with it, to the last bit."""
    generator = _generator(factorization)
    batch = _batch(generator, records[:3])
    before = _per_record(generator, batch, boosting)
    _stir(generator, 7, only="specialized.")
    after = _per_record(generator, batch, boosting)
    shared = generator.shared_parameters().keys() & before.keys()
    changed = {name for name in shared if not torch.equal(before[name], after[name])}
    if boosting == "one_way":
        assert changed == set()
    else:
        assert any(name.startswith("encoder.") for name in changed)
        taught = any(name.startswith("adapter.") for name in changed)
        assert taught == (boosting != "none")
    own = generator.specialized_parameters()
    assert not any(torch.equal(before[name], after[name]) for name in own)


class _LooksAround(nn.Module):
    """A layer that no private training may have: each record sees the batch's mean."""

    def forward(self, pooled: Tensor) -> Tensor:
        return pooled - 0.5 * pooled.mean(dim=0, keepdim=True)


def test_a_layer_that_mixes_records_is_found(records: tuple[Record, ...]) -> None:
    generator = _generator()
    generator.encoder.pool = nn.Sequential(generator.encoder.pool, _LooksAround())
    generator._shared = generator._trainable = {
        name.replace("encoder.pool.", "encoder.pool.0."): parameter
        for name, parameter in generator.shared_parameters().items()
    }
    with pytest.raises(AssertionError, match="Mismatched elements"):
        _check(generator, records, "mutual")


def test_padding_and_company_change_nothing(records: tuple[Record, ...]) -> None:
    """A record's gradient is the same in any batch."""
    generator = _generator()
    batch = _batch(generator, records[:4])
    whole = _per_record(generator, batch, "mutual")
    pair = _per_record(generator, _rows(batch, [2, 0]), "mutual")
    _compare(pair, {name: value[[2, 0]] for name, value in whole.items()})
