"""The bound on how far one site can move the shared model in one round."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import numpy as np

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import FloatVector

_ROUNDING: Final = 2.0**-40
"""Relative slack for the rounding of the norm and of the product, far above both (see below)."""


class UpdateNotFinite(FedmrgError):
    """The local training ended in NaN or infinity."""

    code: ClassVar[str] = "FMRG-4002"


def clip_to_norm(update: FloatVector, clip_norm: float) -> FloatVector:
    """Scale an update so that its L2 norm is at most `clip_norm`.

    Args:
        update: the flattened update, shape (parameters,), float64, finite.
        clip_norm: the bound C, > 0, in the update's own units.

    Returns:
        The same direction with norm min(||update||, C), shape (parameters,).

    Guarantee:
        For any two updates the results differ by at most 2C in L2 norm, rounding included:
        the scale is rounded down, by a share of 2^-40 that exceeds what pairwise summation of
        up to 2^30 float64 squares and one product can lose, and a norm that near to C is
        compared exactly.

    Edge cases:
        ======================  ==================
        zero update             returned unchanged
        norm exactly C          returned unchanged
        NaN or infinity         raises UpdateNotFinite
        ======================  ==================

    Source:
        Abadi et al. 2016, algorithm 1.
    """
    if not clip_norm > 0 or not math.isfinite(clip_norm):
        raise ValueError(f"clip_norm must be positive and finite, got {clip_norm}")
    if not np.isfinite(update).all():
        raise UpdateNotFinite(
            "the update holds NaN or infinity",
            hint="lower the learning rate, or look for a broken record in the training data",
        )
    norm = l2_norm(update)
    if norm <= clip_norm * (1 - _ROUNDING):
        return update
    if norm <= clip_norm * (1 + _ROUNDING) and _exact_norm_at_most(update, clip_norm):
        return update
    return update * (clip_norm / norm * (1 - _ROUNDING))


def l2_norm(vector: FloatVector) -> float:
    """The L2 norm of a finite vector, without overflow or underflow of the squares."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0.0:
        return 0.0
    scaled = vector / largest
    return largest * math.sqrt(float(np.sum(scaled * scaled)))


def _exact_norm_at_most(vector: FloatVector, bound: float) -> bool:
    """Whether the norm is at most `bound`, in integers: for the few cases float64 cannot tell."""
    mantissas, exponents = np.frexp(np.append(vector[vector != 0], bound))
    integers = np.ldexp(mantissas, 53).astype(np.int64).tolist()
    shifts = (exponents - exponents.min()).tolist()
    squares: list[int] = [
        (integer << shift) ** 2 for integer, shift in zip(integers, shifts, strict=True)
    ]
    return sum(squares[:-1]) <= squares[-1]
