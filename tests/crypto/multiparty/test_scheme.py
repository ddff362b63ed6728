from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import (
    KeySpent,
    KeyUnusable,
    OpeningRefused,
    ValuesOutOfRange,
)
from fedmrg_secure.crypto.keys import SecretUnavailable
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, RoundKey
from fedmrg_secure.crypto.multiparty_budget import WIRE_BITS
from fedmrg_secure.crypto.parameters import INSECURE_PLAINTEXT, SchemeParameters
from fedmrg_secure.crypto.plaintext import InsecurePlaintext
from fedmrg_secure.crypto.residues import add_mod
from tests.crypto.multiparty.federation import PLAN, Federation, parameters_for, updates

N = 2048
CHECK = 64


def oracle(values: np.ndarray, bound: int) -> np.ndarray:
    """The sum through the same interface without encryption."""
    parameters = SchemeParameters.for_config(
        INSECURE_PLAINTEXT, sites=len(values), max_abs_value=bound
    )
    scheme = InsecurePlaintext(parameters)
    opened = []
    for index in range(parameters.chunk_count(values.shape[1])):
        place = parameters.chunk_slice(index, values.shape[1])
        chunks = [scheme.encrypt_chunk(index, row[place]).residues for row in values]
        total = chunks[0].copy()
        for chunk in chunks[1:]:
            add_mod(total, chunk, parameters.modulus)
        count = place.stop - place.start
        opened.append(scheme.open_chunk(index, total, [b""] * len(values), count))
    return np.concatenate(opened)


