"""Several integers in one: digits of a base so large that adding never carries.

A coordinate of a ciphertext carries more bits than one value needs once noise is paid for, so it
carries ``parameters.digits`` of them. Opened sums are exact integers, so the digits come apart
exactly.
"""

from __future__ import annotations

import numpy as np

from fedmrg_secure.core.types import IntVector
from fedmrg_secure.crypto.parameters import SchemeParameters


def join_digits(blocks: IntVector, parameters: SchemeParameters) -> IntVector:
    """``sum(values[k * N + j] * base^k)`` for each coordinate j.

    Args:
        blocks: shape (blocks, digits * N), int64, each within ``max_abs_value``.

    Returns:
        Shape (blocks, N), int64, below 2^48 in absolute value.
    """
    digits = blocks.reshape(len(blocks), parameters.digits, -1)  # (blocks, digits, N)
    joined: IntVector = digits[:, -1].copy()
    for k in range(parameters.digits - 2, -1, -1):
        joined *= parameters.digit_base
        joined += digits[:, k]
    return joined


def split_digits(coordinates: IntVector, parameters: SchemeParameters) -> IntVector:
    """The inverse of `join_digits` for sums of up to ``parameters.sites`` blocks.

    Args:
        coordinates: shape (blocks, N), int64.

    Returns:
        Shape (blocks, digits * N), int64; all but the last digit are below half the base.
    """
    base = parameters.digit_base
    split = np.empty((len(coordinates), parameters.digits, coordinates.shape[1]), dtype=np.int64)
    rest = coordinates
    for k in range(parameters.digits - 1):
        higher = (rest + base // 2) // base
        split[:, k] = rest - higher * base
        rest = higher
    split[:, -1] = rest
    return split.reshape(len(coordinates), -1)
