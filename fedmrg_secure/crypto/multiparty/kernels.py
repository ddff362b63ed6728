"""Encrypting and opening blocks with Numba: the same integers as `pure`, several times as fast.

The inverse transform is Gentleman and Sande's in constant geometry (Pease 1968): each of the 11
stages takes neighbours, and puts their sums into the lower and their multiplied differences into
the upper half of another buffer, after which the order is the natural one. So every stage is the
same loop over whole vectors. Values stay below 2q < 2^31 between stages, and a factor w comes with
``floor(w * 2^32 / q)`` (Shoup), so that a product needs no division (Harvey 2014).

Every loop runs on uint32, of which processors add and multiply many at a time; Numba widens sums
of uint32, so each is narrowed again.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty.ring import RingVector, powers, reverse_bits
from fedmrg_secure.crypto.multiparty_budget import MAX_NOISE, RING_DEGREE, RING_MODULUS

_N: Final = RING_DEGREE
_HALF: Final = RING_DEGREE // 2
_RUN: Final = 64
"""Butterflies a loop has at least: where fewer factors differ, they are repeated."""

_Q: Final = np.uint32(RING_MODULUS)
_TWO_Q: Final = np.uint32(2 * RING_MODULUS)
_HALF_Q: Final = np.uint32(RING_MODULUS // 2)
_SHIFT: Final = np.uint64(32)


def _with_shoup(factors: IntVector) -> tuple[RingVector, RingVector]:
    """Residues below q and what comes with each."""
    wide = factors.astype(np.uint64)
    return wide.astype(np.uint32), ((wide << _SHIFT) // np.uint64(RING_MODULUS)).astype(np.uint32)


def _stage_factors() -> IntVector:
    """The factors of all stages, one after the other.

    In the stage with h factors that of pair j is the one of place ``h + j mod h`` of the
    transform's bit-reversed powers: h of them, or `_RUN` where h is smaller.
    """
    roots = powers(-reverse_bits(_N))
    stages = [_HALF >> stage for stage in range(_HALF.bit_length())]
    return np.concatenate([np.tile(roots[h : 2 * h], max(1, _RUN // h)) for h in stages])


_ROOTS, _ROOTS_SHOUP = _with_shoup(_stage_factors())

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(inline="always", error_model="numpy")


@_inline
def _times(x, w, w_shoup):  # type: ignore[no-untyped-def]
    """``x * w mod q`` below 2q, for any x."""
    quotient = np.uint32((np.uint64(x) * np.uint64(w_shoup)) >> _SHIFT)
    return np.uint32(np.uint32(x * w) - np.uint32(quotient * _Q))


@_inline
def _below(x, bound):  # type: ignore[no-untyped-def]
    """x or x - bound, whichever is below the bound, for x below twice the bound."""
    return min(x, np.uint32(x - bound))


@_inline
def _sum(u, v):  # type: ignore[no-untyped-def]
    return _below(np.uint32(u + v), _TWO_Q)


@_inline
def _difference(u, v):  # type: ignore[no-untyped-def]
    """``u - v`` plus 2q: for factors, below 4q."""
    return np.uint32(np.uint32(u + _TWO_Q) - v)


@_jit
def _first(reference, key, key_shoup, roots, roots_shoup, to):  # type: ignore[no-untyped-def]
    """``a * s`` place by place and the first stage; the key's even places come before its odd."""
    lower, upper = to[:_HALF], to[_HALF:]
    even, even_shoup = key[:_HALF], key_shoup[:_HALF]
    odd, odd_shoup = key[_HALF:], key_shoup[_HALF:]
    for j in range(_HALF):
        u = _times(reference[2 * j], even[j], even_shoup[j])
        v = _times(reference[2 * j + 1], odd[j], odd_shoup[j])
        lower[j] = _sum(u, v)
        upper[j] = _times(_difference(u, v), roots[j], roots_shoup[j])


@_jit
def _stage(source, to, roots, roots_shoup):  # type: ignore[no-untyped-def]
    run = len(roots)
    for start in range(0, _HALF, run):
        pairs = source[2 * start : 2 * (start + run)]
        lower, upper = to[start : start + run], to[_HALF + start : _HALF + start + run]
        for j in range(run):
            u, v = pairs[2 * j], pairs[2 * j + 1]
            lower[j] = _sum(u, v)
            upper[j] = _times(_difference(u, v), roots[j], roots_shoup[j])


@_jit
def _masks(reference, key, key_shoup, roots, roots_shoup, block, other):  # type: ignore[no-untyped-def]
    """The coefficients of ``a * s`` of one block, in `block`, below 2q."""
    _first(reference, key, key_shoup, roots, roots_shoup, block)
    start, count = _HALF, _HALF // 2
    for _ in range(5):
        for source, to in ((block, other), (other, block)):
            stop = start + max(count, _RUN)
            _stage(source, to, roots[start:stop], roots_shoup[start:stop])
            start, count = stop, count // 2


