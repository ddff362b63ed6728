from __future__ import annotations

import pytest
import torch
from torch import nn

from fedmrg_secure.model.encoder import VisionEncoder
from fedmrg_secure.model.errors import ImageShapeWrong

WIDTH = 128


@pytest.mark.parametrize(
    ("image_size", "side"), [(32, 4), (64, 8), (96, 6), (100, 7), (224, 7), (512, 8), (1024, 8)]
)
def test_the_grid_of_patches_stays_small(image_size: int, side: int) -> None:
    features = VisionEncoder(image_size, WIDTH)(torch.rand(1, 1, image_size, image_size))
    assert features.patches.shape == (1, side * side, WIDTH)
    assert features.pooled.shape == (1, WIDTH)


@pytest.mark.parametrize("width", [16, 24, 64])
def test_the_width_is_a_choice(width: int) -> None:
    features = VisionEncoder(64, width)(torch.rand(2, 1, 64, 64))
    assert features.patches.shape == (2, 64, width)
    assert features.pooled.shape == (2, width)


def test_no_layer_looks_across_records() -> None:
    torch.manual_seed(0)
    encoder = VisionEncoder(32)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in encoder.modules())
    images = torch.rand(3, 1, 32, 32)
    together = encoder(images)
    for index in range(3):
        alone = encoder(images[index : index + 1])
        torch.testing.assert_close(together.pooled[index : index + 1], alone.pooled)
        torch.testing.assert_close(together.patches[index : index + 1], alone.patches)


def test_brightness_and_contrast_do_not_matter() -> None:
    encoder = VisionEncoder(32)
    images = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(
        encoder(images).pooled, encoder(0.3 + 0.5 * images).pooled, atol=2e-3, rtol=1e-3
    )


def test_with_public_constants_they_do() -> None:
    """And normalising by hand is the same as naming the constants."""
    torch.manual_seed(0)
    encoder = VisionEncoder(32, 16, constants=(0.4, 0.2))
    identity = VisionEncoder(32, 16, constants=(0.0, 1.0))
    identity.load_state_dict(encoder.state_dict())
    images = torch.rand(2, 1, 32, 32)
    expected = identity((images - 0.4) / 0.2).pooled
    torch.testing.assert_close(encoder(images).pooled, expected)
    assert (encoder(0.3 + 0.5 * images).pooled - encoder(images).pooled).abs().max() > 1e-2


def test_a_blank_image_is_finite() -> None:
    assert torch.isfinite(VisionEncoder(32)(torch.zeros(1, 1, 32, 32)).pooled).all()


@pytest.mark.parametrize("shape", [(1, 1, 32, 31), (1, 3, 32, 32), (1, 32, 32), (1, 1, 64, 64)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageShapeWrong):
        VisionEncoder(32)(torch.rand(shape))
