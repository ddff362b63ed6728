from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.stable_random import orthonormal_rows, uniform


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 16), extra=st.integers(0, 90), seed=st.integers(0, 2**31 - 1))
def test_rows_are_orthonormal(rows: int, extra: int, seed: int) -> None:
    basis = orthonormal_rows(rows, rows + extra, label="layer", seed=seed).astype(np.float64)
    assert np.abs(basis @ basis.T - np.eye(rows)).max() < 1e-6


def test_the_values_are_pinned_for_all_machines() -> None:
    rows = orthonormal_rows(8, 576, label="ffa/model.layers.0.self_attn.q_proj", seed=7)
    values = uniform((3, 5), 0.5, label="start/encoder", seed=7)
    digest = hashlib.sha256(rows.tobytes() + values.tobytes()).hexdigest()
    assert digest == "e80f6b92026a55ea54c28e3176530dcb4c0409f67a055b0a07c82f7ac60ed7ff"


def test_more_rows_than_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 9 columns"):
        orthonormal_rows(9, 8, label="layer", seed=0)


def test_label_and_seed_change_the_values() -> None:
    first = uniform((100,), 1.0, label="a", seed=0)
    assert not np.array_equal(first, uniform((100,), 1.0, label="b", seed=0))
    assert not np.array_equal(first, uniform((100,), 1.0, label="a", seed=1))


def test_uniform_fills_its_range_evenly() -> None:
    values = uniform((20_000,), 0.25, label="a", seed=0)
    assert -0.25 <= values.min() < -0.249
    assert 0.249 < values.max() < 0.25
    assert abs(float(values.mean())) < 0.005
    assert abs(float(values.std()) - 0.25 / 3**0.5) < 0.002
