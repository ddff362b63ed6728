"""Packing residues with Numba: the same bits as `crypto.residues` makes, several times as fast."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np

from fedmrg_secure.core.types import ResidueVector

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")
_WORD: Final = np.uint64(64)
_U1: Final = np.uint64(1)


@_jit
def _pack(residues, bits, words):  # type: ignore[no-untyped-def]
    """Residue i into bits [i * bits, (i + 1) * bits) of little-endian words; fills all words."""
    word = np.uint64(0)
    filled = np.uint64(0)
    place = 0
    for i in range(len(residues)):
        residue = residues[i]
        word |= residue << filled
        filled += bits
        if filled >= _WORD:
            words[place] = word
            place += 1
            filled -= _WORD
            word = residue >> (bits - filled)
    while place < len(words):
        words[place] = word
        word = np.uint64(0)
        place += 1


@_jit
def _unpack(words, bits, residues):  # type: ignore[no-untyped-def]
    mask = (_U1 << bits) - _U1
    place = 0
    start = np.uint64(0)
    for i in range(len(residues)):
        residue = words[place] >> start
        start += bits
        if start >= _WORD:
            place += 1
            start -= _WORD
            if start > np.uint64(0):
                residue |= words[place] << (bits - start)
        residues[i] = residue & mask


def pack_words(residues: ResidueVector, bits: int) -> ResidueVector:
    """The bit string of `residues.pack` as whole words, unused bits 0."""
    words = np.empty(-(-residues.size * bits // 64), dtype=np.uint64)
    _pack(np.ascontiguousarray(residues, dtype=np.uint64), np.uint64(bits), words)
    return words


def unpack_words(words: ResidueVector, count: int, bits: int) -> ResidueVector:
    """The first `count` residues of such words; one more word must follow the last residue's."""
    residues = np.empty(count, dtype=np.uint64)
    _unpack(words, np.uint64(bits), residues)
    return residues
