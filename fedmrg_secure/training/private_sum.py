"""The noised sum of units' clipped gradients: the one thing of a private step that may be used.

Everything that bounds what a patient can change stands in this module, in integers: clip, round,
add, noise. What follows, from the optimiser to the encrypted update, is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedmrg_secure.core.privacy_terms import GRID_BITS
from fedmrg_secure.core.types import IntVector

FloatArray = npt.NDArray[np.float64]
Noise = Callable[[int, Fraction], IntVector]
"""`size`, and sigma in grid steps, to independent discrete Gaussian samples of shape (size,)."""

SENSITIVITY: Final = 1 << GRID_BITS
"""L2 bound on what one unit adds to the sum of all parts, in grid steps."""

_SLACK: Final = 2.0**-40
"""Far above the rounding of a float64 norm and product, see `update.clipping`."""


class PrivateSum:
    """A step's sum over units, in integers on the grid clip_norm / 2^GRID_BITS.

    A *part* is a group of tensors that are clipped together. With n parts each has the bound
    C / sqrt(n): C_G^2 + C_S^2 = C^2.

    Args:
        parts: parameters by name, in one group or more; no parameter twice.
        clip_norm: C, > 0, in the gradient's units.

    Guarantee:
        The integer vectors of any two sets of units of which one has one unit more differ by at
        most `SENSITIVITY` in L2 norm: a unit's gradient is scaled to at most its bound, the scale
        rounded down by a share of 2^-40, which exceeds the rounding errors of its float64 norm
        and product, and every coordinate is then rounded towards zero; integers add exactly.

    Assumes:
        A record's gradient does not depend on other records. In exact arithmetic it does not
        (`private_checks` tries it); in float32 the last bits may change with the padding of a
        batch, which this account does not cover.

    Edge cases:
        ===========================  ==================================
        no unit                      the sum is zero; noise comes to it
        NaN or infinity in a unit    the unit counts as zero
        ===========================  ==================================
    """

    def __init__(self, parts: tuple[Mapping[str, nn.Parameter], ...], clip_norm: float) -> None:
        self._parts = tuple(tuple(sorted(part)) for part in parts)
        self._shapes = {name: tuple(p.shape) for part in parts for name, p in part.items()}
        self._step = math.ldexp(clip_norm, -GRID_BITS)
        self._bound = math.isqrt(SENSITIVITY**2 // len(parts))
        self._total = {
            name: np.zeros(math.prod(shape), dtype=np.int64) for name, shape in self._shapes.items()
        }

    def add(self, gradients: Mapping[str, Tensor], unit_of: Tensor, units: int) -> None:
        """Clip and add some units, all of whose records are here.

        Args:
            gradients: of each record, by name, shape (records, ...).
            unit_of: which unit a record belongs to, shape (records,), int64 in [0, units).
            units: how many.
        """
        for part in self._parts:
            sums = {name: _unit_sums(gradients[name], unit_of, units) for name in part}
            square = sum(
                (values.square().sum(dim=1) for values in sums.values()),
                start=torch.zeros(units, dtype=torch.float64, device=unit_of.device),
            )
            scale = self._scale(square.sqrt())[:, None]  # (units, 1)
            for name, values in sums.items():
                # Where, not times: a unit that is not finite must not become NaN by 0 * inf.
                steps = torch.where(scale > 0, values * scale, 0.0).trunc()
                self._total[name] += steps.sum(dim=0).to(torch.int64).cpu().numpy()

    def release(
        self, noise_multiplier: float, divisor: float, noise: Noise
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The sum with noise, over a public constant: this step's gradient.

        Args:
            noise_multiplier: standard deviation of each coordinate's noise over clip_norm.
            divisor: public; the expected number of units, never their number.
            noise: fresh, of a secret stream.

        Returns:
            By name, each of its parameter's shape, float32.
        """
        sizes = {name: total.size for name, total in self._total.items()}
        drawn = noise(sum(sizes.values()), Fraction(noise_multiplier) * SENSITIVITY)
        released, start = {}, 0
        for name, size in sizes.items():
            noised = self._total[name] + drawn[start : start + size]
            start += size
            value = noised.astype(np.float64) * (self._step / divisor)
            released[name] = value.astype(np.float32).reshape(self._shapes[name])
        return released

    @property
    def total(self) -> IntVector:
        """The sum before noise: of a site's own patients, never to leave it; shape (size,)."""
        return np.concatenate(list(self._total.values()))

    def _scale(self, norms: Tensor) -> Tensor:
        """Grid steps per unit of gradient, shape (units,); 0 for a unit that is not finite."""
        shrink = torch.clamp(self._bound * self._step / norms, max=1.0) * (
            (1 - _SLACK) / self._step
        )
        return torch.where(torch.isfinite(norms), shrink, 0.0)


def _unit_sums(gradient: Tensor, unit_of: Tensor, units: int) -> Tensor:
    """Shape (units, size), float64, of records' gradients of shape (records, ...)."""
    rows = gradient.detach().reshape(len(gradient), -1).to(torch.float64)
    return rows.new_zeros(units, rows.shape[1]).index_add_(0, unit_of, rows)
