"""Decryptions that leave a site must not be good for an attack on the key (IND-CPA-D)."""

from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
from fedmrg_secure.crypto.residues import packed_bytes, unpack
from fedmrg_secure.crypto.tenseal_shared import CkksShared
from tests.crypto.key_recovery import recover_key

PARAMETERS = SchemeParameters.for_config(CKKS_SHARED, sites=2, max_abs_value=2**24, max_norm=2**24)
N = PARAMETERS.ring_degree


def true_secret(key: SecretBytes) -> np.ndarray:
    size = packed_bytes(N, PARAMETERS.residue_bits)
    return unpack(key.reveal()[-size:], N, PARAMETERS.residue_bits)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """A known update of one block, of a digit a coordinate."""
    assert PARAMETERS.digits == 1
    return np.random.default_rng(1).integers(-(2**16), 2**16, N)


def test_the_attack_recovers_the_key_from_raw_decryptions(values: np.ndarray) -> None:
    key = CkksShared.new_key(PARAMETERS)
    scheme = CkksShared(PARAMETERS, key)
    chunk = scheme.encrypt_chunk(0, values)
    raw = scheme._decrypt(chunk.residues, [chunk.openers])
    ring = scheme._ring
    recovered = recover_key(PARAMETERS, ring.context, ring.form, chunk.residues, chunk.openers, raw)
    np.testing.assert_array_equal(recovered, true_secret(key))


def test_the_attack_fails_on_what_the_scheme_returns(values: np.ndarray) -> None:
    key = CkksShared.new_key(PARAMETERS)
    scheme = CkksShared(PARAMETERS, key)
    chunk = scheme.encrypt_chunk(0, values)
    released = scheme.open_chunk(0, chunk.residues, [chunk.openers], N)
    ring = scheme._ring
    recovered = recover_key(
        PARAMETERS, ring.context, ring.form, chunk.residues, chunk.openers, released
    )
    # Chance agrees in a residue with probability 1/q.
    assert np.count_nonzero(recovered == true_secret(key)) == 0


def test_what_is_released_depends_on_the_integers_alone(values: np.ndarray) -> None:
    """Another key, other noise, other order of adding: the same released bytes."""
    released = set()
    for _ in range(3):
        scheme = CkksShared(PARAMETERS, CkksShared.new_key(PARAMETERS))
        chunk = scheme.encrypt_chunk(0, values)
        released.add(scheme.open_chunk(0, chunk.residues, [chunk.openers], N).tobytes())
    assert released == {values.tobytes()}
