"""Numba's packing against NumPy's, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.crypto import residues as packing

kernels = packing.packing_kernels()
needs_numba = pytest.mark.skipif(kernels is None, reason="Numba is not installed")


@needs_numba
@given(st.integers(8, 56), st.integers(0, 300), st.integers(0, 2**32))
def test_both_ways_of_packing_give_the_same_bits(bits: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, count, dtype=np.uint64)
    packed = packing.pack(values, bits)
    assert packed == packing.pack_with_numpy(values, bits)
    np.testing.assert_array_equal(packing.unpack(packed, count, bits), values)
    np.testing.assert_array_equal(packing.unpack_with_numpy(packed, count, bits), values)


@given(st.integers(8, 56), st.integers(0, 40), st.integers(0, 2**32))
def test_packing_is_a_little_endian_bit_string(bits: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, count, dtype=np.uint64)
    whole = sum(int(value) << (bits * place) for place, value in enumerate(values))
    expected = whole.to_bytes(packing.packed_bytes(count, bits), "little")
    assert packing.pack(values, bits) == packing.pack_with_numpy(values, bits) == expected


def test_packing_falls_back_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(100, dtype=np.uint64)
    expected = packing.pack(values, 20)
    monkeypatch.setattr(packing, "packing_kernels", lambda: None)
    assert packing.pack(values, 20) == expected
    np.testing.assert_array_equal(packing.unpack(expected, 100, 20), values)
