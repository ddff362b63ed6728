"""SEAL itself opens what is encrypted here, and what is opened here can be SEAL's encryption.

q is SEAL's only prime, c0 = B, c1 = -a, and the secret key is S: an independent implementation of
the transform, of multiplication in the ring and of decryption.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from fedmrg_secure.crypto.multiparty import ntt
from fedmrg_secure.crypto.multiparty.crs import ReferenceString, crs_key
from fedmrg_secure.crypto.multiparty.switching import up
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS as Q
from fedmrg_secure.crypto.multiparty_budget import WIRE_BITS, noise_bound
from fedmrg_secure.crypto.seal_files import MemoryFile, SealFormat, read_version
from tests.crypto.multiparty.federation import PLAN, Federation, parameters_for, updates

sealapi = pytest.importorskip("tenseal.sealapi")
N = 2048


class Seal:
    """SEAL at N = 2048 with q as its only prime."""

    def __init__(self) -> None:
        encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        encryption.set_poly_modulus_degree(N)
        encryption.set_coeff_modulus([sealapi.Modulus(Q)])
        self.context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)
        assert self.context.parameters_set(), self.context.parameters_error_message()
        self.memory = MemoryFile()
        encryption.save(self.memory.path)
        major, minor = read_version(self.memory.read(16))
        parms_id = struct.pack("<4Q", *self.context.first_parms_id())
        self.form = SealFormat(
            major=major, minor=minor, parms_id=parms_id, ring_degree=N, scale=1.0
        )

    def load_key(self, transform: np.ndarray) -> object:
        secret = sealapi.SecretKey()
        self.memory.write(self.form.secret_key(transform.astype(np.uint64)))
        secret.load(self.context, self.memory.path)
        return secret

    def load_ciphertext(self, c0: np.ndarray, c1: np.ndarray) -> object:
        """Both polynomials in full: SEAL's form without a seed."""
        both = np.concatenate((c0, c1)).astype(np.uint64)
        members = struct.pack("<32sBQQQdQ", self.form.parms_id, 1, 2, N, 1, 1.0, 1)
        self.memory.write(self.form._file(members + self.form._array(both)))
        ciphertext = sealapi.Ciphertext()
        ciphertext.load(self.context, self.memory.path)
        return ciphertext

    def decrypt(self, secret: object, ciphertext: object) -> np.ndarray:
        """The transform of c0 + c1*s, as SEAL's decryption leaves it."""
        plaintext = sealapi.Plaintext()
        sealapi.Decryptor(self.context, secret).decrypt(ciphertext, plaintext)
        return np.array([plaintext[i] for i in range(N)], dtype=np.uint32)


@pytest.fixture(scope="module")
def seal() -> Seal:
    return Seal()


def centred(ring: np.ndarray) -> np.ndarray:
    signed = ring.astype(np.int64)
    return np.where(signed > Q // 2, signed - Q, signed)


@pytest.mark.parametrize("wire_bits", WIRE_BITS)
def test_seal_opens_a_sum_made_here(seal: Seal, wire_bits: int) -> None:
    """At w = 30 the wire keeps what the ring has but half a unit; narrower ones by their bound."""
    sites = 5
    parameters = parameters_for(sites, 1000, wire_bits)
    values = updates(sites, N - 64, 1000)
    federation = Federation(parameters, values, threshold=3)
    lifted = up(federation.summed()[0], wire_bits)
    c0 = ntt.forward(lifted.astype(np.uint32)[None])[0]
    a = ReferenceString(crs_key(PLAN), 0).take(1)[0, :N]
    secret = seal.load_key(federation.sum_key().transform())
    opened = seal.decrypt(secret, seal.load_ciphertext(c0, (Q - a.astype(np.int64)) % Q))
    t = centred(ntt.inverse(opened[None])[0])
    exact = np.zeros(N, dtype=np.int64)
    exact[: N - 64] = values.sum(axis=0)
    error = t - parameters.scale * exact
    assert np.abs(error).max() <= noise_bound(sites, wire_bits)
    if wire_bits == 30:
        assert np.abs(error).max() <= sites * 21.6 + 1
    # And in grid steps it is what our own opening returns.
    grid = (2 * t + parameters.scale) // (2 * parameters.scale)
    np.testing.assert_array_equal(grid[: N - 64], federation.open(federation.summed()))


def test_a_key_that_is_not_the_sum_s_opens_nothing_in_seal(seal: Seal) -> None:
    federation = Federation(parameters_for(3, 1000, 30), updates(3, N - 64, 1000), threshold=2)
    lifted = up(federation.summed()[0], 30)
    c0 = ntt.forward(lifted.astype(np.uint32)[None])[0]
    a = ReferenceString(crs_key(PLAN), 0).take(1)[0, :N]
    secret = seal.load_key(federation.sum_key([0, 1]).transform())
    opened = seal.decrypt(secret, seal.load_ciphertext(c0, (Q - a.astype(np.int64)) % Q))
    t = centred(ntt.inverse(opened[None])[0])
    assert np.abs(t[-64:]).max() > Q // 8


def test_we_open_what_seal_encrypts(seal: Seal) -> None:
    """SEAL's key and SEAL's encryption of zero, opened by our ring arithmetic: SEAL's own noise."""
    secret = sealapi.KeyGenerator(seal.context).secret_key()
    secret.save(seal.memory.path)
    key = seal.form.split_secret_key(seal.memory.read(16 * seal.form.ciphertext_bytes))
    s = centred(ntt.inverse(key.astype(np.uint32)[None])[0])
    assert set(np.unique(s)) == {-1, 0, 1}  # a ternary secret: our inverse transform is SEAL's
    plaintext = sealapi.Plaintext()
    sealapi.CKKSEncoder(seal.context).encode(0.0, 1.0, plaintext)
    ciphertext = sealapi.Ciphertext()
    sealapi.Encryptor(seal.context, secret).encrypt_symmetric(plaintext, ciphertext)
    c0, c1 = (
        np.array([ciphertext[i * N + j] for j in range(N)], dtype=np.uint64) for i in range(2)
    )
    mixed = (c0 + c1 * key % np.uint64(Q)) % np.uint64(Q)
    error = centred(ntt.inverse(mixed.astype(np.uint32)[None])[0])
    assert np.abs(error).max() <= 21
    assert 8 < error.var() < 13
