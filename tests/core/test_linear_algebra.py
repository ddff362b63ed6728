from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.linear_algebra import (
    eigenvectors,
    exact_product,
    leading_factors,
    multiply,
    orthonormalise,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 12)


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@settings(max_examples=50)
@given(rows=sizes, extra=st.integers(0, 40), seed=seeds, decades=st.integers(-6, 6))
def test_rows_become_orthonormal_and_span_what_they_spanned(
    rows: int, extra: int, seed: int, decades: int
) -> None:
    matrix = _random(seed, rows, rows + extra) * 10.0**decades
    basis = orthonormalise(matrix)
    assert np.abs(basis @ basis.T - np.eye(rows)).max() < 1e-13
    for count in range(1, rows + 1):  # Gram-Schmidt: the first rows span the first rows
        inside = matrix[:count] @ basis[:count].T @ basis[:count]
        np.testing.assert_allclose(inside, matrix[:count], atol=1e-11 * np.abs(matrix).max())


@given(seed=seeds, factor=st.floats(-3, 3))
def test_a_dependent_row_gives_way_to_a_spare_one(seed: int, factor: float) -> None:
    matrix = _random(seed, 3, 10)
    matrix[1] = factor * matrix[0]
    spare = _random(seed + 1, 3, 10)
    basis = orthonormalise(matrix, spare)
    assert np.abs(basis @ basis.T - np.eye(3)).max() < 1e-12
    assert np.linalg.matrix_rank(np.vstack([matrix[[0, 2]], spare[1:2], basis])) == 3


def test_without_a_spare_one_it_becomes_zero() -> None:
    matrix = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    basis = orthonormalise(matrix)
    root = 2**-0.5
    expected = [[root, root, 0], [0, 0, 0], [0, 0, 0], [-root, root, 0]]
    np.testing.assert_allclose(basis, expected, atol=1e-15)
    assert not orthonormalise(np.zeros((2, 3)), np.zeros((2, 3))).any()


@given(sizes, sizes, sizes, seeds)
def test_a_product_is_a_product(m: int, r: int, n: int, seed: int) -> None:
    left, right = _random(seed, m, r), _random(seed + 1, r, n)
    np.testing.assert_allclose(multiply(left, right), left @ right, atol=1e-13)


@settings(max_examples=50)
@given(
    count=st.integers(1, 4),
    size=st.integers(1, 16),
    rank=st.integers(0, 16),
    seed=seeds,
    decades=st.integers(-8, 8),
)
def test_eigenvectors_are_lapacks(
    count: int, size: int, rank: int, seed: int, decades: int
) -> None:
    """Of any rank: B starts as zero, and a site may leave directions unused."""
    halves = _random(seed, count, size, min(rank, size)) * 10.0**decades
    matrices = halves @ halves.swapaxes(1, 2)
    vectors = eigenvectors(matrices)
    for matrix, found in zip(matrices, vectors, strict=True):
        assert np.abs(found.T @ found - np.eye(size)).max() < 1e-12
        turned = found.T @ matrix @ found
        scale = max(float(np.abs(matrix).max()), 1e-300)
        assert np.abs(turned - np.diag(np.diag(turned))).max() < 1e-12 * scale * size
        values = np.linalg.eigh(matrix)[0][::-1]
        np.testing.assert_allclose(np.diag(turned), values, atol=1e-12 * scale * size)
    distinct = np.diag(1.0 + np.arange(size))[None]
    assert np.array_equal(np.abs(eigenvectors(distinct))[0], np.eye(size)[:, ::-1])


def test_large_cores_converge() -> None:
    half = _random(5, 1, 64, 64)
    matrix = half @ half.swapaxes(1, 2)
    vectors = eigenvectors(matrix)[0]
    turned = vectors.T @ matrix[0] @ vectors
    assert np.abs(turned - np.diag(np.diag(turned))).max() < 1e-11 * np.abs(matrix).max()


