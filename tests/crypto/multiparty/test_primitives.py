"""Each primitive against slow exact integers and, where it draws, against its distribution."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import KeyUnusable
from fedmrg_secure.crypto.multiparty import ntt, reed_solomon
from fedmrg_secure.crypto.multiparty.crs import BLOCK_WORDS, ReferenceString, crs_key, sift
from fedmrg_secure.crypto.multiparty.noise import Coins, noise
from fedmrg_secure.crypto.multiparty.ring import PSI, Limbs, join, reduce, reverse_bits
from fedmrg_secure.crypto.multiparty.stream import KeyStream
from fedmrg_secure.crypto.multiparty.switching import down, up
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS as Q
from fedmrg_secure.crypto.multiparty_budget import WIRE_BITS

N = 2048
residues = st.integers(0, Q - 1)


def test_psi_is_the_smallest_primitive_root_of_its_order() -> None:
    assert pow(PSI, N, Q) == Q - 1
    assert min(pow(PSI, odd, Q) for odd in range(1, 2 * N, 2)) == PSI


@given(residues, st.integers(-(2**29), 2**29))
def test_limbs_multiply_exactly(factor: int, value: int) -> None:
    limbs = Limbs.of([factor])
    product = join(limbs.high * value, limbs.low * value)
    assert (int(product[0]) - factor * value) % Q == 0
    assert abs(product[0]) <= Q // 2 + 2


@given(st.integers(-(2**52), 2**52))
def test_reduction_is_exact(value: int) -> None:
    reduced = np.array([float(value)])
    reduce(reduced)
    assert (int(reduced[0]) - value) % Q == 0
    assert abs(reduced[0]) <= Q // 2 + 2


@given(st.integers(0, 2**32), st.integers(0, N - 1))
@settings(max_examples=15, deadline=None)
def test_the_transform_is_the_value_at_the_documented_point(seed: int, place: int) -> None:
    x = np.random.default_rng(seed).integers(0, Q, (1, N), dtype=np.uint32)
    x[0, :2] = [0, Q - 1]
    made = ntt.forward(x)
    point = pow(PSI, 2 * int(reverse_bits(N)[place]) + 1, Q)
    value = 0
    for coefficient in reversed(x[0].tolist()):
        value = (value * point + coefficient) % Q
    assert int(made[0, place]) == value
    np.testing.assert_array_equal(ntt.inverse(made), x)


@pytest.mark.parametrize("fill", [0, 1, Q // 2, Q - 1])
def test_the_transform_at_the_extremes(fill: int) -> None:
    x = np.full((2, N), fill, dtype=np.uint32)
    np.testing.assert_array_equal(ntt.inverse(ntt.forward(x)), x)
    np.testing.assert_array_equal(ntt.forward(ntt.inverse(x)), x)


def test_multiplying_transforms_multiplies_polynomials() -> None:
    random = np.random.default_rng(1)
    x, y = random.integers(0, Q, (2, 1, N), dtype=np.uint32)
    product = ntt.forward(x).astype(object) * ntt.forward(y).astype(object) % Q
    made = ntt.inverse(product.astype(np.uint32))[0]
    for k in (0, 1, 1000, 2047):
        terms = ((1 if j <= k else -1) * int(x[0, j]) * int(y[0, (k - j) % N]) for j in range(N))
        assert int(made[k]) == sum(terms) % Q


def test_the_stream_is_aes_256_in_counter_mode() -> None:
    key, counter = bytes(range(32)), 2**64 - 1
    whole = KeyStream(key, counter).take(1000).tobytes()
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    blocks = b"".join(ecb.update((counter + i).to_bytes(16, "big")) for i in range(63))
    assert whole == blocks[:1000]
    pieces = KeyStream(key, counter)
    assert b"".join(pieces.take(size).tobytes() for size in (10, 0, 600, 390)) == whole
    pieces.wipe()


class TestReferenceString:
    key = crs_key(bytes(range(32)))

    def test_pieces_and_seeking_give_the_same_blocks(self) -> None:
        whole = ReferenceString(self.key, 5).take(6)[:, :N].copy()
        pieces = ReferenceString(self.key, 5)
        assert np.array_equal(pieces.take(2)[:, :N], whole[:2])
        assert np.array_equal(pieces.take(4)[:, :N], whole[2:])
        assert np.array_equal(ReferenceString(self.key, 10).take(1)[0, :N], whole[5])

    def test_it_is_uniform_below_q(self) -> None:
        a = ReferenceString(self.key, 0).take(64)[:, :N]
        assert int(a.max()) < Q
        counts = np.bincount((a.reshape(-1).astype(np.int64) * 256) // Q, minlength=256)
        expected = a.size / 256
        assert float(((counts - expected) ** 2 / expected).sum()) < 255 + 8 * math.sqrt(2 * 255)

    def test_words_at_or_above_q_are_left_out(self) -> None:
        words = np.arange(BLOCK_WORDS, dtype=np.uint32)
        words[[0, 5, N - 1]] = Q, 2**30 - 1, Q
        kept = [word for word in words.tolist() if word < Q][:N]
        assert sift(words).tolist() == kept

    def test_too_few_words_are_no_reference_string(self) -> None:
        words = np.zeros(BLOCK_WORDS, dtype=np.uint32)
        words[:16] = Q
        sift(words)
        words[16] = Q
        with pytest.raises(KeyUnusable, match="no reference string"):
            sift(words)

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_a_plan_hash_has_32_bytes(self, size: int) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            crs_key(bytes(size))


class TestNoise:
    @given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
    def test_it_is_the_difference_of_21_coin_pairs(self, words: list[int]) -> None:
        pairs = [
            sum((word >> i & 1) - (1 - (word >> (21 + i) & 1)) for i in range(21)) for word in words
        ]
        assert noise(np.array(words, dtype=np.uint64)).tolist() == pairs

    def test_its_distribution_is_the_centred_binomial(self) -> None:
        sample = noise(Coins(bytes(32)).take(64)).reshape(-1)
        counts = np.bincount(sample + 21, minlength=43)
        expected = np.array([math.comb(42, k) for k in range(43)]) / 2**42 * sample.size
        often = expected > 5
        statistic = ((counts - expected)[often] ** 2 / expected[often]).sum()
        assert statistic < often.sum() + 8 * math.sqrt(2 * often.sum())
        assert float(np.mean(sample)) == pytest.approx(0, abs=5 * 3.24 / math.sqrt(sample.size))
        assert float(np.var(sample)) == pytest.approx(10.5, rel=0.03)
        neighbours = np.corrcoef(sample[:-1], sample[1:])[0, 1]
        assert abs(neighbours) < 5 / math.sqrt(sample.size)


class TestSwitching:
    @given(st.sampled_from(WIRE_BITS), st.lists(residues, min_size=1, max_size=50))
    def test_down_is_rounding(self, wire_bits: int, ring: list[int]) -> None:
        expected = [round(Fraction(c << wire_bits, Q)) % (1 << wire_bits) for c in ring]
        assert down(np.array(ring), wire_bits).tolist() == expected

    @given(st.sampled_from(WIRE_BITS), st.data())
    def test_up_is_rounding_half_upwards(self, wire_bits: int, data: st.DataObject) -> None:
        y = data.draw(st.integers(0, (1 << wire_bits) - 1))
        expected = math.floor(Fraction(y * Q, 1 << wire_bits) + Fraction(1, 2))
        assert up(np.array([y], dtype=np.uint64), wire_bits).tolist() == [expected]
        assert expected < Q

    @given(st.sampled_from(WIRE_BITS), residues)
    def test_there_and_back_errs_by_half_a_wire_unit_at_most(self, wire_bits: int, c: int) -> None:
        back = int(up(down(np.array([c]), wire_bits), wire_bits)[0])
        error = (back - c + Q // 2) % Q - Q // 2
        assert abs(error) <= Fraction(Q, 2 << wire_bits) + Fraction(1, 2)

    @pytest.mark.parametrize("wire_bits", WIRE_BITS)
    def test_its_error_is_uniform_and_centred(self, wire_bits: int) -> None:
        c = np.random.default_rng(0).integers(0, Q, 1 << 16)
        y = down(c, wire_bits).astype(np.int64)
        error = ((y * Q - (c << wire_bits) + Q // 2) % Q - Q // 2) / Q
        assert abs(error).max() <= 0.5
        assert error.mean() == pytest.approx(0, abs=0.01)
        assert error.var() == pytest.approx(1 / 12, rel=0.05)


@given(st.integers(1, 12), st.integers(0, 8), st.randoms(use_true_random=False), st.data())
@settings(max_examples=60, deadline=None)
def test_the_nearest_word_is_found_up_to_half_the_spare_places(
    dimension: int, spare: int, random: object, data: st.DataObject
) -> None:
    size = dimension + spare
    polynomial = [random.randrange(Q) for _ in range(dimension)]  # type: ignore[attr-defined]
    points = list(range(1, size + 1))
    values = [sum(c * x**m for m, c in enumerate(polynomial)) % Q for x in points]
    wrong = data.draw(
        st.sets(st.integers(0, size - 1), max_size=spare // 2) if spare else st.just(set())
    )
    for place in wrong:
        values[place] = (values[place] + random.randrange(1, Q)) % Q  # type: ignore[attr-defined]
    assert reed_solomon.error_places(points, values, dimension) == tuple(sorted(wrong))


def test_too_many_wrong_values_are_not_guessed() -> None:
    points, values = list(range(1, 10)), [7] * 9
    values[0], values[1], values[2] = 1, 2, 300
    assert reed_solomon.error_places(points, values, 5) is None
