"""Linear algebra that is equal to the last bit on every machine.

Every site computes the next public state by itself and compares its hash with the others'. BLAS and
LAPACK may round differently from processor to processor, so what follows uses single IEEE 754
operations on whole arrays, sums in an order that the shape fixes, and matrix products of integers
small enough that every partial sum is exact.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.stable_random import ordered_sum, orthonormal_rows

Matrix = npt.NDArray[np.float64]

_DEGENERATE: Final = 1e-10
"""A row that loses this share of its norm to the rows before it adds no direction."""
_SWEEPS: Final = 12
"""Cyclic Jacobi converges quadratically: matrices of 64 x 64 need fewer than ten sweeps."""
_EXACT_BITS: Final = 53


def orthonormalise(rows: Matrix, spare: Matrix | None = None) -> Matrix:
    """Gram-Schmidt, done twice, on the rows of (r, n).

    A row that depends on those before it is replaced by the same row of `spare`, made orthogonal;
    without one, or where that depends on them too, by zeros.
    """
    basis = np.zeros_like(rows)
    for index in range(len(rows)):
        for candidate in (rows, spare):
            if candidate is None:
                continue
            vector, before = candidate[index], _norm(candidate[index])
            for _ in range(2):
                if index:
                    shares = ordered_sum(basis[:index] * vector)  # (index,)
                    for previous in range(index):
                        vector = vector - shares[previous] * basis[previous]
            if before > 0 and (norm := _norm(vector)) > _DEGENERATE * before:
                basis[index] = vector / norm
                break
    return basis


def multiply(left: Matrix, right: Matrix) -> Matrix:
    """The product of (m, r) and (r, n), summed over r in order; for small r."""
    product = np.zeros((left.shape[0], right.shape[1]))
    for index in range(left.shape[1]):
        product += left[:, index, None] * right[None, index]
    return product


def eigenvectors(symmetric: Matrix) -> Matrix:
    """Orthogonal eigenvectors in columns, largest eigenvalue first, by cyclic Jacobi rotations.

    Args:
        symmetric: a stack of matrices, shape (count, r, r).

    Returns:
        Shape (count, r, r); orthogonal to rounding whatever the rank.
    """
    matrices = symmetric.copy()
    size = matrices.shape[1]
    vectors = np.broadcast_to(np.eye(size), matrices.shape).copy()
    for _ in range(_SWEEPS):
        for p in range(size - 1):
            for q in range(p + 1, size):
                cosine, sine = _rotation(matrices, p, q)
                _turn(matrices, p, q, cosine, sine)  # columns
                _turn(matrices.swapaxes(1, 2), p, q, cosine, sine)  # rows
                _turn(vectors, p, q, cosine, sine)
    values = np.diagonal(matrices, axis1=1, axis2=2)  # (count, r)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(vectors, order[:, None, :], axis=2)


def exact_product(left: Matrix, right: Matrix) -> Matrix:
    """A product of matrices rounded so coarsely that BLAS makes no rounding error.

    Both are put on a grid of powers of two on which every partial sum of the product is an integer
    below 2^53. The relative error is about 2^-20 for inner dimensions of a few thousand.
    """
    inner = left.shape[1]
    bits = (_EXACT_BITS - max(1, inner).bit_length()) // 2
    (a, scale_a), (b, scale_b) = _integers(left, bits), _integers(right, bits)
    return (a @ b) * (scale_a * scale_b)


def leading_factors(
    weight: npt.NDArray[np.float32], rank: int, iterations: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Orthonormal bases of nearly the leading singular spaces, by subspace iteration.

    Args:
        weight: shape (d_out, d_in).
        rank: at most both sides.
        iterations: each a product with the weight and one with its transpose.

    Returns:
        left (d_out, rank) with orthonormal columns and right (rank, d_in) with orthonormal rows.
    """
    matrix = weight.astype(np.float64)
    d_out, d_in = matrix.shape
    right = orthonormal_rows(rank, d_in, label="leading-factors/right", seed=0).astype(np.float64)
    left = orthonormal_rows(rank, d_out, label="leading-factors/left", seed=0).astype(np.float64)
    for _ in range(iterations):
        left = orthonormalise(exact_product(right, matrix.T), spare=left)
        right = orthonormalise(exact_product(left, matrix), spare=right)
    return left.T.astype(np.float32).copy(), right.astype(np.float32)


def _norm(vector: Matrix) -> float:
    return math.sqrt(float(ordered_sum((vector * vector)[None])[0]))


def _rotation(matrices: Matrix, p: int, q: int) -> tuple[Matrix, Matrix]:
    """Cosine and sine, shape (count, 1), that make the entries (p, q) zero."""
    off = matrices[:, p, q]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        theta = (matrices[:, q, q] - matrices[:, p, p]) / (2 * off)
        tangent = np.where(theta < 0, -1.0, 1.0) / (np.abs(theta) + np.sqrt(theta * theta + 1))
    tangent = np.where((off == 0) | ~np.isfinite(tangent), 0.0, tangent)
    cosine = 1 / np.sqrt(tangent * tangent + 1)
    return cosine[:, None], (tangent * cosine)[:, None]


def _turn(matrices: Matrix, p: int, q: int, cosine: Matrix, sine: Matrix) -> None:
    first, second = matrices[:, :, p].copy(), matrices[:, :, q].copy()
    matrices[:, :, p] = cosine * first - sine * second
    matrices[:, :, q] = sine * first + cosine * second


def _integers(matrix: Matrix, bits: int) -> tuple[Matrix, float]:
    largest = float(np.max(np.abs(matrix), initial=0.0))
    if largest == 0:
        return matrix, 1.0
    scale = 2.0 ** (math.frexp(largest)[1] - bits)
    return np.rint(matrix / scale), scale
