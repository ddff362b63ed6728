"""``ckks-multiparty`` by its definitions, slowly and without the package: a third opinion.

Transforms are values at points (Horner) and sums over them, not butterflies or matrices; rounding
is that of exact fractions. NumPy's int64 holds every product of two residues.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedmrg_secure.core.canonical import tagged_hash

N = 2048
Q = 1073692673
PSI = 42341
CHECK = 64
_POINTS = np.array([pow(PSI, 2 * int(f"{i:011b}"[::-1], 2) + 1, Q) for i in range(N)])
_INVERSE_POINTS = np.array([pow(int(point), -1, Q) for point in _POINTS])


def stream(key: bytes, counter: int, size: int) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16, "big")))
    return cipher.encryptor().update(bytes(size))


def reference(plan_hash: bytes, k: int) -> np.ndarray:
    """The transform of a_k."""
    key = tagged_hash("fedmrg/crs/v1", plan_hash)
    words = np.frombuffer(stream(key, 516 * k, 4 * (N + 16)), dtype="<u4") % 2**30
    return words[words < Q][:N].astype(np.int64)


def values_at_points(polynomial: np.ndarray) -> np.ndarray:
    value = np.zeros(N, dtype=np.int64)
    for coefficient in polynomial[::-1].tolist():
        value = (value * _POINTS + coefficient) % Q
    return value


def coefficients_of(values: np.ndarray) -> np.ndarray:
    """Coefficient j is the mean over the points p of ``value(p) p^-j``."""
    made, terms = [], values
    for _ in range(N):
        made.append(int(terms.sum()) * pow(N, -1, Q) % Q)
        terms = terms * _INVERSE_POINTS % Q
    return np.array(made)


def mask(plan_hash: bytes, k: int, secret: np.ndarray) -> list[int]:
    """The coefficients of a_k s."""
    return coefficients_of(reference(plan_hash, k) * values_at_points(secret) % Q).tolist()


def encrypt(
    plan_hash: bytes,
    k: int,
    secret: np.ndarray,
    errors: Sequence[int],
    values: Sequence[int],
    scale: int,
    bits: int,
) -> list[int]:
    """A block's residues on the wire."""
    return [
        round(Fraction((m + e + scale * v) % Q * 2**bits, Q)) % 2**bits
        for m, e, v in zip(mask(plan_hash, k, secret), errors, values, strict=True)
    ]


def errors_of(key: bytes, blocks: int) -> list[list[int]]:
    """The errors of a chunk's blocks."""
    words = np.frombuffer(stream(key, 0, 8 * N * blocks), dtype="<u8").tolist()
    ones = [(word % 2**42).bit_count() - 21 for word in words]
    return [ones[i : i + N] for i in range(0, len(ones), N)]


def remainders(
    plan_hash: bytes, k: int, secret: np.ndarray, residues: Sequence[int], bits: int
) -> list[int]:
    """t: what is left of a sum's block under the sum's key."""
    made = []
    for y, m in zip(residues, mask(plan_hash, k, secret), strict=True):
        lifted = math.floor(Fraction(y * Q, 2**bits) + Fraction(1, 2))
        made.append((lifted - m + Q // 2) % Q - Q // 2)
    return made


def on_grid(t: int, scale: int) -> int:
    return math.floor(Fraction(t, scale) + Fraction(1, 2))


def interpolate(points: Sequence[int], values: Sequence[np.ndarray], at: int) -> np.ndarray:
    """Lagrange's formula, coefficient by coefficient."""
    total = np.zeros_like(values[0])
    for point, value in zip(points, values, strict=True):
        others = [each for each in points if each != point]
        over = math.prod(at - each for each in others)
        under = math.prod(point - each for each in others)
        total = (total + value * (over * pow(under, -1, Q) % Q)) % Q
    return total


def wrong_by_trying(
    points: Sequence[int], values: Sequence[np.ndarray], degree: int
) -> set[int] | None:
    """The points whose values are wrong if at most half of the spare ones are, else None."""
    by_point = dict(zip(points, values, strict=True))
    for subset in itertools.combinations(points, degree):
        base = [by_point[point] for point in subset]
        wrong = {
            point
            for point, value in by_point.items()
            if not np.array_equal(interpolate(subset, base, point), value)
        }
        if 2 * len(wrong) <= len(points) - degree:
            return wrong
    return None
