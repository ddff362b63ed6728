from __future__ import annotations

from fractions import Fraction

import pytest

from fedmrg_secure.crypto.capacity import check_capacity, error_bound, max_precision_bits
from fedmrg_secure.crypto.errors import CapacityExceeded, ErrorBoundExceeded
from fedmrg_secure.crypto.parameters import CKKS_SHARED, INSECURE_PLAINTEXT


def test_sound_settings_give_parameters_for_the_codecs_bounds() -> None:
    parameters = check_capacity(
        CKKS_SHARED, sites=4, clip_norm=10.0, precision_bits=20, max_error=1e-5
    )
    assert parameters.sites == 4
    assert parameters.max_abs_value == parameters.max_norm == 2**20


def test_too_many_sites_are_refused() -> None:
    with pytest.raises(CapacityExceeded, match="1025 sites"):
        check_capacity(INSECURE_PLAINTEXT, sites=1025, clip_norm=1.0, precision_bits=20)


def test_a_weight_too_large_is_refused_with_a_mend_that_works() -> None:
    weight = 10**5
    with pytest.raises(CapacityExceeded, match=r"precision_bits: 30.*50 sites") as refused:
        check_capacity(CKKS_SHARED, sites=50, clip_norm=1.0, precision_bits=30, max_weight=weight)
    mended = int(refused.value.hint.split()[3])
    assert mended == max_precision_bits(CKKS_SHARED, sites=50, max_weight=weight)
    check_capacity(CKKS_SHARED, sites=50, clip_norm=1.0, precision_bits=mended, max_weight=weight)


def test_a_grid_too_coarse_is_refused_with_a_mend_that_works() -> None:
    with pytest.raises(ErrorBoundExceeded, match="max_error") as refused:
        check_capacity(CKKS_SHARED, sites=4, clip_norm=1.0, precision_bits=10, max_error=1e-6)
    bits = int(refused.value.hint.split()[3])
    check_capacity(CKKS_SHARED, sites=4, clip_norm=1.0, precision_bits=bits, max_error=1e-6)
    with pytest.raises(ErrorBoundExceeded):
        check_capacity(CKKS_SHARED, sites=4, clip_norm=1.0, precision_bits=bits - 1, max_error=1e-6)


def test_uneven_weights_make_the_bound_larger() -> None:
    assert error_bound(sites=4, precision_bits=20, total_weight=4) == 2**-21
    assert error_bound(sites=4, precision_bits=20, total_weight=Fraction(2)) == 2**-20
