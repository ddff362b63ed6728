"""The vision encoders: the built-in small residual network, or a pretrained backbone with a neck.

Every layer that trains works on one record at a time (GroupNorm and LayerNorm, no BatchNorm), so
that the gradient of a batch is the sum of its records' gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedmrg_secure.core.config import ModelConfig
from fedmrg_secure.core.types import PRETRAINED_ENCODER_PIXELS, PRETRAINED_ENCODER_WIDTH
from fedmrg_secure.model.errors import ImageShapeWrong
from fedmrg_secure.model.initialisation import initialise
from fedmrg_secure.model.pretrained import builtin_encoder_weights
from fedmrg_secure.model.pretrained_encoder import Backbone, load_backbone

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
    12 x 12. Unless constants are given, brightness and contrast of each image are normalised away
    first: centres differ in them for reasons that are not the patient's.

    Args:
        image_size: side H of the square input in pixels, 32 to 1024.
        width: d of the features, a multiple of 8.
        constants: public mean and deviation of the images; None: each image's own.
    """

    def __init__(
        self, image_size: int, width: int = 128, constants: tuple[float, float] | None = None
    ) -> None:
        super().__init__()
        self.image_size, self.width, self._constants = image_size, width, constants
        widths = _stage_widths(image_size, width)
        stages: list[nn.Module] = []
        for before, after in zip((1, *widths), widths, strict=False):
            stages.append(_downsample(before, after))
            if after > _NARROWEST:
                stages.append(_ResidualBlock(after))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(width)
        self.pool = nn.Linear(2 * width, width)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Encode a batch.

        Args:
            images: shape (batch, 1, H, H), float32 in [0, 1].

        Raises:
            ImageShapeWrong: another shape.
        """
        check_images(images, self.image_size)
        grid = self.stages(_normalised(images, self._constants))  # (batch, d, side, side)
        patches = self.norm(grid.flatten(2).transpose(1, 2))  # (batch, side * side, d)
        return ImageFeatures(patches, self.pool(_summary(patches)))


class PretrainedEncoder(nn.Module):
    """A pretrained backbone, and a neck that brings its patches to the feature width.

    Args:
        backbone: see `model.pretrained_encoder`; its BatchNorm is frozen.
        image_size: side H of the square input in pixels.
        width: d of the features.
        frozen: whether the backbone stays as it is; then no gradient is computed in it.
    """

    def __init__(self, backbone: Backbone, image_size: int, width: int, *, frozen: bool) -> None:
        super().__init__()
        self.image_size, self.width, self._frozen = image_size, width, frozen
        self.backbone = backbone
        self.neck = nn.Sequential(
            nn.LayerNorm(backbone.channels), nn.Linear(backbone.channels, width)
        )
        self.pool = nn.Linear(2 * width, width)
        if frozen:
            backbone.requires_grad_(False)

    def forward(self, images: Tensor) -> ImageFeatures:
        """See `VisionEncoder.forward`."""
        check_images(images, self.image_size)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen):
            seen = self.backbone(images)  # (batch, side * side, channels)
        patches = self.neck(seen)  # (batch, side * side, d)
        return ImageFeatures(patches, self.pool(_summary(patches)))


def build_encoder(
    model: ModelConfig, *, image_size: int, seed: int
) -> VisionEncoder | PretrainedEncoder:
    """The encoder of a configuration, equal on every machine.

    What of it is trained and shared is what requires gradients: all of the built-in one; of a
    pretrained backbone the neck, and its convolutions and projections unless it is
    to be frozen; of the built-in pretrained one all or, frozen, nothing.

    Raises:
        EncoderUnavailable, HubAccessOff, AssetTampered: see `model.pretrained_encoder`.
    """
    constants = None
    if model.image_mean is not None and model.image_deviation is not None:
        constants = (model.image_mean, model.image_deviation)
    if model.encoder == "builtin":
        encoder = VisionEncoder(image_size, model.feature_width, constants)
        initialise(encoder, label="encoder", seed=seed)
        return encoder
    if model.encoder == "builtin_pretrained":
        encoder = VisionEncoder(PRETRAINED_ENCODER_PIXELS, PRETRAINED_ENCODER_WIDTH)
        encoder.load_state_dict(builtin_encoder_weights())
        return encoder.requires_grad_("encoder" not in model.freeze)
    backbone = load_backbone(
        model.encoder, image_size=image_size, allow_hub=model.allow_hub, constants=constants
    )
    pretrained = PretrainedEncoder(
        backbone, image_size, model.feature_width, frozen="encoder" in model.freeze
    )
    initialise(pretrained.neck, label="encoder.neck", seed=seed)
    initialise(nn.Sequential(pretrained.pool), label="encoder.pool", seed=seed)
    return pretrained


def check_images(images: Tensor, image_size: int) -> None:
    """Return if images are a batch of one-channel squares of the right side.

    Raises:
        ImageShapeWrong: they are not.
    """
    expected = (1, image_size, image_size)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected:
        raise ImageShapeWrong(
            f"images have shape {tuple(images.shape)}, expected (batch, "
            f"{', '.join(map(str, expected))})",
            hint="load images with the image_size that the model was built for",
        )


def _summary(patches: Tensor) -> Tensor:
    """Mean and maximum, shape (batch, 2 d): a small finding fills one patch, which the maximum
    keeps; the mean tells of the whole chest."""
    return torch.cat([patches.mean(dim=1), patches.amax(dim=1)], dim=-1)


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


def _stage_widths(image_size: int, width: int) -> tuple[int, ...]:
    """Channels after each halving, ending in the feature width."""
    halvings = max(3, (image_size // _SMALLEST_GRID).bit_length() - 1)
    return tuple(max(_NARROWEST, width >> (halvings - 1 - i)) for i in range(halvings))


def _normalised(images: Tensor, constants: tuple[float, float] | None) -> Tensor:
    """By public constants, or each image by its own mean and deviation."""
    if constants is not None:
        return (images - constants[0]) / constants[1]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    deviation = images.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (images - mean) / (deviation + _EPSILON)