@settings(max_examples=50)
@given(m=sizes, inner=st.integers(1, 3000), n=sizes, seed=seeds, decades=st.integers(-4, 4))
def test_the_error_of_an_exact_product(m: int, inner: int, n: int, seed: int, decades: int) -> None:
    """Half a step of either grid at each of the inner places, and no rounding error beside it."""
    left, right = _random(seed, m, inner) * 10.0**decades, _random(seed + 1, inner, n)
    bits = (53 - inner.bit_length()) // 2
    product = exact_product(left, right)
    largest = float(np.abs(left).max() * np.abs(right).max())
    bound = inner * largest * 2.0**-bits * (2 + 2.0**-bits)
    assert np.abs(product - left @ right).max() <= bound
    assert np.linalg.norm(product - left @ right) <= 2**-18 * np.linalg.norm(left) * (
        np.linalg.norm(right)
    )


@given(sizes, st.integers(1, 2000), sizes, seeds)
def test_the_order_of_adding_does_not_matter_to_an_exact_product(
    m: int, inner: int, n: int, seed: int
) -> None:
    """What BLAS does differently from processor to processor is the order."""
    left, right = _random(seed, m, inner), _random(seed + 1, inner, n)
    order = np.random.default_rng(seed).permutation(inner)
    shuffled = exact_product(np.ascontiguousarray(left[:, order]), right[order])
    assert np.array_equal(exact_product(left, right), shuffled)


def test_a_product_with_zero_is_zero() -> None:
    assert not exact_product(np.zeros((2, 3)), np.ones((3, 2))).any()


@pytest.mark.parametrize(("shape", "rank"), [((40, 60), 4), ((60, 40), 8), ((16, 16), 16)])
def test_leading_factors_hold_what_the_leading_singular_vectors_hold(
    shape: tuple[int, int], rank: int
) -> None:
    random = np.random.default_rng(1)
    u = np.linalg.qr(random.normal(size=(shape[0], min(shape))))[0]
    v = np.linalg.qr(random.normal(size=(shape[1], min(shape))))[0]
    values = 0.7 ** np.arange(min(shape))
    weight = ((u * values) @ v.T).astype(np.float32)
    left, right = leading_factors(weight, rank, 12)
    assert left.dtype == right.dtype == np.float32
    assert left.shape == (shape[0], rank)
    assert right.shape == (rank, shape[1])
    assert np.abs(left.T @ left - np.eye(rank)).max() < 1e-6
    assert np.abs(right @ right.T - np.eye(rank)).max() < 1e-6
    kept = np.linalg.norm(left.T @ weight @ right.T)
    best = np.linalg.norm(values[:rank])
    assert kept == pytest.approx(best, rel=1e-4)
    # The angle to the true leading spaces is near zero.
    assert np.linalg.svd(left.T @ u[:, :rank])[1].min() > 0.999
    assert np.linalg.svd(right @ v[:, :rank])[1].min() > 0.999


def test_a_weight_of_low_rank_still_has_orthonormal_factors() -> None:
    weight = np.outer(np.arange(1, 9), np.ones(12)).astype(np.float32)
    left, right = leading_factors(weight, 4, 4)
    assert np.abs(left.T @ left - np.eye(4)).max() < 1e-6
    assert np.abs(right @ right.T - np.eye(4)).max() < 1e-6
    for zero in leading_factors(np.zeros((8, 12), np.float32), 2, 4):
        gram = zero @ zero.T if zero.shape == (2, 12) else zero.T @ zero
        assert np.abs(gram - np.eye(2)).max() < 1e-6


def test_the_values_are_pinned_for_all_machines() -> None:
    """Inputs whose bits do not depend on the platform."""
    draws = np.random.Generator(np.random.Philox(7)).integers(-(2**20), 2**20, (6, 40))
    matrix = draws * 2.0**-20
    gram = exact_product(matrix, np.ascontiguousarray(matrix.T))
    left, right = leading_factors(matrix.astype(np.float32), 3, 4)
    parts = (orthonormalise(matrix), gram, eigenvectors(gram[None]), left, right)
    digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    assert digest == "997d8801ef22cd5356a4e673b310467437f1c485c1c826da76c28a32c407959e"
