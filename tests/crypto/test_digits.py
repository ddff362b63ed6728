from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.digits import join_digits, split_digits
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters


@pytest.mark.parametrize(("bits", "digits"), [(22, 1), (20, 2), (11, 3)])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_digits_of_a_sum_never_carry(bits: int, digits: int, seed: int) -> None:
    parameters = SchemeParameters.for_config(
        CKKS_SHARED, sites=4, max_abs_value=1 << bits, max_norm=1 << bits
    )
    assert parameters.digits == digits
    random = np.random.default_rng(seed)
    edges = np.array([-(1 << bits), -1, 0, 1, 1 << bits])
    sites = random.choice(edges, (4, 1, parameters.block_values))
    joined = [join_digits(site, parameters) for site in sites]
    assert joined[0].shape == (1, 2048)
    np.testing.assert_array_equal(split_digits(sum(joined), parameters), sites.sum(axis=0))
