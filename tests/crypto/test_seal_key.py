"""HPKE against a second implementation of RFC 9180, and every binding broken once."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.seal_key import (
    OVERHEAD_BYTES,
    SealedKeyInvalid,
    SealingKeyInvalid,
    generate_seal_key,
    open_sealed,
    seal,
    seal_public_key,
    sealing_info,
)

SESSION = bytes(range(32))
INFO = sealing_info("ckks-key", session=SESSION, epoch=1, sender="spain", recipient="italy")

KEM_SUITE = b"KEM" + (0x0020).to_bytes(2, "big")
HPKE_SUITE = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0002))


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    block, output, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(prk, block + labeled + bytes([counter]), hashlib.sha256).digest()
        output += block
        counter += 1
    return output[:length]


def rfc_9180_open(private: SecretBytes, sealed: bytes, info: bytes) -> bytes:
    """Base-mode open, written from RFC 9180, sections 4.1 and 5.1, without the library's HPKE."""
    key = X25519PrivateKey.from_private_bytes(private.reveal())
    enc = sealed[:32]
    dh = key.exchange(X25519PublicKey.from_public_bytes(enc))
    context = enc + key.public_key().public_bytes_raw()
    prk = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh)
    shared = labeled_expand(KEM_SUITE, prk, b"shared_secret", context, 32)
    psk_id = labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
    schedule = b"\x00" + psk_id + labeled_extract(HPKE_SUITE, b"", b"info_hash", info)
    secret = labeled_extract(HPKE_SUITE, shared, b"secret", b"")
    aead_key = labeled_expand(HPKE_SUITE, secret, b"key", schedule, 32)
    nonce = labeled_expand(HPKE_SUITE, secret, b"base_nonce", schedule, 12)
    return AESGCM(aead_key).decrypt(nonce, sealed[32:], b"")


@given(st.binary(max_size=300))
def test_what_is_sealed_is_rfc_9180_and_opens(plaintext: bytes) -> None:
    private = generate_seal_key()
    sealed = seal(seal_public_key(private), SecretBytes(plaintext), INFO)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert rfc_9180_open(private, sealed, INFO) == plaintext
    assert open_sealed(private, sealed, INFO).reveal() == plaintext


def test_sealing_twice_gives_different_bytes() -> None:
    public = seal_public_key(generate_seal_key())
    assert seal(public, b"key", INFO) != seal(public, b"key", INFO)


@pytest.mark.parametrize(
    "other",
    [
        sealing_info("dp-seed", session=SESSION, epoch=1, sender="spain", recipient="italy"),
        sealing_info("ckks-key", session=bytes(32), epoch=1, sender="spain", recipient="italy"),
        sealing_info("ckks-key", session=SESSION, epoch=2, sender="spain", recipient="italy"),
        sealing_info("ckks-key", session=SESSION, epoch=1, sender="france", recipient="italy"),
        sealing_info("ckks-key", session=SESSION, epoch=1, sender="spain", recipient="france"),
        b"",
    ],
)
def test_another_context_does_not_open(other: bytes) -> None:
    private = generate_seal_key()
    sealed = seal(seal_public_key(private), b"key", INFO)
    with pytest.raises(SealedKeyInvalid):
        open_sealed(private, sealed, other)


def test_another_key_does_not_open() -> None:
    sealed = seal(seal_public_key(generate_seal_key()), b"key", INFO)
    with pytest.raises(SealedKeyInvalid):
        open_sealed(generate_seal_key(), sealed, INFO)


@given(st.integers(0, 8 * (OVERHEAD_BYTES + 3) - 1))
def test_any_changed_bit_is_refused(bit: int) -> None:
    private = generate_seal_key()
    sealed = bytearray(seal(seal_public_key(private), b"key", INFO))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealedKeyInvalid):
        open_sealed(private, bytes(sealed), INFO)


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + b"\0", lambda s: s[:47]])
def test_lengths_are_exact(change: object) -> None:
    private = generate_seal_key()
    sealed = seal(seal_public_key(private), b"", INFO)
    with pytest.raises(SealedKeyInvalid):
        open_sealed(private, change(sealed), INFO)  # type: ignore[operator]


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little"), bytes(31), bytes(33)])
def test_keys_that_would_share_a_known_secret_are_refused(point: bytes) -> None:
    with pytest.raises(SealingKeyInvalid):
        seal(point, b"key", INFO)


def test_a_failure_says_nothing_of_the_secret() -> None:
    private = generate_seal_key()
    with pytest.raises(SealedKeyInvalid) as caught:
        open_sealed(private, bytes(60), INFO)
    assert private.reveal().hex() not in repr(caught.value) + caught.value.explain()
