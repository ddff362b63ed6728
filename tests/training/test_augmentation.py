from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedmrg_secure.core.config import Augmentation
from fedmrg_secure.training.augmentation import augment

ALL = Augmentation(shift=0.1, rotation=20, scale=0.2, contrast=0.5, noise=0.1)


def _images(count: int = 6, size: int = 32) -> Tensor:
    coarse = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


def _random(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_no_range_is_no_change_and_no_draw() -> None:
    images, random = _images(), _random()
    assert augment(images, Augmentation(), random) is images
    assert random.random() == _random().random()


def test_the_seed_decides() -> None:
    images = _images()
    first, again = augment(images, ALL, _random(1)), augment(images, ALL, _random(1))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(images, ALL, _random(2)))
    assert first.shape == images.shape
    assert first.dtype == torch.float32


@pytest.mark.parametrize("field", Augmentation.model_fields)
def test_each_record_has_its_own_draws_within_the_range(field: str) -> None:
    """Equal images come out different, and so do those of the whole range."""
    largest = {"shift": 0.25, "rotation": 45, "scale": 0.5, "contrast": 0.9, "noise": 0.5}
    images = _images(1).expand(8, -1, -1, -1)
    changed = augment(images, Augmentation(**{field: largest[field]}), _random())
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert not torch.equal(changed[0], images[0])
    different = (changed[:, None] - changed[None]).abs().amax(dim=(2, 3, 4)) > 1e-4
    assert (different | torch.eye(8, dtype=torch.bool)).all()


@pytest.mark.parametrize("ranges", [ALL, Augmentation(noise=0.1), Augmentation(rotation=9)])
def test_a_record_does_not_depend_on_those_after_it(ranges: Augmentation) -> None:
    """Nor on their pixels: what is drawn depends on their number alone."""
    images = _images()
    other = images.clone()
    other[1:] = 1 - other[1:]
    first = augment(images, ranges, _random(3))
    second = augment(other, ranges, _random(3))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def _centre(images: Tensor) -> Tensor:
    """The middle of mass of each image, in sides from its centre, (right, down)."""
    side = images.shape[-1]
    places = (torch.arange(side) + 0.5) / side - 0.5
    mass = images.sum(dim=(1, 2, 3))
    right = (images.sum(dim=(1, 2)) * places).sum(dim=1) / mass
    down = (images.sum(dim=(1, 3)) * places).sum(dim=1) / mass
    return torch.stack([right, down], dim=1)


def _spot(count: int, row: int, column: int) -> Tensor:
    images = torch.zeros(count, 1, 64, 64)
    images[..., row - 2 : row + 2, column - 2 : column + 2] = 1
    return images


def _largest(images: Tensor, ranges: dict[str, Any]) -> Tensor:
    return augment(images, Augmentation(**ranges), _random(5))


def test_a_shift_is_a_share_of_the_side() -> None:
    moved = _centre(_largest(_spot(200, 32, 32), {"shift": 0.1}))
    assert float(moved.abs().max()) <= 0.1 + 1e-3
    assert float(moved.abs().max()) > 0.095
    assert (moved.amin(dim=0) < -0.09).all()
    assert (moved.amax(dim=0) > 0.09).all()


def test_a_rotation_is_in_degrees_about_the_centre() -> None:
    start = _centre(_spot(1, 32, 52))[0]
    turned = _centre(_largest(_spot(200, 32, 52), {"rotation": 30}))
    angles = torch.rad2deg(torch.atan2(turned[:, 1], turned[:, 0]))
    assert 28 < float(angles.max()) <= 31
    assert -31 <= float(angles.min()) < -28
    torch.testing.assert_close(turned.norm(dim=1), start.norm().expand(200), atol=5e-3, rtol=0)


def test_a_scale_is_a_share_of_the_size() -> None:
    start = float(_centre(_spot(1, 32, 48))[0, 0])
    scaled = _centre(_largest(_spot(200, 32, 48), {"scale": 0.25}))[:, 0] / start
    assert 1 / 1.25 - 0.02 <= float(scaled.min()) < 0.83
    assert 1.28 < float(scaled.max()) <= 1 / 0.75 + 0.02


def test_contrast_keeps_the_mean() -> None:
    images = 0.4 + 0.2 * _images(50)
    changed = _largest(images, {"contrast": 0.5})
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    ratio = changed.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert 0.5 - 1e-4 <= float(ratio.min()) < 0.6
    assert 1.4 < float(ratio.max()) <= 1.5 + 1e-4


def test_noise_has_at_most_the_named_deviation() -> None:
    images = torch.full((60, 1, 64, 64), 0.5)
    deviation = (_largest(images, {"noise": 0.1}) - images).std(dim=(1, 2, 3))
    assert 0.09 < float(deviation.max()) < 0.104
    assert float(deviation.min()) < 0.02
