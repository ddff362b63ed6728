from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto import tenseal_shared
from fedmrg_secure.crypto.errors import KeyUnusable, OpeningRefused, ValuesOutOfRange
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import CKKS_SHARED, INSECURE_PLAINTEXT, SchemeParameters
from fedmrg_secure.crypto.plaintext import InsecurePlaintext
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.scheme import EncryptedChunk
from fedmrg_secure.crypto.schemes import make_scheme, needs_key, new_key
from fedmrg_secure.crypto.tenseal_shared import CkksShared


def parameters_for(sites: int, bits: int) -> SchemeParameters:
    return SchemeParameters.for_config(
        CKKS_SHARED, sites=sites, max_abs_value=1 << bits, max_norm=1 << bits
    )


PARAMETERS = parameters_for(4, 20)
BLOCK = PARAMETERS.block_values


@pytest.fixture(scope="module")
def key() -> SecretBytes:
    return new_key(PARAMETERS)


@pytest.fixture
def scheme(key: SecretBytes) -> CkksShared:
    return CkksShared(PARAMETERS, key)


def add(chunks: list[EncryptedChunk], modulus: int) -> np.ndarray:
    total = np.zeros_like(chunks[0].residues)
    for chunk in chunks:
        add_mod(total, chunk.residues, modulus)
    return total


def updates(sites: int, count: int, seed: int = 0, bits: int = 20) -> np.ndarray:
    """Integer updates, each of nearly the largest norm in its first block."""
    values = np.random.default_rng(seed).normal(size=(sites, count))
    values *= 0.99 * (1 << bits) / np.linalg.norm(values, axis=1, keepdims=True)
    return np.rint(values).astype(np.int64)


