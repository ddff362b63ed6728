"""Random changes of training images, the same for every centre and public."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedmrg_secure.core.config import Augmentation

_DRAWS = 6


def augment(images: Tensor, ranges: Augmentation, random: np.random.Generator) -> Tensor:
    """Move, turn, scale, change contrast and add noise, for each record by its own draws.

    Args:
        images: shape (batch, 1, H, H), float32 in [0, 1].
        ranges: how far at most; each value is drawn evenly from its range.
        random: every record takes the same number of draws from it, in order.

    Returns:
        The same shape and range; `images` itself where every range is 0.
    """
    if not any(ranges.model_dump().values()):
        return images
    draws = torch.from_numpy(random.uniform(-1, 1, (len(images), _DRAWS)).astype(np.float32))
    right, down, turn, size, contrast, noise = draws.unbind(dim=1)  # (batch,) each
    if ranges.shift or ranges.rotation or ranges.scale:
        angle = turn * np.deg2rad(ranges.rotation).astype(np.float32)
        zoom = 1 + size * ranges.scale
        cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        move = (2 * ranges.shift * right, 2 * ranges.shift * down)  # a side is 2 units long
        rows = [cosine, -sine, move[0], sine, cosine, move[1]]
        maps = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if ranges.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (1 + ranges.contrast * contrast).view(-1, 1, 1, 1) * (images - mean)
    if ranges.noise:
        grain = np.stack([random.standard_normal(images.shape[1:]) for _ in images])
        deviation = (ranges.noise * noise.abs()).view(-1, 1, 1, 1)
        images = images + deviation * torch.from_numpy(grain.astype(np.float32))
    return images.clamp(0, 1)
