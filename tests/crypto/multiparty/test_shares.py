from __future__ import annotations

import copy
import pickle
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import (
    KeyUnusable,
    ShareInvalid,
)
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.multiparty import shamir
from fedmrg_secure.crypto.multiparty.scheme import (
    KeyShare,
    RoundKey,
    SumKey,
    add_shares,
    combine,
)
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty.shares import SHARE_BYTES
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS as Q
from tests.crypto.multiparty.federation import parameters_for

PARAMETERS = parameters_for(3)
N = 2048


def secret_of(key: SumKey | RoundKey) -> np.ndarray:
    return key._secret.coefficients


@given(st.integers(1, 9), st.data())
@settings(max_examples=20, deadline=None)
def test_any_threshold_many_shares_give_the_secret(count: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, count))
    key = RoundKey.generate(PARAMETERS)
    shares = data.draw(st.permutations(key.shares(count, threshold)))
    combined = combine(shares[:threshold], threshold)
    np.testing.assert_array_equal(secret_of(combined), secret_of(key))
    assert combined.wrong_holders == ()


@pytest.mark.parametrize("count", [256, 257, 1024])
def test_sharing_follows_shamir_in_exact_integers(count: int) -> None:
    random = np.random.default_rng(0)
    coefficients = random.integers(0, Q, (count, N), dtype=np.uint32)
    shares = shamir.evaluate(coefficients, count)
    for holder in (1, 2, 77, count):
        for place in (0, 1, 2047):
            terms = (int(c) * pow(holder, m, Q) for m, c in enumerate(coefficients[:, place]))
            assert int(shares[holder - 1, place]) == sum(terms) % Q
    (secret,) = shamir.interpolate(range(1, count + 1), list(shares))
    np.testing.assert_array_equal(secret, coefficients[0])


@pytest.mark.parametrize("count", [255, 256, 257, 512, 1023, 1024])
def test_the_largest_products_add_up_exactly(count: int) -> None:
    """Every limb and every centred residue at its bound, all of one sign, and odd sums."""
    random = np.random.default_rng(count)
    low = -(1 << 14)
    factors = [[(int(high) * (1 << 15) + low) % Q for high in row] for row in (
        random.integers(-16380, 16380, count),
        np.full(count, 16380),
        np.full(count, -16383),
    )]  # fmt: skip
    vectors = random.integers(0, 2000, (count, N)).astype(np.uint32)
    vectors[:, ::3] = Q - 1 - vectors[:, ::3]
    vectors[:, :2] = (0, Q - 1)
    sums = shamir._combinations(factors, vectors)
    for row, total in zip(factors, sums, strict=True):
        for place in range(16):
            terms = (a * int(v) for a, v in zip(row, vectors[:, place], strict=True))
            assert int(total[place]) == sum(terms) % Q


def test_fewer_shares_than_the_threshold_interpolate_to_something_else() -> None:
    key = RoundKey.generate(PARAMETERS)
    shares = key.shares(5, 3)
    (guess,) = shamir.interpolate([1, 2], [share.coefficients for share in shares[:2]])
    assert np.count_nonzero(guess == secret_of(key)) < 5