@given(st.integers(1, 4), st.integers(1, 2 * BLOCK + 3), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_opened_sum_is_the_plaintext_oracles(sites: int, count: int, seed: int) -> None:
    scheme = make_scheme(PARAMETERS, new_key(PARAMETERS))
    values = updates(sites, count, seed)
    chunks = [scheme.encrypt_chunk(0, row) for row in values]
    opened = scheme.open_chunk(
        0, add(chunks, PARAMETERS.modulus), [chunk.openers for chunk in chunks], count
    )
    oracle_parameters = SchemeParameters.for_config(
        INSECURE_PLAINTEXT, sites=4, max_abs_value=1 << 20
    )
    oracle = InsecurePlaintext(oracle_parameters)
    plain = [oracle.encrypt_chunk(0, row) for row in values]
    expected = oracle.open_chunk(0, add(plain, oracle_parameters.modulus), [b""] * sites, count)
    np.testing.assert_array_equal(opened, expected)


def extremes(parameters: SchemeParameters) -> dict[str, np.ndarray]:
    """Vectors at the edges of what a site may encrypt, one block each."""
    largest, block = parameters.max_abs_value, parameters.block_values
    first = np.zeros(block, dtype=np.int64)
    first[0] = largest
    last = np.zeros(block, dtype=np.int64)
    last[-1] = -largest
    level = math.isqrt(parameters.max_block_norm**2 // block)
    dense = np.full(block, min(level, largest), dtype=np.int64)
    signs = np.random.default_rng(0).choice([-1, 1], block)
    return {"one value": first, "last value": last, "dense": dense, "dense signs": dense * signs}


@pytest.mark.parametrize(
    ("sites", "bits", "bounded"),
    [
        (1, 14, True),
        (2, 20, True),
        (2, 30, True),
        (4, 20, True),
        (16, 17, True),
        (50, 14, True),
        (50, 30, True),
        (3, 16, False),
        (50, 24, False),
    ],
)
def test_sums_at_the_extremes_are_exact_and_their_noise_as_derived(
    sites: int, bits: int, bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All sites at the bound, the same vector everywhere: the worst case of every inequality."""
    parameters = SchemeParameters.for_config(
        CKKS_SHARED, sites=sites, max_abs_value=1 << bits, max_norm=1 << bits if bounded else None
    )
    scheme = CkksShared(parameters, new_key(parameters))
    residuals = []
    check = CkksShared._check_noise

    def spy(self: CkksShared, residual: np.ndarray, count: int) -> None:
        residuals.append(residual)
        check(self, residual, count)

    monkeypatch.setattr(CkksShared, "_check_noise", spy)
    for values in extremes(parameters).values():
        chunks = [scheme.encrypt_chunk(0, values) for _ in range(sites)]
        opened = scheme.open_chunk(
            0, add(chunks, parameters.modulus), [c.openers for c in chunks], values.size
        )
        np.testing.assert_array_equal(opened, sites * values)
    noise = np.concatenate(residuals).ravel() * parameters.scale / parameters.noise_sigma(sites)
    # sigma counts the encoder's rounding in its worst case, so the true one may be a little less.
    assert 0.85 < np.sqrt(np.mean(noise**2)) < 1.05
    assert np.abs(noise).max() < 6.5


def test_a_chunk_of_several_blocks_streams_through_frames(scheme: CkksShared) -> None:
    values = updates(2, 3 * BLOCK)
    chunks = [scheme.encrypt_chunk(0, row) for row in values]
    assert chunks[0].residues.shape == (3 * 2048,)
    assert len(chunks[0].openers) == 3 * 64
    total = add(chunks, PARAMETERS.modulus)
    opened = scheme.open_chunk(0, total, [c.openers for c in reversed(chunks)], 3 * BLOCK)
    np.testing.assert_array_equal(opened, values.sum(axis=0))


def test_equal_updates_give_unrelated_ciphertexts(scheme: CkksShared) -> None:
    values = updates(1, BLOCK)[0]
    first, second = scheme.encrypt_chunk(0, values), scheme.encrypt_chunk(0, values)
    assert first.openers != second.openers
    assert np.count_nonzero(first.residues == second.residues) < 5


def test_a_ciphertext_shows_nothing_of_its_size(scheme: CkksShared) -> None:
    """Residues of zero and of a large update are equally uniform: a chi-squared test of each."""
    for values in (np.zeros(16 * BLOCK, dtype=np.int64), np.tile(updates(1, BLOCK)[0], 16)):
        residues = scheme.encrypt_chunk(0, values).residues
        counts = np.bincount((residues >> np.uint64(48)).astype(np.int64), minlength=64)
        statistic = float(((counts - residues.size / 64) ** 2 / (residues.size / 64)).sum())
        assert statistic < 63 + 8 * math.sqrt(2 * 63)


class TestRefusals:
    values = updates(3, BLOCK + 5)

    @pytest.fixture
    def chunks(self, scheme: CkksShared) -> list[EncryptedChunk]:
        return [scheme.encrypt_chunk(0, row) for row in self.values]

    def refuse(
        self, scheme: CkksShared, residues: np.ndarray, openers: list[bytes], why: str
    ) -> None:
        with pytest.raises(OpeningRefused, match=why):
            scheme.open_chunk(0, residues, openers, BLOCK + 5)

    def test_a_wrong_key(self, chunks: list[EncryptedChunk]) -> None:
        other = CkksShared(PARAMETERS, new_key(PARAMETERS))
        total = add(chunks, PARAMETERS.modulus)
        self.refuse(other, total, [c.openers for c in chunks], "does not open")

    def test_a_missing_opener(self, scheme: CkksShared, chunks: list[EncryptedChunk]) -> None:
        total = add(chunks, PARAMETERS.modulus)
        self.refuse(scheme, total, [c.openers for c in chunks[:-1]], "does not open")

    def test_an_upload_that_is_not_in_the_sum(
        self, scheme: CkksShared, chunks: list[EncryptedChunk]
    ) -> None:
        total = add(chunks[:-1], PARAMETERS.modulus)
        self.refuse(scheme, total, [c.openers for c in chunks], "does not open")

    def test_an_upload_counted_twice(
        self, scheme: CkksShared, chunks: list[EncryptedChunk]
    ) -> None:
        total = add([chunks[0], chunks[0]], PARAMETERS.modulus)
        self.refuse(scheme, total, [chunks[0].openers] * 2, "twice")

    @pytest.mark.parametrize("place", [0, 2047, 2048, 4095])
    def test_one_changed_residue(
        self, scheme: CkksShared, chunks: list[EncryptedChunk], place: int
    ) -> None:
        total = add(chunks, PARAMETERS.modulus)
        total[place] = (total[place] + np.uint64(1 << 40)) % np.uint64(PARAMETERS.modulus)
        self.refuse(scheme, total, [c.openers for c in chunks], "does not open")

    def test_swapped_blocks(self, scheme: CkksShared, chunks: list[EncryptedChunk]) -> None:
        total = np.roll(add(chunks, PARAMETERS.modulus), 2048)
        self.refuse(scheme, total, [c.openers for c in chunks], "does not open")

    def test_a_changed_seed(self, scheme: CkksShared, chunks: list[EncryptedChunk]) -> None:
        total = add(chunks, PARAMETERS.modulus)
        openers = [c.openers for c in chunks]
        openers[1] = bytes([openers[1][0] ^ 1]) + openers[1][1:]
        self.refuse(scheme, total, openers, "does not open")

    def test_a_sum_that_is_all_zero(self, scheme: CkksShared, chunks: list[EncryptedChunk]) -> None:
        self.refuse(
            scheme, np.zeros_like(chunks[0].residues), [c.openers for c in chunks], "not open"
        )

    def test_values_in_the_padding(self, scheme: CkksShared) -> None:
        chunk = scheme.encrypt_chunk(0, self.values[0])
        with pytest.raises(OpeningRefused, match="padding"):
            scheme.open_chunk(0, chunk.residues, [chunk.openers], BLOCK + 4)

    def test_more_than_the_sites_may_send(
        self, scheme: CkksShared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A site that runs other software encrypts a value of twice the bound."""
        oversized = np.zeros((1, BLOCK), dtype=np.int64)
        oversized[0, -1] = 2 * PARAMETERS.max_abs_value
        monkeypatch.setattr(tenseal_shared, "to_blocks", lambda values, parameters: oversized)
        chunk = scheme.encrypt_chunk(0, np.zeros(BLOCK, dtype=np.int64))
        with pytest.raises(OpeningRefused, match="1 sites may send"):
            scheme.open_chunk(0, chunk.residues, [chunk.openers], BLOCK)

    def test_a_key_that_refused_once_is_not_used_again(
        self, scheme: CkksShared, chunks: list[EncryptedChunk]
    ) -> None:
        openers = [c.openers for c in chunks]
        self.refuse(scheme, np.zeros_like(chunks[0].residues), openers, "not open")
        with pytest.raises(KeyUnusable, match="must not be used again"):
            scheme.open_chunk(0, add(chunks, PARAMETERS.modulus), openers, BLOCK + 5)
        with pytest.raises(KeyUnusable):
            scheme.encrypt_chunk(0, self.values[0])


@pytest.mark.parametrize("why", ["residues", "no opener", "too many openers", "short opener"])
def test_the_shapes_of_a_sum_are_exact(scheme: CkksShared, why: str) -> None:
    chunk = scheme.encrypt_chunk(0, updates(1, 10)[0])
    residues, openers = chunk.residues, [chunk.openers]
    if why == "residues":
        residues = residues[:-1]
    else:
        openers = {
            "no opener": [],
            "too many openers": [bytes([i]) * 64 for i in range(5)],
            "short opener": [chunk.openers[:-1]],
        }[why]
    with pytest.raises(ValueError, match=r"blocks|sites|bytes"):
        scheme.open_chunk(0, residues, openers, 10)


def test_values_out_of_range_are_not_encrypted(scheme: CkksShared) -> None:
    with pytest.raises(ValuesOutOfRange):
        scheme.encrypt_chunk(0, np.array([2**20 + 1]))


class TestKey:
    def test_parties_with_one_key_understand_each_other(self, key: SecretBytes) -> None:
        maker = CkksShared(PARAMETERS, key)
        receiver = CkksShared(PARAMETERS, SecretBytes(key.reveal()))
        values = updates(1, 100)[0]
        chunk = maker.encrypt_chunk(0, values)
        opened = receiver.open_chunk(0, chunk.residues, [chunk.openers], 100)
        np.testing.assert_array_equal(opened, values)

    def test_keys_are_fresh(self, key: SecretBytes) -> None:
        assert needs_key(PARAMETERS)
        assert new_key(PARAMETERS) != key

    @pytest.mark.parametrize("why", ["short", "long", "version", "residue", "other parameters"])
    def test_bytes_that_are_no_key_of_this_session(self, key: SecretBytes, why: str) -> None:
        revealed = key.reveal()
        changed = {
            "short": revealed[:-1],
            "long": revealed + b"\0",
            "version": revealed[:8] + b"\x02" + revealed[9:],
            "residue": revealed[:41] + b"\xff" * 7 + revealed[48:],
            "other parameters": new_key(parameters_for(3, 20)).reveal(),
        }[why]
        with pytest.raises(KeyUnusable) as refused:
            CkksShared(PARAMETERS, SecretBytes(changed))
        assert not any(character.isdigit() for character in refused.value.message)

    def test_a_missing_key(self) -> None:
        with pytest.raises(KeyUnusable, match="needs the shared key"):
            make_scheme(PARAMETERS)

    def test_nothing_shows_or_copies_it(self, scheme: CkksShared, key: SecretBytes) -> None:
        assert "redacted" in repr(scheme)
        assert key.reveal().hex()[90:106] not in repr(scheme)
        for copying in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                copying(scheme)


def test_parameters_of_another_scheme_are_refused(key: SecretBytes) -> None:
    plain = SchemeParameters.for_config(INSECURE_PLAINTEXT, sites=2, max_abs_value=2**10)
    with pytest.raises(ValueError, match=INSECURE_PLAINTEXT):
        CkksShared(plain, key)
