"""Ed25519: known answers of RFC 8032, bad twins, and keys that bind nobody."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.signing import (
    PublicKeyInvalid,
    SignatureInvalid,
    SigningKey,
    check_public_key,
    verify_signature,
)

# RFC 8032, section 7.1: secret seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
        "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
        "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_known_answers(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey("spain", SecretBytes(bytes.fromhex(seed)))
    assert key.public_key.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify_signature(key.public_key, bytes.fromhex(message), bytes.fromhex(signature))


@given(st.binary(max_size=100), st.data())
def test_any_changed_bit_is_refused(message: bytes, data: st.DataObject) -> None:
    key = SigningKey.generate("spain")
    signature = key.sign(message)
    verify_signature(key.public_key, message, signature)
    bit = data.draw(st.integers(0, 511))
    bad = bytearray(signature)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        verify_signature(key.public_key, message, bytes(bad))
    with pytest.raises(SignatureInvalid):
        verify_signature(key.public_key, message + b"\0", signature)
    with pytest.raises(SignatureInvalid):
        verify_signature(SigningKey.generate("italy").public_key, message, signature)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signatures_of_a_wrong_length_are_refused(length: int) -> None:
    with pytest.raises(SignatureInvalid):
        verify_signature(SigningKey.generate("spain").public_key, b"", bytes(length))


@pytest.mark.parametrize("encoded", SMALL_ORDER)
@pytest.mark.parametrize("sign_bit", [0, 0x80])
def test_keys_of_small_order_are_refused(encoded: str, sign_bit: int) -> None:
    key = bytearray(bytes.fromhex(encoded))
    key[31] |= sign_bit
    with pytest.raises(PublicKeyInvalid):
        check_public_key(bytes(key))


def test_keys_that_are_not_canonical_are_refused() -> None:
    prime = 2**255 - 19
    for value in (prime, prime + 1, 2**255 - 1):
        with pytest.raises(PublicKeyInvalid):
            check_public_key(value.to_bytes(32, "little"))
    with pytest.raises(PublicKeyInvalid):
        check_public_key(bytes(31))


def test_a_signing_key_keeps_its_secret() -> None:
    key = SigningKey.generate("spain")
    seed = key.seed().reveal()
    assert seed.hex() not in repr(key)
    assert "spain" in repr(key)
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(SecretUnavailable):
            leak(key)
    assert SigningKey("spain", SecretBytes(seed)).public_key == key.public_key


def test_a_signing_key_belongs_to_a_party() -> None:
    with pytest.raises(InvalidName):
        SigningKey.generate("Not a name")
