"""A sealed state opens for its recipient, whole, in its context, and in no other way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.seal_key import SealedKeyInvalid, generate_seal_key, seal, seal_public_key
from fedmrg_secure.crypto.sealed_state import (
    TAG_BYTES,
    SealedStateInvalid,
    StateContext,
    StateSealer,
    open_state,
)

CONTEXT = StateContext(bytes(range(32)), 7, "alpha", "beta", b"\x05" * 32)
PLAIN = [b"first chunk", b"second chunk", b"3"]
RECIPIENT = generate_seal_key()


@dataclass(frozen=True)
class Sealed:
    key: bytes
    chunks: list[bytes]
    root: bytes

    def open(
        self, context: StateContext = CONTEXT, recipient: SecretBytes = RECIPIENT, count: int = 3
    ) -> list[bytes]:
        return list(
            open_state(
                recipient, self.key, self.chunks, context, merkle_root=self.root, count=count
            )
        )


def sealed(plain: list[bytes] = PLAIN, context: StateContext = CONTEXT) -> Sealed:
    sealer = StateSealer(context, len(plain))
    chunks = list(sealer.encrypt(plain))
    root = merkle_root(map(leaf_hash, chunks))
    return Sealed(sealer.seal_key(seal_public_key(RECIPIENT), root), chunks, root)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_what_is_sealed_opens(plain: list[bytes]) -> None:
    made = sealed(plain)
    assert [len(chunk) for chunk in made.chunks] == [len(one) + TAG_BYTES for one in plain]
    assert made.open(count=len(plain)) == plain


def test_every_state_has_a_key_of_its_own() -> None:
    one, other = sealed(), sealed()
    assert not set(one.chunks) & set(other.chunks)


@pytest.mark.parametrize(
    "change",
    [
        {"session": bytes(32)},
        {"round": 8},
        {"sender": "gamma"},
        {"recipient": "gamma"},
        {"model_hash": bytes(32)},
    ],
)
def test_another_context_opens_neither_key_nor_chunk(change: dict[str, object]) -> None:
    other = replace(CONTEXT, **change)  # type: ignore[arg-type]
    made = sealed()
    with pytest.raises(SealedKeyInvalid):
        made.open(other)
    assert other.chunk_data(0, 3) != CONTEXT.chunk_data(0, 3)


def test_only_the_recipient_opens_it() -> None:
    with pytest.raises(SealedKeyInvalid):
        sealed().open(recipient=generate_seal_key())


def test_the_key_is_bound_to_the_chunks() -> None:
    one, other = sealed(), sealed()
    with pytest.raises(SealedKeyInvalid):
        replace(one, chunks=other.chunks, root=other.root).open()
    with pytest.raises(SealedStateInvalid, match="chunk 0"):
        replace(one, chunks=other.chunks).open()


@pytest.mark.parametrize(
    ("order", "count"), [((1, 0, 2), 3), ((0, 1), 3), ((0, 1, 2, 2), 3), ((0, 1), 2), ((0, 0), 3)]
)
def test_chunks_cannot_be_moved_dropped_or_repeated(order: tuple[int, ...], count: int) -> None:
    made = sealed()
    with pytest.raises(SealedStateInvalid):
        replace(made, chunks=[made.chunks[place] for place in order]).open(count=count)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), st.integers(0, 7), st.integers(0, 10_000))
def test_a_changed_bit_is_noticed(index: int, bit: int, place: int) -> None:
    made = sealed()
    chunk = bytearray(made.chunks[index])
    chunk[place % len(chunk)] ^= 1 << bit
    chunks = [*made.chunks]
    chunks[index] = bytes(chunk)
    with pytest.raises(SealedStateInvalid, match=f"chunk {index}"):
        replace(made, chunks=chunks).open()


def test_a_key_of_another_length_is_refused() -> None:
    made = sealed()
    key = seal(seal_public_key(RECIPIENT), bytes(16), CONTEXT.key_info(made.root))
    with pytest.raises(SealedStateInvalid, match="32 bytes"):
        replace(made, key=key).open()


def test_a_key_encrypts_one_state_once() -> None:
    sealer = StateSealer(CONTEXT, 3)
    list(sealer.encrypt(PLAIN))
    with pytest.raises(ValueError, match="once"):
        list(sealer.encrypt(PLAIN))
    sealer.seal_key(seal_public_key(RECIPIENT), bytes(32))
    with pytest.raises(SecretUnavailable):
        sealer.seal_key(seal_public_key(RECIPIENT), bytes(32))


@pytest.mark.parametrize("plain", [PLAIN[:2], [*PLAIN, b"4"]])
def test_exactly_the_announced_chunks_are_encrypted(plain: list[bytes]) -> None:
    with pytest.raises(ValueError, match="announced"):
        list(StateSealer(CONTEXT, 3).encrypt(plain))


def test_hostile_sealed_keys_raise_clear_errors() -> None:
    for size in (0, 1, 47, 48, 80, 200):
        with pytest.raises(FedmrgError):
            replace(sealed(), key=bytes(size)).open()