def test_one_share_is_uniform_whatever_the_secret() -> None:
    counts = np.zeros(64)
    for _ in range(8):
        key = RoundKey.generate(PARAMETERS)
        secret_of(key)[:] = 7
        first = key.shares(3, 2)[0].coefficients
        counts += np.bincount(first.astype(np.int64) * 64 // Q, minlength=64)
    expected = 8 * N / 64
    assert float(((counts - expected) ** 2 / expected).sum()) < 63 + 8 * np.sqrt(2 * 63)


def test_sharing_again_gives_the_same_shares_and_another_way_others() -> None:
    key = RoundKey.generate(PARAMETERS)
    first, again, other = key.shares(4, 3), key.shares(4, 3), key.shares(4, 2)
    for one, two, three in zip(first, again, other, strict=True):
        assert one.to_bytes() == two.to_bytes() != three.to_bytes()


def test_the_sum_of_shares_is_a_share_of_the_sum() -> None:
    keys = [RoundKey.generate(PARAMETERS) for _ in range(3)]
    dealt = [key.shares(3, 2) for key in keys]
    sums = [add_shares([shares[holder] for shares in dealt]) for holder in range(3)]
    expected = sum(secret_of(key).astype(np.int64) for key in keys) % Q
    np.testing.assert_array_equal(secret_of(combine(sums[1:], 2)), expected)


@pytest.mark.parametrize(("count", "threshold"), [(0, 1), (3, 0), (3, 4), (1025, 2)])
def test_impossible_sharings_are_refused(count: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        RoundKey.generate(PARAMETERS).shares(count, threshold)


class TestBytes:
    share = RoundKey.generate(PARAMETERS).shares(3, 2)[1]

    def test_there_and_back(self) -> None:
        data = self.share.to_bytes()
        assert len(data) == SHARE_BYTES == 7680 + 10
        back = KeyShare.from_bytes(data)
        assert back.holder == 2
        np.testing.assert_array_equal(back.coefficients, self.share.coefficients)

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: b"",
            lambda data: data[:-1],
            lambda data: data + b"\0",
            lambda data: b"FMRGSHR\x02" + data[8:],
            lambda data: b"FMRGMPS\x01" + data[8:],
            lambda data: data[:8] + b"\0\0" + data[10:],
            lambda data: data[:8] + b"\4\1" + data[10:],
            lambda data: data[:10] + b"\xff" * 4 + data[14:],
            lambda data: data[:10] + Q.to_bytes(4, "little") + data[14:],
            lambda data: data[:-4] + b"\xff" * 4,
        ],
    )
    def test_hostile_bytes(self, change: object) -> None:
        with pytest.raises(ShareInvalid) as refused:
            KeyShare.from_bytes(change(self.share.to_bytes()))  # type: ignore[operator]
        assert refused.value.__cause__ is None

    @given(st.binary(max_size=SHARE_BYTES + 5))
    def test_arbitrary_bytes(self, data: bytes) -> None:
        with pytest.raises(ShareInvalid):
            KeyShare.from_bytes(data)

    @given(st.integers(0, 8 * SHARE_BYTES - 1))
    @settings(max_examples=60)
    def test_a_flipped_bit_is_refused_or_another_share(self, bit: int) -> None:
        data = bytearray(self.share.to_bytes())
        data[bit // 8] ^= 1 << bit % 8
        try:
            changed = KeyShare.from_bytes(bytes(data))
        except ShareInvalid:
            return
        assert int(changed.coefficients.max()) < Q
        assert changed.to_bytes() == bytes(data)

    def test_a_round_key_and_a_sum_s_key_there_and_back(self) -> None:
        key = RoundKey.generate(PARAMETERS)
        again = RoundKey.from_secret_bytes(key.to_secret_bytes(), PARAMETERS)
        np.testing.assert_array_equal(secret_of(again), secret_of(key))
        total = combine(key.shares(2, 2), 2)
        back = SumKey.from_secret_bytes(total.to_secret_bytes())
        np.testing.assert_array_equal(secret_of(back), secret_of(key))

    @pytest.mark.parametrize("cut", [slice(0), slice(1, None), slice(-1)])
    def test_other_bytes_are_no_keys(self, cut: slice) -> None:
        key = RoundKey.generate(PARAMETERS)
        for data, load in (
            (key.to_secret_bytes(), lambda data: RoundKey.from_secret_bytes(data, PARAMETERS)),
            (combine(key.shares(1, 1), 1).to_secret_bytes(), SumKey.from_secret_bytes),
        ):
            with pytest.raises(KeyUnusable):
                load(SecretBytes(data.reveal()[cut]))
            tail = SecretBytes(data.reveal()[:-4] + b"\xff" * 4)
            with pytest.raises(KeyUnusable) as refused:
                load(tail)
            assert not any(character.isdigit() for character in refused.value.message)
        with pytest.raises(KeyUnusable):
            RoundKey.from_secret_bytes(key.to_secret_bytes(), parameters_for(4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RoundKey.generate(PARAMETERS),
        lambda: RoundKey.generate(PARAMETERS).shares(2, 2)[0],
        lambda: combine(RoundKey.generate(PARAMETERS).shares(2, 2), 2),
        SecretPolynomial.uniform,
    ],
)
def test_nothing_shows_or_copies_a_secret(make: object) -> None:
    secret = make()  # type: ignore[operator]
    polynomial = secret if isinstance(secret, SecretPolynomial) else secret._secret
    numbers = [str(value) for value in polynomial.coefficients[:50]]
    assert "redacted" in repr(secret)
    assert not any(number in repr(secret) for number in numbers)
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SecretUnavailable) as refused:
            copying(secret)
        text = "".join(traceback.format_exception(refused.value))
        assert not any(number in text for number in numbers)


def test_destroyed_secrets_are_zeros_and_gone() -> None:
    key = RoundKey.generate(PARAMETERS)
    share = key.shares(2, 2)[0]
    total = combine(key.shares(2, 2), 2)
    for secret in (share, total):
        held = secret._secret.coefficients
        secret.destroy()
        assert not held.any()
        with pytest.raises(SecretUnavailable):
            _ = secret._secret.coefficients


def test_secrets_are_uniform() -> None:
    counts = np.zeros(64)
    for _ in range(8):
        coefficients = SecretPolynomial.uniform().coefficients
        assert int(coefficients.max()) < Q
        counts += np.bincount(coefficients.astype(np.int64) * 64 // Q, minlength=64)
    expected = 8 * N / 64
    assert float(((counts - expected) ** 2 / expected).sum()) < 63 + 8 * np.sqrt(2 * 63)
