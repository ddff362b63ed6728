from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import KeyUnusable, OpeningRefused, ValuesOutOfRange
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import CKKS_SHARED, INSECURE_PLAINTEXT, SchemeParameters
from fedmrg_secure.crypto.plaintext import InsecurePlaintext
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.schemes import make_scheme, needs_key, new_key

PARAMETERS = SchemeParameters.for_config(INSECURE_PLAINTEXT, sites=5, max_abs_value=2**20)
SCHEME = make_scheme(PARAMETERS)


@given(st.integers(1, 5), st.integers(1, 5000), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_the_sum_opens_exactly(sites: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.choice([-(2**20), -1, 0, 1, 2**20], (sites, count))
    total = np.zeros(-(-count // 2048) * 2048, dtype=np.uint64)
    for row in values:
        chunk = SCHEME.encrypt_chunk(0, row)
        assert chunk.openers == b""
        assert int(chunk.residues.max()) < PARAMETERS.modulus
        add_mod(total, chunk.residues, PARAMETERS.modulus)
    opened = SCHEME.open_chunk(0, total, [b""] * sites, count)
    np.testing.assert_array_equal(opened, values.sum(axis=0))


def test_bounds_are_checked_both_ways() -> None:
    with pytest.raises(ValuesOutOfRange):
        SCHEME.encrypt_chunk(0, np.array([2**20 + 1]))
    residues = np.zeros(2048, dtype=np.uint64)
    residues[0] = 2**20 + 1
    with pytest.raises(OpeningRefused):
        SCHEME.open_chunk(0, residues, [b""], 1)
    with pytest.raises(OpeningRefused, match="openers"):
        SCHEME.open_chunk(0, residues, [b"x"], 1)


def test_there_is_no_key() -> None:
    assert not needs_key(PARAMETERS)
    with pytest.raises(ValueError, match="no key"):
        new_key(PARAMETERS)
    with pytest.raises(KeyUnusable, match="no key"):
        make_scheme(PARAMETERS, SecretBytes(b"x"))


def test_parameters_of_another_scheme_are_refused() -> None:
    with pytest.raises(ValueError, match=CKKS_SHARED):
        InsecurePlaintext(SchemeParameters.for_config(CKKS_SHARED, sites=2, max_abs_value=2**10))
