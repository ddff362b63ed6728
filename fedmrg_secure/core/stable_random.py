"""Random numbers that are equal to the last bit on every machine.

All sites of a federation must start from the same weights, and the session pins their hash. The
samplers of torch and of `numpy.random.Generator` may differ in the last bit between processors
and versions, and so may LAPACK's QR. Here only raw bits of Philox (a counter-based generator whose
stream numpy fixes) and single IEEE 754 operations on whole arrays are used: no library function of
the platform, no reduction whose order depends on the width of its vector unit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.canonical import tagged_hash

FloatArray = npt.NDArray[np.float32]


def uniform(shape: tuple[int, ...], bound: float, *, label: str, seed: int) -> FloatArray:
    """Independent values, uniform in [-bound, bound).

    Args:
        shape: of the result.
        bound: half the width, > 0.
        label: the use; different labels give independent values.
        seed: of the run, >= 0.

    Returns:
        float32 array.
    """
    bits = _bits(int(np.prod(shape, dtype=np.int64)), label, seed)
    unit = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53  # [0, 1)
    return ((unit * 2.0 - 1.0) * bound).astype(np.float32).reshape(shape)


def orthonormal_rows(rows: int, columns: int, *, label: str, seed: int) -> FloatArray:
    """Orthonormal rows spanning a random subspace, from Gram-Schmidt done twice.

    Args:
        rows: number of vectors, at most `columns`.
        columns: their dimension.
        label: the use; different labels give independent subspaces.
        seed: of the run, >= 0.

    Returns:
        float32 array of shape (rows, columns) with Q Q^T = I up to rounding (about 1e-7).
    """
    if rows > columns:
        raise ValueError(f"{rows} orthonormal rows need at least {rows} columns, got {columns}")
    # Four 16-bit uniforms a value: their sum is nearly normal, so directions are nearly isotropic.
    quarters = _bits(rows * columns, label, seed).view(np.uint16).astype(np.float64)
    vectors = (quarters.reshape(rows, columns, 4) - 32767.5) * 2.0**-16
    basis = vectors[..., 0] + vectors[..., 1] + vectors[..., 2] + vectors[..., 3]
    for row in range(rows):
        vector = basis[row]
        for _ in range(2):
            if row:
                shares = ordered_sum(basis[:row] * vector)  # (row,)
                for previous in range(row):
                    vector = vector - shares[previous] * basis[previous]
        basis[row] = vector / np.sqrt(ordered_sum(vector[None] * vector[None])[0])
    return basis.astype(np.float32)


def ordered_sum(terms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums of the rows of (rows, columns), by halving: the shape alone fixes the order."""
    width = 1 << max(terms.shape[1] - 1, 0).bit_length()
    padded = np.zeros((terms.shape[0], width))
    padded[:, : terms.shape[1]] = terms
    while width > 1:
        width //= 2
        padded = padded[:, :width] + padded[:, width:]
    return padded[:, 0]


def _bits(count: int, label: str, seed: int) -> npt.NDArray[np.uint64]:
    key = tagged_hash("fedmrg/stable-random/v1", label.encode(), str(seed).encode())[:16]
    raw = np.random.Philox(key=int.from_bytes(key, "big")).random_raw(count)
    return np.asarray(raw, dtype="<u8").view(np.uint64)