@pytest.mark.parametrize("wire_bits", WIRE_BITS)
@pytest.mark.parametrize("sites", [2, 3, 7, 16, 50])
@pytest.mark.parametrize("bound", [100, 1 << 17])
def test_sums_are_within_their_bound_of_the_plaintext_oracle(
    sites: int, wire_bits: int, bound: int
) -> None:
    parameters = parameters_for(sites, bound, wire_bits)
    values = updates(sites, 3 * N + 17, bound)
    values[:, :2] = [bound, -bound]
    federation = Federation(parameters, values, threshold=sites // 2 + 1)
    error = federation.open(federation.summed()) - oracle(values, bound)
    assert np.abs(error).max() <= parameters.sum_error_bound(sites)
    rms = float(np.sqrt(np.mean(error.astype(float) ** 2)))
    assert rms <= 1.05 * parameters.sum_error_rms(sites)
    if parameters.sum_error_rms(sites) > 1:
        # Where noise is no smaller than the grid, the stated figure is what comes out.
        assert rms >= 0.95 * parameters.sum_error_rms(sites)


@pytest.mark.parametrize(
    "count",
    [1, N - 65, N - 64, N - 63, N - 1, N, N + 1, 4 * N - 64, 4 * N - 63, 4 * N, 4 * N + 1, 8 * N],
)
def test_a_vector_of_any_length_has_room_for_its_check_block(count: int) -> None:
    parameters = parameters_for(2, blocks_per_chunk=4)
    values = updates(2, count, 10_000)
    federation = Federation(parameters, values)
    blocks = sum(residues.size for residues in federation.uploads[0]) // N
    assert blocks == -(-(count + CHECK) // N)
    np.testing.assert_array_equal(federation.open(federation.summed()), values.sum(axis=0))


def test_the_last_chunk_may_hold_nothing_but_the_check_block() -> None:
    parameters = parameters_for(2, blocks_per_chunk=4)
    assert parameters.chunk_count(4 * N) == 2
    assert parameters.chunk_slice(1, 4 * N) == slice(4 * N, 4 * N)
    assert parameters.chunk_blocks(1, 4 * N) == 1
    scheme = CkksMultiparty(parameters, PLAN, 4 * N, key=RoundKey.generate(parameters))
    assert scheme.encrypt_chunk(1, np.zeros(0, dtype=np.int64)).residues.shape == (N,)


def test_any_threshold_many_holders_open_the_sum_of_those_that_are_left() -> None:
    values = updates(5, N + 3, 10_000)
    federation = Federation(parameters_for(5), values, threshold=3)
    included = [0, 2, 3, 4]
    sums = federation.summed(included)
    opened = federation.open(sums, federation.sum_key(included), sites=4)
    np.testing.assert_array_equal(opened, values[included].sum(axis=0))


class TestTampering:
    values = updates(3, 2 * N, 10_000)

    @pytest.fixture
    def federation(self) -> Federation:
        return Federation(parameters_for(3), self.values, threshold=2)

    def test_an_honest_sum_opens(self, federation: Federation) -> None:
        opened = federation.open(federation.summed())
        np.testing.assert_array_equal(opened, self.values.sum(axis=0))

    @pytest.mark.parametrize("place", [0, 1, CHECK - 1])
    def test_a_changed_residue_in_the_check_block(self, federation: Federation, place: int) -> None:
        sums = federation.summed()
        sums[-1][-1 - place] ^= np.uint64(1 << 19)
        with pytest.raises(OpeningRefused, match="check block"):
            federation.open(sums)

    def test_a_changed_residue_in_the_padding(self, federation: Federation) -> None:
        sums = federation.summed()
        # A tenth of what the sites may send: small enough for every other check.
        shift = np.uint64(self.values.shape[0] * 1000 * federation.parameters.scale // 1024)
        sums[-1][-CHECK - 1] = (sums[-1][-CHECK - 1] + shift) % np.uint64(1 << 20)
        with pytest.raises(OpeningRefused, match="padding"):
            federation.open(sums)

    def test_one_upload_instead_of_the_sum(self, federation: Federation) -> None:
        with pytest.raises(OpeningRefused, match="check block"):
            federation.open(federation.uploads[0], sites=1)

    def test_a_sum_that_lacks_an_upload(self, federation: Federation) -> None:
        with pytest.raises(OpeningRefused, match="check block"):
            federation.open(federation.summed([0, 1]))

    def test_an_upload_counted_twice(self, federation: Federation) -> None:
        with pytest.raises(OpeningRefused, match="check block"):
            federation.open(federation.summed([0, 1, 1]))

    def test_the_key_of_other_sites(self, federation: Federation) -> None:
        with pytest.raises(OpeningRefused, match="check block"):
            federation.open(federation.summed(), federation.sum_key([0, 1]))

    def test_another_plan(self, federation: Federation) -> None:
        with pytest.raises(OpeningRefused, match="check block"):
            federation.open(federation.summed(), plan=bytes(31) + b"\x01")

    def test_a_sum_of_zeros(self, federation: Federation) -> None:
        with pytest.raises(OpeningRefused):
            federation.open([np.zeros_like(residues) for residues in federation.summed()])

    def test_openers_are_refused(self, federation: Federation) -> None:
        scheme = CkksMultiparty(
            federation.parameters, PLAN, federation.count, sum_key=federation.sum_key()
        )
        with pytest.raises(OpeningRefused, match="no openers"):
            scheme.open_chunk(0, federation.summed()[0], [b"", b"x", b""], 2 * N)

    def test_more_than_the_sites_may_send(self) -> None:
        """A site that runs other software encrypts ten times the bound."""
        bold = parameters_for(2, 10_000)
        meek = SchemeParameters.from_json(bold.to_json() | {"max_abs_value": 1000})
        values = np.full((2, 50), 10_000)
        federation = Federation(bold, values)
        scheme = CkksMultiparty(meek, PLAN, 50, sum_key=federation.sum_key())
        with pytest.raises(OpeningRefused, match="2 sites may send"):
            scheme.open_chunk(0, federation.summed()[0], [b""] * 2, 50)


class TestKeysOfAScheme:
    parameters = parameters_for(2, blocks_per_chunk=1)
    values = updates(1, N, 10_000)[0]

    def scheme(self, key: RoundKey, plan: bytes = PLAN) -> CkksMultiparty:
        return CkksMultiparty(self.parameters, plan, 4 * N, key=key)

    def test_the_same_chunk_again_gives_the_same_bytes_also_after_a_restart(self) -> None:
        key = RoundKey.generate(self.parameters)
        stored = key.to_secret_bytes()
        first = self.scheme(key).encrypt_chunk(0, self.values)
        again = self.scheme(key).encrypt_chunk(0, self.values)
        restarted = RoundKey.from_secret_bytes(stored, self.parameters)
        later = self.scheme(restarted).encrypt_chunk(0, self.values)
        np.testing.assert_array_equal(first.residues, again.residues)
        np.testing.assert_array_equal(first.residues, later.residues)

    def test_a_chunk_with_other_values_is_refused(self) -> None:
        key = RoundKey.generate(self.parameters)
        self.scheme(key).encrypt_chunk(0, self.values)
        changed = self.values.copy()
        changed[-1] += 1 if changed[-1] < 0 else -1
        with pytest.raises(KeySpent, match="chunk 0"):
            self.scheme(key).encrypt_chunk(0, changed)
        self.scheme(key).encrypt_chunk(1, changed)

    def test_a_key_serves_one_plan(self) -> None:
        key = RoundKey.generate(self.parameters)
        self.scheme(key)
        with pytest.raises(KeySpent, match="another plan"):
            self.scheme(key, bytes(31) + b"\x01")
        restarted = RoundKey.from_secret_bytes(key.to_secret_bytes(), self.parameters)
        with pytest.raises(KeySpent, match="another plan"):
            self.scheme(restarted, bytes(31) + b"\x01")

    def test_equal_chunks_give_unrelated_residues(self) -> None:
        scheme = self.scheme(RoundKey.generate(self.parameters))
        first, second = (scheme.encrypt_chunk(index, self.values).residues for index in (0, 1))
        assert np.count_nonzero(first == second) < 5

    def test_a_missing_key(self) -> None:
        scheme = CkksMultiparty(self.parameters, PLAN, 100)
        with pytest.raises(KeyUnusable, match="encrypt"):
            scheme.encrypt_chunk(0, self.values[:100])
        with pytest.raises(KeyUnusable, match="open"):
            scheme.open_chunk(0, np.zeros(N, dtype=np.uint64), [b""], 100)

    def test_a_destroyed_key(self) -> None:
        key = RoundKey.generate(self.parameters)
        scheme = self.scheme(key)
        scheme.encrypt_chunk(0, self.values)
        held = key.transform()
        key.destroy()
        assert not held.any()
        for use in (
            lambda: scheme.encrypt_chunk(1, self.values),
            lambda: key.shares(2, 2),
            key.to_secret_bytes,
        ):
            with pytest.raises(SecretUnavailable):
                use()

    def test_values_out_of_range_are_not_encrypted(self) -> None:
        scheme = self.scheme(RoundKey.generate(self.parameters))
        beyond = self.values.copy()
        beyond[7] = 10_001
        with pytest.raises(ValuesOutOfRange):
            scheme.encrypt_chunk(0, beyond)
        scheme.encrypt_chunk(0, self.values)

    @pytest.mark.parametrize("count", [N - 1, N + 1, 0])
    def test_a_chunk_of_another_length_is_refused(self, count: int) -> None:
        scheme = self.scheme(RoundKey.generate(self.parameters))
        with pytest.raises(ValueError, match="values"):
            scheme.encrypt_chunk(0, np.zeros(count, dtype=np.int64))

    def test_keys_of_other_parameters_are_refused(self) -> None:
        with pytest.raises(KeyUnusable, match="other parameters"):
            self.scheme(RoundKey.generate(parameters_for(3)))

    def test_a_scheme_shows_no_key_and_is_not_copied(self) -> None:
        scheme = self.scheme(RoundKey.generate(self.parameters))
        assert "redacted" in repr(scheme)
        for copying in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                copying(scheme)


@given(st.integers(1, 3), st.sampled_from(WIRE_BITS), st.integers(1, 1 << 20), st.data())
@settings(max_examples=25, deadline=None)
def test_a_ciphertext_of_any_values_opens_within_the_bound(
    sites: int, wire_bits: int, bound: int, data: st.DataObject
) -> None:
    parameters = parameters_for(sites, bound, wire_bits)
    few = st.lists(st.integers(-bound, bound), min_size=5, max_size=5)
    values = np.array(data.draw(st.lists(few, min_size=sites, max_size=sites)))
    federation = Federation(parameters, values)
    error = federation.open(federation.summed()) - values.sum(axis=0)
    assert np.abs(error).max() <= parameters.sum_error_bound(sites)


def test_a_ciphertext_shows_nothing_of_its_size() -> None:
    """Residues of zeros and of the largest values are equally uniform: a chi-squared test."""
    parameters = parameters_for(2)
    for level in (0, 10_000):
        key = RoundKey.generate(parameters)
        scheme = CkksMultiparty(parameters, PLAN, 16 * N, key=key)
        values = np.full(16 * N, level)
        residues = scheme.encrypt_chunk(0, values).residues
        counts = np.bincount((residues >> np.uint64(14)).astype(np.int64), minlength=64)
        expected = residues.size / 64
        assert float(((counts - expected) ** 2 / expected).sum()) < 63 + 8 * np.sqrt(2 * 63)