_M1: Final = np.uint32(0x55555555)
_M2: Final = np.uint32(0x33333333)
_M4: Final = np.uint32(0x0F0F0F0F)
_BYTES: Final = np.uint32(0x01010101)
_HIGH_COINS: Final = np.uint32((1 << 2 * MAX_NOISE - 32) - 1)
_U1: Final = np.uint64(1)
_U2: Final = np.uint64(2)
_U64: Final = np.uint64(64)
_OFFSET: Final = np.uint32(RING_MODULUS - MAX_NOISE)


@_inline
def _nibbles(x):  # type: ignore[no-untyped-def]
    """How many ones each four bits of x have."""
    x = np.uint32(x - np.uint32(np.uint32(x >> np.uint32(1)) & _M1))
    return np.uint32(np.uint32(x & _M2) + np.uint32(np.uint32(x >> np.uint32(2)) & _M2))


@_inline
def _ones(low, high):  # type: ignore[no-untyped-def]
    """Ones of two words that have at most 8 in each four bits together."""
    x = np.uint32(_nibbles(low) + _nibbles(high))
    x = np.uint32(np.uint32(x & _M4) + np.uint32(np.uint32(x >> np.uint32(4)) & _M4))
    return np.uint32(np.uint32(x * _BYTES) >> np.uint32(24))


@_jit
def _switch(block, coins, values, scale, factor, quotient):  # type: ignore[no-untyped-def]
    """Add noise and values to one block, and round it to the wire's width, ``factor = 2^w``.

    Of each coin word and value come the lower 32 bits, then the upper.
    """
    mask = np.uint32(factor - np.uint32(1))
    for j in range(_N):
        # scale * v lies within +-q/2, so that it is right modulo 2^32, and positive with q more.
        value = np.uint32(np.uint32(values[2 * j] * scale) + _OFFSET)
        ones = _ones(coins[2 * j], np.uint32(coins[2 * j + 1] & _HIGH_COINS))
        x = np.uint32(np.uint32(block[j] + ones) + value)  # below 4q
        x = _below(_below(x, _TWO_Q), _Q)
        # The estimate is at most 1.5 too small, so the remainder says what to round to.
        twice = np.uint32(x + x)
        estimate = np.uint32((np.uint64(twice) * np.uint64(quotient)) >> _SHIFT)
        rest = np.uint32(np.uint32(x * factor) - np.uint32(estimate * _Q))
        block[j] = np.uint32(estimate + np.uint32(rest > _HALF_Q)) & mask


@_jit
def _pack(block, bits, words):  # type: ignore[no-untyped-def]
    """The bits of `residues.pack`, two residues at a time."""
    pair_bits = _U2 * bits
    word = np.uint64(0)
    filled = np.uint64(0)
    place = 0
    for j in range(_HALF):
        pair = np.uint64(block[2 * j]) | (np.uint64(block[2 * j + 1]) << bits)
        word |= pair << filled
        filled += pair_bits
        if filled >= _U64:
            words[place] = word
            place += 1
            filled -= _U64
            word = pair >> (pair_bits - filled)


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
    packed,
):
    block, other = scratch[0], scratch[1]
    factor = np.uint32(_U1 << wire_bits)
    for k in range(len(reference)):
        _masks(reference[k], key, key_shoup, roots, roots_shoup, block, other)
        _switch(block, coins[k], values[k], scale, factor, quotient)
        _pack(block, wire_bits, packed[k])


@_jit
def _open(  # type: ignore[no-untyped-def]
    reference, key, key_shoup, roots, roots_shoup, scratch, residues, scale, wire_bits, out
):
    block, other = scratch[0], scratch[1]
    half = _U1 << (wire_bits - _U1)
    for k in range(len(reference)):
        _masks(reference[k], key, key_shoup, roots, roots_shoup, block, other)
        row, opened = residues[k], out[k]
        for j in range(_N):
            lifted = np.uint32((row[j] * np.uint64(_Q) + half) >> wire_bits)
            x = _difference(lifted, block[j])  # below 3q
            x = _below(_below(x, _TWO_Q), _Q)
            t = np.int32(x) - np.int32(_Q if x > _HALF_Q else 0)
            opened[j] = np.int32(np.floor((2.0 * t + scale) / (2.0 * scale)))


class Blocks:
    """As `pure.Blocks`."""

    def __init__(self, key: RingVector, *, scale: int, wire_bits: int) -> None:
        # The transform's factor 1/N comes with the key.
        divided = key.astype(np.int64) * pow(_N, -1, RING_MODULUS) % RING_MODULUS
        self._key, self._key_shoup = _with_shoup(np.concatenate((divided[::2], divided[1::2])))
        self._scratch = np.empty((2, _N), dtype=np.uint32)
        self._scale = scale
        self._wire_bits = np.uint64(wire_bits)
        self._quotient = np.uint32((1 << wire_bits + 31) // RING_MODULUS)

    def encrypt(
        self,
        reference: RingVector,
        coins: ResidueVector,
        values: IntVector,
        packed: ResidueVector,
    ) -> None:
        _encrypt(
            reference,
            self._key,
            self._key_shoup,
            _ROOTS,
            _ROOTS_SHOUP,
            self._scratch,
            coins.view(np.uint32),
            values.view(np.uint32),
            np.uint32(self._scale),
            self._wire_bits,
            self._quotient,
            packed,
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
