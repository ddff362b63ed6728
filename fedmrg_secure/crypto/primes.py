"""Primes that a ring of degree N has a number-theoretic transform for."""

from __future__ import annotations

from functools import cache
from typing import Final

_WITNESSES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
"""Deterministic Miller-Rabin below 3.3e24 (Sorenson and Webster 2015)."""


@cache
def ntt_prime(ring_degree: int, bits: int) -> int:
    """The largest prime of exactly `bits` bits that is 1 modulo ``2 * ring_degree``.

    Raises:
        ValueError: there is none.
    """
    step = 2 * ring_degree
    for candidate in range(((1 << bits) - 2) // step * step + 1, 1 << (bits - 1), -step):
        if is_prime(candidate):
            return candidate
    raise ValueError(f"no prime of {bits} bits is 1 modulo {step}")


@cache
def is_prime(number: int) -> bool:
    """Whether `number`, below 2^81, is prime."""
    if number < 2 or number >= 1 << 81:
        return False
    for witness in _WITNESSES:
        if number % witness == 0:
            return number == witness
    odd = number - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    return all(_passes(number, witness, odd, twos) for witness in _WITNESSES)


def _passes(number: int, witness: int, odd: int, twos: int) -> bool:
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False
