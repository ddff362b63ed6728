"""Encrypting and opening blocks with Numba: the same integers as `pure`, several times as fast.

The inverse transform is Gentleman and Sande's, with lazy reductions (Harvey 2014): values stay
below 2q between stages, and a factor w comes with ``floor(w * 2^32 / q)`` (Shoup), so that a
product needs no division. A block is a matrix of 128 x 16: the first four stages work within a row,
so they are done on its transpose, on vectors of 128; the other seven work on whole rows.

Every loop runs on uint64 that hold 32 bits, which processors multiply several at a time.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.ring import RingVector, powers, reverse_bits
from fedmrg_secure.crypto.multiparty_budget import MAX_NOISE, RING_DEGREE, RING_MODULUS

_N: Final = RING_DEGREE
_ROWS: Final = 128
_COLUMNS: Final = 16
_Q: Final = np.uint64(RING_MODULUS)
_TWO_Q: Final = np.uint64(2 * RING_MODULUS)
_HALF_Q: Final = np.uint64(RING_MODULUS // 2)
_SHIFT: Final = np.uint64(32)


def _shoup(factors: ResidueVector) -> ResidueVector:
    return (factors << _SHIFT) // _Q


def _inverse_roots() -> ResidueVector:
    """The factor of group i of the stage with h groups at place h + i; at 1 divided by N.

    In the first four stages group ``r * groups + g`` of row r comes at place ``g * 128 + r``.
    """
    roots = powers(-reverse_bits(_N))
    roots[1] = roots[1] * pow(_N, -1, RING_MODULUS) % RING_MODULUS
    for h in (1024, 512, 256, 128):
        roots[h : 2 * h] = roots[h : 2 * h].reshape(_ROWS, -1).T.reshape(-1)
    return roots.astype(np.uint64)


_ROOTS: Final = _inverse_roots()
_ROOTS_SHOUP: Final = _shoup(_ROOTS)
_LAST: Final = np.uint64(pow(_N, -1, RING_MODULUS))
_LAST_SHOUP: Final = np.uint64((pow(_N, -1, RING_MODULUS) << 32) // RING_MODULUS)

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(inline="always", error_model="numpy")


@_inline
def _times(x, w, w_shoup):  # type: ignore[no-untyped-def]
    """``x * w mod q`` below 2q, for x below 2^32."""
    return x * w - ((x * w_shoup) >> _SHIFT) * _Q


@_inline
def _below(x, bound):  # type: ignore[no-untyped-def]
    """x or x - bound, whichever is below the bound, for x below twice the bound."""
    return min(x, x - bound)


@_jit
def _across(upper, lower, roots, roots_shoup):  # type: ignore[no-untyped-def]
    """Butterflies of two columns, each row with a factor of its own."""
    for r in range(_ROWS):
        u, v = upper[r], lower[r]
        upper[r] = _below(u + v, _TWO_Q)
        lower[r] = _times(u + _TWO_Q - v, roots[r], roots_shoup[r])


@_jit
def _along(upper, lower, root, root_shoup):  # type: ignore[no-untyped-def]
    """Butterflies of two runs of whole rows with one factor."""
    for j in range(len(upper)):
        u, v = upper[j], lower[j]
        upper[j] = _below(u + v, _TWO_Q)
        lower[j] = _times(u + _TWO_Q - v, root, root_shoup)


@_jit
def _masks(reference, key, key_shoup, roots, roots_shoup, tile, block):  # type: ignore[no-untyped-def]
    """The coefficients of ``a * s`` of one block, in `block`, below 2q."""
    for i in range(_N):
        block[i] = _times(np.uint64(reference[i]), key[i], key_shoup[i])
    for r in range(_ROWS):
        for c in range(_COLUMNS):
            tile[c, r] = block[r * _COLUMNS + c]
    # Four stages within rows: partner columns are t apart.
    t = 1
    h = _N // 2
    while t < _COLUMNS:
        for g in range(_COLUMNS // (2 * t)):
            place = slice(h + g * _ROWS, h + (g + 1) * _ROWS)
            for c in range(2 * t * g, 2 * t * g + t):
                _across(tile[c], tile[c + t], roots[place], roots_shoup[place])
        t *= 2
        h //= 2
    for r in range(_ROWS):
        for c in range(_COLUMNS):
            block[r * _COLUMNS + c] = tile[c, r]
    while t < _N // 2:
        for g in range(h):
            middle = 2 * t * g + t
            upper, lower = block[middle - t : middle], block[middle : middle + t]
            _along(upper, lower, roots[h + g], roots_shoup[h + g])
        t *= 2
        h //= 2
    upper, lower = block[:t], block[t:]
    for j in range(t):
        u, v = upper[j], lower[j]
        upper[j] = _times(u + v, _LAST, _LAST_SHOUP)
        lower[j] = _times(u + _TWO_Q - v, roots[1], roots_shoup[1])


_M1: Final = np.uint64(0x5555555555555555)
_M2: Final = np.uint64(0x3333333333333333)
_M4: Final = np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM: Final = np.uint64(0x0101010101010101)
_COINS: Final = np.uint64((1 << 2 * MAX_NOISE) - 1)
_NOISE: Final = np.uint64(MAX_NOISE)
_U1: Final = np.uint64(1)
_U2: Final = np.uint64(2)
_U4: Final = np.uint64(4)
_U56: Final = np.uint64(56)
_BARRETT: Final = np.uint64(31)


@_inline
def _ones(x):  # type: ignore[no-untyped-def]
    x = x - ((x >> _U1) & _M1)
    x = (x & _M2) + ((x >> _U2) & _M2)
    x = (x + (x >> _U4)) & _M4
    return (x * _SUM) >> _U56


@_jit
def _encrypt(  # type: ignore[no-untyped-def]
    reference,
    key,
    key_shoup,
    roots,
    roots_shoup,
    scratch,
    coins,
    values,
    scale,
    wire_bits,
    quotient,
    out,
):
    tile = scratch[0].reshape((_COLUMNS, _ROWS))
    block = scratch[1]
    mask = (_U1 << wire_bits) - _U1
    for k in range(len(reference)):
        _masks(reference[k], key, key_shoup, roots, roots_shoup, tile, block)
        row, drawn, sent = values[k], coins[k], out[k]
        for j in range(_N):
            # scale * v lies within +-q/2, so that q more makes it positive.
            value = np.uint64(row[j] * scale + np.int64(RING_MODULUS - MAX_NOISE))
            x = block[j] + _ones(drawn[j] & _COINS) + value  # below 4q
            x = _below(_below(x, _TWO_Q), _Q)
            # The estimate is at most 1.5 too small, so the remainder says what to round to.
            estimate = (x * quotient) >> _BARRETT
            rest = (x << wire_bits) - estimate * _Q
            sent[j] = (estimate + (_U1 if rest > _HALF_Q else np.uint64(0))) & mask


@_jit
def _open(  # type: ignore[no-untyped-def]
    reference, key, key_shoup, roots, roots_shoup, scratch, residues, scale, wire_bits, out
):
    tile = scratch[0].reshape((_COLUMNS, _ROWS))
    block = scratch[1]
    half = _U1 << (wire_bits - _U1)
    for k in range(len(reference)):
        _masks(reference[k], key, key_shoup, roots, roots_shoup, tile, block)
        row, opened = residues[k], out[k]
        for j in range(_N):
            x = ((row[j] * _Q + half) >> wire_bits) + _TWO_Q - block[j]  # below 3q
            x = _below(_below(x, _TWO_Q), _Q)
            t = np.int32(x) - np.int32(RING_MODULUS if x > _HALF_Q else 0)
            opened[j] = np.int32(np.floor((2.0 * t + scale) / (2.0 * scale)))


class Blocks:
    """As `pure.Blocks`."""

    def __init__(self, key: RingVector, *, scale: int, wire_bits: int) -> None:
        self._key = key.astype(np.uint64)
        self._key_shoup = _shoup(self._key)
        self._scratch = np.empty((2, _N), dtype=np.uint64)
        self._scale = scale
        self._wire_bits = np.uint64(wire_bits)
        self._quotient = np.uint64((1 << wire_bits + 31) // RING_MODULUS)

    def encrypt(
        self,
        reference: RingVector,
        coins: ResidueVector,
        values: IntVector,
        residues: ResidueVector,
    ) -> None:
        _encrypt(
            reference,
            self._key,
            self._key_shoup,
            _ROOTS,
            _ROOTS_SHOUP,
            self._scratch,
            coins,
            values,
            np.int64(self._scale),
            self._wire_bits,
            self._quotient,
            residues,
        )

    def open(self, reference: RingVector, residues: ResidueVector, opened: IntVector) -> None:
        _open(
            reference,
            self._key,
            self._key_shoup,
            _ROOTS,
            _ROOTS_SHOUP,
            self._scratch,
            residues,
            float(self._scale),
            self._wire_bits,
            opened,
        )

    def wipe(self) -> None:
        for secret in (self._key, self._key_shoup, self._scratch):
            secret[:] = 0
