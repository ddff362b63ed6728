from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import FrameLengthWrong, ResidueOutOfRange
from fedmrg_secure.crypto.residues import add_mod, check_residues, pack, packed_bytes, unpack

widths = st.integers(8, 56)


def integers_of(packed: bytes, count: int, bits: int) -> list[int]:
    """The format read the slow way: one big little-endian integer."""
    whole = int.from_bytes(packed, "little")
    return [whole >> (i * bits) & ((1 << bits) - 1) for i in range(count)]


@given(widths, st.data())
def test_unpack_inverts_pack_and_the_format_is_a_bit_string(bits: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40))
    residues = np.array(values, dtype=np.uint64)
    packed = pack(residues, bits)
    assert len(packed) == packed_bytes(len(values), bits) == -(-len(values) * bits // 8)
    assert integers_of(packed, len(values), bits) == values
    assert unpack(packed, len(values), bits).tolist() == values


@given(widths, st.integers(0, 40), st.integers(-3, 3).filter(bool))
def test_another_length_is_refused(bits: int, count: int, off: int) -> None:
    size = packed_bytes(count, bits) + off
    if size < 0:
        return
    with pytest.raises(FrameLengthWrong):
        unpack(bytes(size), count, bits)


def test_a_set_bit_after_the_last_residue_is_refused() -> None:
    packed = bytearray(pack(np.zeros(1, dtype=np.uint64), 54))
    packed[-1] = 0x40
    with pytest.raises(ResidueOutOfRange, match="after the last"):
        unpack(bytes(packed), 1, 54)


@given(st.integers(2, 2**56), st.data())
def test_add_mod_is_addition_of_integers(modulus: int, data: st.DataObject) -> None:
    below = st.lists(st.integers(0, modulus - 1), min_size=5, max_size=5)
    left, right = data.draw(below), data.draw(below)
    total = np.array(left, dtype=np.uint64)
    add_mod(total, np.array(right, dtype=np.uint64), modulus)
    assert total.tolist() == [(a + b) % modulus for a, b in zip(left, right, strict=True)]


def test_add_mod_covers_vectors_longer_than_a_piece() -> None:
    random = np.random.default_rng(0)
    modulus = (1 << 54) - 77823
    left, right = random.integers(0, modulus, (2, 100_003)).astype(np.uint64)
    total = left.copy()
    add_mod(total, right, modulus)
    np.testing.assert_array_equal(total, (left + right) % np.uint64(modulus))


def test_add_mod_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="shapes"):
        add_mod(np.zeros(2, dtype=np.uint64), np.zeros(3, dtype=np.uint64), 5)


@given(st.integers(1, 2**56 - 1), st.integers(0, 9))
def test_a_residue_equal_to_the_modulus_is_refused_and_named(modulus: int, place: int) -> None:
    residues = np.full(10, modulus - 1, dtype=np.uint64)
    check_residues(residues, modulus)
    residues[place] = modulus
    with pytest.raises(ResidueOutOfRange, match=f"residue {place} is {modulus}"):
        check_residues(residues, modulus)


@pytest.mark.parametrize("bits", [0, 7, 57])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        pack(np.zeros(1, dtype=np.uint64), bits)
    with pytest.raises(ValueError, match="bits"):
        unpack(b"", 0, bits)
