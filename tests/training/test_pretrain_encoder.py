"""The shipped encoder: what it has learned, and what a model that begins with it has not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

from fedmrg_secure.core.config import ModelConfig, UpdateConfig
from fedmrg_secure.core.types import PRETRAINED_ENCODER_PIXELS, Status
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import public_studies
from fedmrg_secure.evaluation.diagnosis import diagnosis_f1
from fedmrg_secure.model.encoder import build_encoder
from fedmrg_secure.model.pretrained import ENCODER_FILE, builtin_encoder_weights
from fedmrg_secure.model.report_generator import build_report_generator, images_tensor
from fedmrg_secure.training import pretrain_encoder

PRETRAINED = ModelConfig(encoder="builtin_pretrained", anchor_attention=False)


@pytest.fixture(scope="module")
def studies() -> list[Record]:
    """Not those that the encoder was trained on."""
    return public_studies(pretrain_encoder.STUDIES_SEED + 1, 500)


@pytest.fixture(scope="module")
def images(studies: list[Record]) -> torch.Tensor:
    return images_tensor([each.load_image(PRETRAINED_ENCODER_PIXELS) for each in studies])


def _features(model: ModelConfig, images: torch.Tensor) -> npt.NDArray[np.float64]:
    encoder = build_encoder(model, image_size=PRETRAINED_ENCODER_PIXELS, seed=1)
    with torch.no_grad():
        pooled = torch.cat([encoder(part).pooled for part in images.split(100)])
    return np.hstack([pooled.numpy().astype(np.float64), np.ones((len(images), 1))])


def test_a_few_studies_teach_a_linear_head_what_its_features_mean(
    studies: list[Record], images: torch.Tensor
) -> None:
    """Far more than they teach one on features of an encoder that has seen nothing."""
    present = np.array([[status == Status.POSITIVE for status in each.labels] for each in studies])
    found = {}
    for encoder in ("builtin", "builtin_pretrained"):
        features = _features(ModelConfig(encoder=encoder), images)
        squares = features[:300].T @ features[:300] + np.eye(features.shape[1])
        weights = np.linalg.solve(squares, features[:300].T @ present[:300].astype(np.float64))
        said = features[300:] @ weights > 0.5
        right = (said & present[300:]).sum(axis=0)
        both = said.sum(axis=0) + present[300:].sum(axis=0)
        found[encoder] = float(np.mean(2 * right / both))
    assert found["builtin_pretrained"] > 0.8 > 0.5 > found["builtin"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_untrained_model_that_begins_with_it_diagnoses_nothing(
    studies: list[Record], images: torch.Tensor, seed: int
) -> None:
    """Else its head would begin where the features were made for, and what a federation teaches
    would seem to be more than it is."""
    generator = build_report_generator(
        PRETRAINED, UpdateConfig(), image_size=PRETRAINED_ENCODER_PIXELS, seed=seed
    )
    statuses = torch.cat([generator.diagnose(part).statuses for part in images[:200].split(100)])
    labels = [list(each.labels) for each in studies[:200]]
    scores = diagnosis_f1(labels, statuses.numpy(), PRETRAINED.classes)
    assert scores["diagnosis_f1_macro"] < 0.3


def test_the_command_makes_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrain_encoder, "STUDIES", 60)
    pretrain_encoder.main(["--out", str(tmp_path), "--steps", "2"])
    file = tmp_path / ENCODER_FILE
    assert hashlib.sha256(file.read_bytes()).hexdigest() in capsys.readouterr().out
    made, shipped = load_file(file), builtin_encoder_weights()
    assert {n: v.shape for n, v in made.items()} == {n: v.shape for n, v in shipped.items()}
    assert all(bool(torch.isfinite(value).all()) for value in made.values())
    pretrain_encoder.main(["--out", str(tmp_path / "again"), "--steps", "2"])
    again = load_file(tmp_path / "again" / ENCODER_FILE)
    assert all(bool((value == again[name]).all()) for name, value in made.items())
