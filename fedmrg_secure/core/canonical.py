"""Canonical bytes and hashes: RFC 8785 JSON, SHA-256, domain separation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import rfc8785

JsonValue = None | bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
"""JSON without floats: what may be hashed or signed. Real numbers travel as decimal strings."""

HASH_BYTES: Final = 32


def canonical_json(value: JsonValue) -> bytes:
    """The RFC 8785 encoding of a value without floats.

    Raises:
        ValueError: the value holds a float, an integer beyond 2^53 or something that is not JSON.
    """
    _refuse_floats(value)
    return bytes(rfc8785.dumps(value))


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """SHA-256 over a domain-separation tag and length-prefixed parts, 32 bytes.

    Two calls collide only if tag and all parts are equal: every part is preceded by its length
    (8 bytes, big endian), the tag likewise.
    """
    digest = hashlib.sha256()
    for part in (tag.encode(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def hash_json(tag: str, value: JsonValue) -> bytes:
    """`tagged_hash` of the canonical JSON of `value`, 32 bytes."""
    return tagged_hash(tag, canonical_json(value))


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise ValueError("a float has no place in hashed or signed JSON")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
