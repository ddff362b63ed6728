from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedmrg_secure.update.fixed_point import FixedPoint, ValueOutOfRange

codecs = st.builds(FixedPoint, st.floats(1e-3, 1e3), st.integers(8, 30))
shares = hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(5)), elements=st.floats(-1, 1))


@given(codecs, shares, st.data())
def test_the_decoded_sum_is_the_weighted_mean_within_the_bound(
    codec: FixedPoint, shares: np.ndarray, data: st.DataObject
) -> None:
    updates = shares * codec.clip_norm
    sites = len(updates)
    weight = st.fractions(Fraction(1, 50), 1)
    weights = [Fraction(1), *data.draw(st.lists(weight, min_size=sites - 1, max_size=sites - 1))]
    total_weight = sum(weights)
    total = sum(codec.encode(update, w) for update, w in zip(updates, weights, strict=True))
    mean = np.array(
        [
            float(sum(w * Fraction(x) for w, x in zip(weights, column, strict=True)) / total_weight)
            for column in updates.T.tolist()
        ]
    )
    error = np.abs(codec.decode(total, total_weight) - mean)
    assert error.max() <= codec.error_bound(sites, total_weight) * (1 + 1e-6)


@given(codecs, st.fractions(Fraction(1, 1000), 1))
def test_no_integer_exceeds_its_bound(codec: FixedPoint, weight: Fraction) -> None:
    edges = np.array([codec.clip_norm, -codec.clip_norm, 0.0])
    encoded = codec.encode(edges, weight)
    assert encoded.dtype == np.int64
    assert np.abs(encoded).max() <= codec.max_abs_value
    assert encoded[0] == -encoded[1]
    assert encoded[2] == 0


def test_the_bound_is_reached_at_weight_one() -> None:
    codec = FixedPoint(10.0, 20)
    assert codec.encode(np.array([10.0]))[0] == codec.max_abs_value == 2**20


@given(codecs, st.integers(-(2**30), 2**30), st.integers(-2, 2))
def test_rounding_is_to_the_nearest_with_ties_to_even(
    codec: FixedPoint, doubled: int, nudge: int
) -> None:
    exact = Fraction(doubled % (2 * codec.max_abs_value), 2)
    update = np.ldexp(float(exact), -codec.precision_bits) * codec.clip_norm
    for _ in range(abs(nudge)):
        update = np.nextafter(update, np.copysign(codec.clip_norm, nudge))
    (encoded,) = codec.encode(np.array([update]))
    assert encoded == round(Fraction(float(update * (1.0 / codec.step))))


def test_encoding_does_not_depend_on_where_a_value_stands() -> None:
    codec = FixedPoint(1.0, 24)
    update = np.random.default_rng(5).uniform(-1, 1, 50_000)
    expected = [round(value * 2.0**24) for value in update.tolist()]
    assert codec.encode(update).tolist() == expected


@pytest.mark.parametrize("place", [0, 20_000, 49_999])
def test_a_coordinate_beyond_the_clip_norm_is_found_anywhere(place: int) -> None:
    update = np.zeros(50_000)
    update[place] = -1.0000001
    with pytest.raises(ValueOutOfRange):
        FixedPoint(1.0, 20).encode(update)


def test_half_a_step_is_the_error_of_a_plain_mean() -> None:
    codec = FixedPoint(10.0, 20)
    assert codec.error_bound(4, 4) == codec.step / 2 == 10.0 / 2**21


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.0000001, -1.0000001])
def test_a_coordinate_beyond_the_clip_norm_is_refused(bad: float) -> None:
    with pytest.raises(ValueOutOfRange):
        FixedPoint(1.0, 20).encode(np.array([0.0, bad]))


@pytest.mark.parametrize("weight", [0, -1, 2, Fraction(3, 2)])
def test_a_weight_outside_its_range_is_refused(weight: Fraction) -> None:
    with pytest.raises(ValueOutOfRange, match="weight"):
        FixedPoint(1.0, 20).encode(np.zeros(1), weight)


def test_a_total_weight_of_nothing_is_refused() -> None:
    with pytest.raises(ValueOutOfRange, match="weight"):
        FixedPoint(1.0, 20).decode(np.zeros(1, dtype=np.int64), 0)


@pytest.mark.parametrize(("clip_norm", "bits"), [(0.0, 20), (np.inf, 20), (1.0, 7), (1.0, 31)])
def test_settings_out_of_range_are_refused(clip_norm: float, bits: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        FixedPoint(clip_norm, bits)
