"""The built-in vision encoder: a small residual convolutional network.

Every layer works on one record at a time (GroupNorm and LayerNorm, no BatchNorm), so that the
gradient of a batch is the sum of its records' gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedmrg_secure.model.errors import ImageShapeWrong

FEATURE_WIDTH = 128
_NARROWEST = 16
_SMALLEST_GRID = 6
_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the encoder sees.

    Attributes:
        patches: F, shape (batch, side * side, d), row by row from the top left.
        pooled: f, shape (batch, d).
    """

    patches: Tensor
    pooled: Tensor


class VisionEncoder(nn.Module):
    """Images to patch features and one pooled feature.

    The number of halvings grows with the image so that the grid of patches stays between 4 x 4 and
    12 x 12. Brightness and contrast of each image are normalised away first: centres differ in
    them for reasons that are not the patient's.

    Args:
        image_size: side H of the square input in pixels, 32 to 1024.
    """

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        widths = _stage_widths(image_size)
        stages: list[nn.Module] = []
        for before, after in zip((1, *widths), widths, strict=False):
            stages.append(_downsample(before, after))
            if after > _NARROWEST:
                stages.append(_ResidualBlock(after))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(FEATURE_WIDTH)
        # A small finding fills one patch: the maximum keeps it, the mean tells of the whole chest.
        self.pool = nn.Linear(2 * FEATURE_WIDTH, FEATURE_WIDTH)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Encode a batch.

        Args:
            images: shape (batch, 1, H, H), float32 in [0, 1].

        Raises:
            ImageShapeWrong: another shape.
        """
        expected = (1, self.image_size, self.image_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise ImageShapeWrong(
                f"images have shape {tuple(images.shape)}, expected (batch, "
                f"{', '.join(map(str, expected))})",
                hint="load images with the image_size that the model was built for",
            )
        grid = self.stages(_standardise(images))  # (batch, d, side, side)
        patches = self.norm(grid.flatten(2).transpose(1, 2))  # (batch, side * side, d)
        summary = torch.cat([patches.mean(dim=1), patches.amax(dim=1)], dim=-1)  # (batch, 2 d)
        return ImageFeatures(patches, self.pool(summary))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, width)

    def forward(self, grid: Tensor) -> Tensor:
        return grid + nn.functional.gelu(self.norm(self.convolution(grid)))


def _downsample(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(8, after),
        nn.GELU(),
    )


def _stage_widths(image_size: int) -> tuple[int, ...]:
    """Channels after each halving, ending in the feature width."""
    halvings = max(3, (image_size // _SMALLEST_GRID).bit_length() - 1)
    return tuple(max(_NARROWEST, FEATURE_WIDTH >> (halvings - 1 - i)) for i in range(halvings))


def _standardise(images: Tensor) -> Tensor:
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    deviation = images.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (images - mean) / (deviation + _EPSILON)
