"""Numba's blocks against NumPy's, and both against exact integers."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.multiparty import engine, pure
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS, WIRE_BITS
from fedmrg_secure.crypto.residues import unpack

N = 2048
needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed"
)
edges = st.sampled_from([0, 1, RING_MODULUS // 2, RING_MODULUS // 2 + 1, RING_MODULUS - 1])


def inputs(seed: int, scale: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    bound = (RING_MODULUS // 2 - 1000) // scale
    return (
        random.integers(0, RING_MODULUS, (3, N + 16), dtype=np.uint32),
        random.integers(0, RING_MODULUS, N, dtype=np.uint32),
        random.integers(0, 2**64, (3, N), dtype=np.uint64),
        random.integers(-bound, bound + 1, (3, N)),
    )


def encrypt(blocks: engine.Blocks, wire_bits: int, *block: np.ndarray) -> np.ndarray:
    """The residues of encrypted blocks, shape (blocks, N)."""
    packed = np.empty((len(block[0]), N * wire_bits // 64), dtype=np.uint64)
    blocks.encrypt(*block, packed)
    return unpack(packed.tobytes(), len(packed) * N, wire_bits).reshape(-1, N)


@needs_numba
@given(
    st.integers(0, 2**32), st.integers(1, 2**28), st.sampled_from(WIRE_BITS), edges, st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_compiled_blocks_are_bit_equal_to_numpy_s(
    seed: int, scale: int, wire_bits: int, edge: int, flat: bool
) -> None:
    from fedmrg_secure.crypto.multiparty import kernels

    reference, key, coins, values = inputs(seed, scale)
    if flat:
        key[:] = edge
        reference[1] = edge
        coins[0], coins[1] = 0, 2**64 - 1
        bound = (RING_MODULUS // 2 - 1000) // scale
        values[0], values[1] = bound, -bound
    made = []
    for module in (pure, kernels):
        blocks = module.Blocks(key, scale=scale, wire_bits=wire_bits)
        residues = encrypt(blocks, wire_bits, reference, coins, values)
        opened = np.empty((3, N), dtype=np.int64)
        blocks.open(reference, residues, opened)
        blocks.wipe()
        made.append((residues, opened))
    np.testing.assert_array_equal(made[0][0], made[1][0])
    np.testing.assert_array_equal(made[0][1], made[1][1])


@pytest.mark.parametrize("wire_bits", WIRE_BITS)
def test_blocks_follow_the_equations_in_exact_integers(wire_bits: int) -> None:
    """One block, by schoolbook convolution of a sparse key with full a."""
    from fedmrg_secure.crypto.multiparty.ntt import forward, inverse

    scale = 12345
    reference, _, coins, values = inputs(wire_bits, scale)
    a = [int(x) for x in inverse(reference[:1, :N])[0]]
    places = {0: 5, 1: RING_MODULUS - 1, 700: 123456789, 2047: 987654321}
    sparse = np.zeros((1, N), dtype=np.uint32)
    for place, coefficient in places.items():
        sparse[0, place] = coefficient
    mask = [0] * N
    for place, coefficient in places.items():
        for j in range(N):
            sign = 1 if j + place < N else -1
            mask[(j + place) % N] += sign * a[j] * coefficient
    expected, opened_expected = [], []
    for j in range(N):
        noise = (int(coins[0, j]) % (1 << 42)).bit_count() - 21
        c = (mask[j] + noise + scale * int(values[0, j])) % RING_MODULUS
        y = round(Fraction(c << wire_bits, RING_MODULUS)) % (1 << wire_bits)
        expected.append(y)
        lifted = (2 * y * RING_MODULUS + (1 << wire_bits)) >> (wire_bits + 1)
        t = (lifted - mask[j]) % RING_MODULUS
        t -= RING_MODULUS * (t > RING_MODULUS // 2)
        opened_expected.append((2 * t + scale) // (2 * scale))
    blocks = engine.make_blocks(forward(sparse)[0], scale=scale, wire_bits=wire_bits)
    residues = encrypt(blocks, wire_bits, reference[:1], coins[:1], values[:1])
    assert residues[0].tolist() == expected
    opened = np.empty((1, N), dtype=np.int64)
    blocks.open(reference[:1], residues, opened)
    assert opened[0].tolist() == opened_expected


def test_without_numba_numpy_encrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_COMPILED", False)
    assert engine.engine_name() == "NumPy"
    key = np.zeros(N, dtype=np.uint32)
    assert isinstance(engine.make_blocks(key, scale=1, wire_bits=20), pure.Blocks)


def test_the_engine_is_numba_where_it_is_installed() -> None:
    installed = importlib.util.find_spec("numba") is not None
    assert engine.engine_name() == ("Numba" if installed else "NumPy")
    assert ("numba" in sys.modules) is installed
