"""Residues: exact-width packing and addition; the coordinator's whole arithmetic.

NumPy alone, except that Numba packs and unpacks where it is installed.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np

from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.errors import FrameLengthWrong, ResidueOutOfRange

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("fedmrg_secure needs a little-endian machine")

MIN_RESIDUE_BITS: Final = 8
MAX_RESIDUE_BITS: Final = 56
_ADD_PIECE: Final = 1 << 15
"""Residues added at a time: both operands and the scratch stay in the second-level cache."""


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of `count` residues of `bits` bits each."""
    return -(-count * bits // 8)


def pack(residues: ResidueVector, bits: int) -> bytes:
    """Residues as a little-endian bit string: residue i in bits [i*bits, (i+1)*bits).

    Args:
        residues: shape (count,), uint64, each below 2^bits.
        bits: 8 to 56.

    Returns:
        `packed_bytes` bytes; unused bits of the last byte are 0.
    """
    _check_bits(bits)
    kernels = packing_kernels()
    if kernels is not None:
        words: ResidueVector = kernels.pack_words(residues, bits)
        return bytes(words.data.cast("B")[: packed_bytes(residues.size, bits)])
    return pack_with_numpy(residues, bits)


def pack_with_numpy(residues: ResidueVector, bits: int) -> bytes:
    """`pack` without Numba."""
    groups = -(-residues.size // 8)
    padded = np.zeros(groups * 8, dtype=np.uint64)
    padded[: residues.size] = residues
    packed = bytearray(groups * bits + MAX_RESIDUE_BITS)
    for lane in range(8):
        window, shift = _window(packed, groups, lane, bits)
        window |= padded[lane::8] << np.uint64(shift)
    return bytes(memoryview(packed)[: packed_bytes(residues.size, bits)])


def unpack(packed: bytes | memoryview, count: int, bits: int) -> ResidueVector:
    """The inverse of `pack`.

    Args:
        packed: exactly ``packed_bytes(count, bits)`` bytes, from anybody.
        count: number of residues, >= 0.
        bits: 8 to 56.

    Returns:
        Shape (count,), uint64, each below 2^bits.

    Raises:
        FrameLengthWrong: another number of bytes.
        ResidueOutOfRange: an unused bit of the last byte is set.
    """
    _check_bits(bits)
    if len(packed) != packed_bytes(count, bits):
        raise FrameLengthWrong(
            f"{count} residues of {bits} bits take {packed_bytes(count, bits)} bytes, "
            f"got {len(packed)}"
        )
    unused = len(packed) * 8 - count * bits
    if unused and packed[-1] >> (8 - unused):
        raise ResidueOutOfRange("bits after the last residue are set")
    kernels = packing_kernels()
    if kernels is None:
        return unpack_with_numpy(packed, count, bits)
    words = np.zeros(len(packed) // 8 + 2, dtype=np.uint64)
    words.view(np.uint8)[: len(packed)] = np.frombuffer(packed, dtype=np.uint8)
    residues: ResidueVector = kernels.unpack_words(words, count, bits)
    return residues


def unpack_with_numpy(packed: bytes | memoryview, count: int, bits: int) -> ResidueVector:
    """`unpack` without Numba, of bytes that it has checked."""
    groups = -(-count // 8)
    padded = bytearray(groups * bits + MAX_RESIDUE_BITS)
    padded[: len(packed)] = packed
    mask = np.uint64((1 << bits) - 1)
    residues = np.empty(groups * 8, dtype=np.uint64)
    for lane in range(8):
        window, shift = _window(padded, groups, lane, bits)
        residues[lane::8] = window >> np.uint64(shift) & mask
    return residues[:count]


def check_residues(residues: ResidueVector, modulus: int) -> None:
    """Refuse residues at or above the modulus.

    Raises:
        ResidueOutOfRange: names the first one's place.
    """
    if residues.size and int(residues.max()) >= modulus:
        first = int(np.argmax(residues >= np.uint64(modulus)))
        raise ResidueOutOfRange(
            f"residue {first} is {int(residues[first])}, not below the modulus {modulus}"
        )


def add_mod(total: ResidueVector, residues: ResidueVector, modulus: int) -> None:
    """``total = (total + residues) mod modulus``, in place.

    Args:
        total: shape (count,), uint64, each below the modulus; changed.
        residues: the same shape and range.
        modulus: at most 2^56.
    """
    if total.shape != residues.shape:
        raise ValueError(f"shapes differ: {total.shape} and {residues.shape}")
    scratch = np.empty(min(_ADD_PIECE, total.size), dtype=np.uint64)
    for start in range(0, total.size, _ADD_PIECE):
        piece = total[start : start + _ADD_PIECE]
        reduced = scratch[: piece.size]
        np.add(piece, residues[start : start + _ADD_PIECE], out=piece)
        # Below the modulus the subtraction wraps to a huge number, so the minimum is the residue.
        np.subtract(piece, np.uint64(modulus), out=reduced)
        np.minimum(piece, reduced, out=piece)


@cache
def packing_kernels() -> ModuleType | None:
    """The compiled loops, or None without a working Numba."""
    try:
        from fedmrg_secure.crypto import packing_kernels as kernels
    # Numba raises RuntimeError where it finds no folder to keep compiled code in.
    except (ImportError, RuntimeError):
        return None
    return kernels


def _check_bits(bits: int) -> None:
    if not MIN_RESIDUE_BITS <= bits <= MAX_RESIDUE_BITS:
        raise ValueError(f"residues have {MIN_RESIDUE_BITS} to {MAX_RESIDUE_BITS} bits, got {bits}")


def _window(packed: bytearray, groups: int, lane: int, bits: int) -> tuple[ResidueVector, int]:
    """Where residue `lane` of every group of eight lies: 8-byte words and the shift in them.

    A group of eight residues fills `bits` whole bytes, so the words are `bits` bytes apart; they
    do not overlap each other from 8 bits on and hold a shifted residue whole up to 56.
    """
    first, shift = divmod(lane * bits, 8)
    window: ResidueVector = np.ndarray(
        (groups,), dtype="<u8", buffer=packed, offset=first, strides=(bits,)
    )
    return window, shift
