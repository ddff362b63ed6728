"""What cannot be trained privately is refused by name, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedmrg_secure.core.config import ModelConfig, TrainingConfig, UpdateConfig
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.training.private_checks import (
    NotPrivatelyTrainable,
    RecordsMix,
    check_privately_trainable,
)
from fedmrg_secure.training.round_loss import RoundLoss
from tests.fixtures.vision_backbones import BACKBONES, save_random


def _generator(factorization: str = "fedsvd", **model: Any) -> ReportGenerator:
    return build_report_generator(
        ModelConfig(feature_width=16, visual_tokens=4, **model),
        UpdateConfig(factorization=factorization, rank=2),
        image_size=32,
        seed=3,
    )


def _check(generator: ReportGenerator, **training: Any) -> None:
    settings = {"boosting": "one_way", **training}
    check_privately_trainable(generator, TrainingConfig.model_validate(settings))


@pytest.mark.parametrize("factorization", ["ffa", "fedsvd", "rolora", "fedsb", "powersgd"])
@pytest.mark.parametrize("boosting", ["one_way", "joint"])
def test_what_the_house_builds_passes_and_is_left_as_it_was(
    factorization: str, boosting: str
) -> None:
    generator = _generator(factorization)
    generator.eval()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    _check(generator, boosting=boosting, augmentation={"shift": 0.2}, status_mixing=0.5)
    assert not generator.training
    after = generator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_model_contrast_is_additive_and_passes() -> None:
    _check(_generator(), moon_weight=1.0)


def test_one_adapter_passes() -> None:
    _check(_generator(adapters="generic"), boosting="mutual")


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_pretrained_backbone_passes(kind: str, tmp_path: Path) -> None:
    _check(_generator(encoder=save_random(BACKBONES[kind], tmp_path)))


class _LooksAround(nn.Module):
    def forward(self, pooled: Tensor) -> Tensor:
        return pooled - 0.1 * pooled.mean(dim=0, keepdim=True)


class _Leaked(nn.Module):
    """Uses a layer's weight outside of the layer, where Opacus does not see it."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(values) + self.layer.bias.sum()


class _Counting(nn.Module):
    """Keeps something of every batch it sees."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.scale


def _rename(generator: ReportGenerator, before: str, after: str) -> None:
    generator._shared = generator._trainable = {
        name.replace(before, after): parameter
        for name, parameter in generator.shared_parameters().items()
    }


def _looks_around(generator: ReportGenerator) -> None:
    generator.encoder.pool = nn.Sequential(generator.encoder.pool, _LooksAround())
    _rename(generator, "encoder.pool.", "encoder.pool.0.")


def _leaked(generator: ReportGenerator) -> None:
    generator.encoder.pool = _Leaked(generator.encoder.pool)
    _rename(generator, "encoder.pool.", "encoder.pool.layer.")


@pytest.mark.parametrize(
    ("mutate", "name"), [(_looks_around, "the gradient of"), (_leaked, "encoder.pool.layer.bias")]
)
def test_a_layer_that_mixes_or_hides_is_found_by_the_trial(
    mutate: Callable[[ReportGenerator], None], name: str
) -> None:
    generator = _generator()
    mutate(generator)
    with pytest.raises(RecordsMix, match=name) as caught:
        _check(generator)
    assert "model.freeze" in caught.value.hint


def test_a_loss_over_the_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of in-batch contrast, or of a mean over tokens."""
    real = RoundLoss.of

    def coupled(*arguments: Any) -> Any:
        total, losses = real(*arguments)
        return total * total.detach().mean(), losses

    monkeypatch.setattr(RoundLoss, "of", coupled)
    with pytest.raises(RecordsMix):
        _check(_generator())


@pytest.mark.parametrize("tracks", [True, False])
def test_batch_normalisation_in_use_is_refused_by_name(tracks: bool) -> None:
    generator = _generator()
    generator.encoder.stages[0][1] = nn.BatchNorm2d(16, affine=False, track_running_stats=tracks)
    with pytest.raises(NotPrivatelyTrainable, match=r"encoder\.stages\.0\.1 is a BatchNorm2d"):
        _check(generator)


def test_a_layer_with_a_memory_is_refused_by_name() -> None:
    generator = _generator()
    generator.encoder.norm = nn.Sequential(generator.encoder.norm, _Counting(16))
    with pytest.raises(NotPrivatelyTrainable, match=r"encoder\.norm\.1 is a _Counting"):
        _check(generator)


def test_a_site_is_refused_before_it_reads_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedmrg_secure.core.config import RunConfig
    from fedmrg_secure.training.site_trainer import SiteTrainer
    from fedmrg_secure.update.factorization import make_factorization

    class _Unread(tuple[Any, ...]):
        def __iter__(self) -> Any:
            raise AssertionError("a record was read")

        __getitem__ = __iter__  # type: ignore[assignment]

    config = RunConfig.model_validate(
        {
            "name": "t",
            "data": {"source": "phantom", "image_size": 32},
            "training": {"boosting": "one_way"},
            "privacy": {"noise_multiplier": 1.0},
        }
    )
    generator = _generator()
    _looks_around(generator)
    shapes = {name: np.shape(value) for name, value in generator.shared_state().items()}
    factorization = make_factorization(UpdateConfig(rank=2), shapes)
    with pytest.raises(RecordsMix):
        SiteTrainer("a", generator, _Unread(), (), config, factorization)
