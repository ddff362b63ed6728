"""Which of several values of a polynomial are wrong (Gao 2003), modulo q, on Python integers.

Values at m points of a polynomial of degree below k are a word of a Reed-Solomon code. A word with
at most (m - k) // 2 wrong values has one nearest word, found by Euclid's algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS

Polynomial = list[int]
"""Coefficients modulo q, lowest first, the last one not zero; [] is zero."""


def error_places(
    points: Sequence[int], values: Sequence[int], dimension: int
) -> tuple[int, ...] | None:
    """The places of the wrong values.

    Args:
        points: different ones, below q.
        values: the same number, below q.
        dimension: k, 1 to the number of points.

    Returns:
        Empty if there are none; None if more than half of the spare values are wrong.
    """
    locator: Polynomial = [1]
    for point in points:
        locator = _product(locator, [-point % RING_MODULUS, 1])
    older, newer = locator, _interpolate(points, values)
    older_factor: Polynomial = []
    factor: Polynomial = [1]
    while 2 * (len(newer) - 1) >= len(points) + dimension:
        quotient, rest = _divide(older, newer)
        older, newer = newer, rest
        older_factor, factor = factor, _difference(older_factor, _product(quotient, factor))
    nearest, rest = _divide(newer, factor)
    if rest or len(nearest) > dimension:
        return None
    wrong = tuple(
        place
        for place, (point, value) in enumerate(zip(points, values, strict=True))
        if _value(nearest, point) != value
    )
    return wrong if 2 * len(wrong) <= len(points) - dimension else None


def _interpolate(points: Sequence[int], values: Sequence[int]) -> Polynomial:
    """Newton's form, expanded."""
    result: Polynomial = []
    basis: Polynomial = [1]
    for point, value in zip(points, values, strict=True):
        step = (value - _value(result, point)) * pow(_value(basis, point), -1, RING_MODULUS)
        result = _difference(result, [-step * each % RING_MODULUS for each in basis])
        basis = _product(basis, [-point % RING_MODULUS, 1])
    return result


def _value(polynomial: Polynomial, point: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * point + coefficient) % RING_MODULUS
    return value


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    if not left or not right:
        return []
    product = [0] * (len(left) + len(right) - 1)
    for i, factor in enumerate(left):
        for j, other in enumerate(right):
            product[i + j] = (product[i + j] + factor * other) % RING_MODULUS
    return _trimmed(product)


def _difference(left: Polynomial, right: Polynomial) -> Polynomial:
    size = max(len(left), len(right))
    padded = (each + [0] * (size - len(each)) for each in (left, right))
    return _trimmed([(a - b) % RING_MODULUS for a, b in zip(*padded, strict=True)])


def _divide(dividend: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    rest = list(dividend)
    quotient = [0] * max(len(dividend) - len(divisor) + 1, 0)
    inverse = pow(divisor[-1], -1, RING_MODULUS)
    for shift in range(len(quotient) - 1, -1, -1):
        quotient[shift] = rest[shift + len(divisor) - 1] * inverse % RING_MODULUS
        for place, coefficient in enumerate(divisor, shift):
            rest[place] = (rest[place] - quotient[shift] * coefficient) % RING_MODULUS
    return _trimmed(quotient), _trimmed(rest)


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial
