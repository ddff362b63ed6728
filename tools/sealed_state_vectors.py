"""Known answers of sealed snapshots, for `make_vectors.py`: SPEC.md, section 7.2, line by line.

HPKE's base mode is written out here (RFC 9180, sections 4 and 5.1) with a fixed ephemeral key, so
that the answers can be made again. X25519, HMAC and AES-GCM are borrowed from `cryptography`.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEM = b"KEM" + (0x0020).to_bytes(2, "big")
_SUITE = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0002))
_MODEL = hashlib.sha256(b"fedmrg test vector model").digest()
_SESSION = hashlib.sha256(b"fedmrg test vector session").digest()


def secret(label: str) -> bytes:
    return hashlib.sha256(f"fedmrg test vector {label}".encode()).digest()


def tagged(tag: str, *parts: bytes) -> bytes:
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in (tag.encode(), *parts))
    return hashlib.sha256(joined).digest()


def extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    key = salt or bytes(32)
    return hmac.new(key, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labeled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.new(key, labeled + b"\x01", hashlib.sha256).digest()[:size]


def hpke(ephemeral: bytes, public: bytes, info: bytes, plain: bytes) -> bytes:
    own = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = own.public_key().public_bytes_raw()
    dh = own.exchange(X25519PublicKey.from_public_bytes(public))
    prk = extract(_KEM, b"", b"eae_prk", dh)
    shared = expand(_KEM, prk, b"shared_secret", enc + public, 32)
    context = b"\x00" + extract(_SUITE, b"", b"psk_id_hash", b"")
    context += extract(_SUITE, b"", b"info_hash", info)
    base = extract(_SUITE, shared, b"secret", b"")
    key = expand(_SUITE, base, b"key", context, 32)
    nonce = expand(_SUITE, base, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plain, b"")


def root_of(chunks: list[bytes]) -> bytes:
    level = [hashlib.sha256(b"\x00" + chunk).digest() for chunk in chunks]
    while len(level) > 1:  # pairs, an odd one goes up as it is: RFC 6962's trees
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [
            hashlib.sha256(b"\x01" + b"".join(pair)).digest() if len(pair) == 2 else pair[0]
            for pair in pairs
        ]
    return level[0]


def seal(sender: str, recipient: str, public: bytes, plain: list[bytes]) -> dict[str, Any]:
    names, number = (sender.encode(), recipient.encode()), 7
    cipher, count = AESGCM(secret("state key")), len(plain)
    chunks = [
        cipher.encrypt(
            index.to_bytes(12, "big"),
            chunk,
            tagged(
                "fedmrg/snapshot-chunk/v1",
                _SESSION,
                number.to_bytes(4, "big"),
                *names,
                _MODEL,
                index.to_bytes(4, "big"),
                count.to_bytes(4, "big"),
            ),
        )
        for index, chunk in enumerate(plain)
    ]
    root = root_of(chunks)
    purpose = f"snapshot/{_MODEL.hex()}/{root.hex()}".encode()
    info = tagged("fedmrg/hpke-info/v1", purpose, _SESSION, number.to_bytes(8, "big"), *names)
    return {
        "session": _SESSION.hex(),
        "round": number,
        "sender": sender,
        "recipient": recipient,
        "modelHash": _MODEL.hex(),
        "chunks": [chunk.hex() for chunk in chunks],
        "merkleRoot": root.hex(),
        "sealedKey": hpke(secret("ephemeral"), public, info, secret("state key")).hex(),
    }


def snapshots_file() -> tuple[dict[str, str], list[dict[str, Any]]]:
    private = secret("recipient")
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    plain = [b"the first of three chunks", b"the second", b"3"]
    sound = seal("site-a", "site-b", public, plain)
    chunks = sound["chunks"]
    flipped = bytes([bytes.fromhex(chunks[1])[0] ^ 1]).hex() + chunks[1][2:]
    other = seal("site-c", "site-b", public, plain)
    twins: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("chunks exchanged", ("Chunks",), {"chunks": [chunks[1], chunks[0], chunks[2]]}),
        ("a chunk is missing", ("Chunks",), {"chunks": chunks[:2]}),
        ("a chunk comes twice", ("Chunks",), {"chunks": [*chunks, chunks[2]]}),
        ("a bit is changed", ("Chunks",), {"chunks": [chunks[0], flipped, chunks[2]]}),
        ("a tag is cut off", ("Chunks",), {"chunks": [chunks[0], chunks[1][:-2], chunks[2]]}),
        ("chunks of another sender", ("Chunks",), {"chunks": other["chunks"]}),
        ("another session", ("Context",), {"session": bytes(32).hex()}),
        ("another round", ("Context",), {"round": 8}),
        ("another sender", ("Context",), {"sender": "site-c"}),
        ("another recipient", ("Context",), {"recipient": "site-c"}),
        ("another model", ("Context",), {"modelHash": bytes(32).hex()}),
        ("another root", ("Context",), {"merkleRoot": bytes(32).hex()}),
        ("a key of another sender", ("Context",), {"sealedKey": other["sealedKey"]}),
        ("a key that is cut off", ("Context",), {"sealedKey": sound["sealedKey"][:-2]}),
    ]
    tests = [{"comment": "a state of three chunks", "flags": [], "result": "valid"}]
    tests += [
        {"comment": comment, "flags": list(flags), **changes, "result": "invalid"}  # type: ignore[dict-item]
        for comment, flags, changes in twins
    ]
    numbered = [{"tcId": place, **test} for place, test in enumerate(tests, 1)]
    notes = {
        "Chunks": "the chunks are not those that were sealed, in their places",
        "Context": "key or chunks are bound to something else",
    }
    group = {
        "type": "SealedState",
        "privateKey": private.hex(),
        "plain": [chunk.hex() for chunk in plain],
        **sound,
        "tests": numbered,
    }
    return notes, [group]
