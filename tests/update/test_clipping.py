from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedmrg_secure.update.clipping import UpdateNotFinite, clip_to_norm

finite = st.floats(-1e300, 1e300, allow_nan=False)
vectors = hnp.arrays(np.float64, st.integers(1, 40), elements=finite)
norms = st.floats(1e-6, 1e6)


def exact_squared_norm(vector: np.ndarray) -> Fraction:
    return sum((Fraction(x) ** 2 for x in vector.tolist()), Fraction(0))


@given(vectors, norms)
def test_the_norm_never_exceeds_the_bound(update: np.ndarray, clip_norm: float) -> None:
    clipped = clip_to_norm(update, clip_norm)
    assert exact_squared_norm(clipped) <= Fraction(clip_norm) ** 2


@given(hnp.arrays(np.float64, 10, elements=st.floats(-1, 1)), st.floats(4, 10))
def test_a_short_update_is_unchanged(update: np.ndarray, clip_norm: float) -> None:
    np.testing.assert_array_equal(clip_to_norm(update, clip_norm), update)


def test_a_long_update_keeps_its_direction_and_reaches_the_bound() -> None:
    update = np.random.default_rng(0).normal(size=1000)
    clipped = clip_to_norm(update, 2.0)
    assert np.linalg.norm(clipped) == pytest.approx(2.0, rel=1e-9)
    np.testing.assert_allclose(clipped / 2.0, update / np.linalg.norm(update), rtol=1e-9)


def test_a_norm_of_exactly_the_bound_is_unchanged() -> None:
    update = np.array([3.0, -4.0])
    assert clip_to_norm(update, 5.0) is update


def test_a_norm_just_above_the_bound_is_clipped() -> None:
    update = np.array([3.0, np.nextafter(4.0, 5.0)])
    assert exact_squared_norm(clip_to_norm(update, 5.0)) <= 25


def test_zero_is_unchanged() -> None:
    np.testing.assert_array_equal(clip_to_norm(np.zeros(3), 1.0), np.zeros(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(UpdateNotFinite, match="NaN"):
        clip_to_norm(np.array([1.0, bad]), 1.0)


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, np.nan, np.inf])
def test_a_bound_that_is_none_is_refused(clip_norm: float) -> None:
    with pytest.raises(ValueError, match="clip_norm"):
        clip_to_norm(np.ones(2), clip_norm)
