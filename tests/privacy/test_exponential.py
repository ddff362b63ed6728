"""exp(-x) and the coins made of it, against arithmetic of 60 digits."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.privacy.exponential import (
    ERROR,
    KNOWN_BITS,
    LazyUniform,
    exp_minus,
    exp_minus_bounds,
    first_undecided,
    geometric_thresholds,
)
from fedmrg_secure.privacy.randomness import NoiseStream

KEY = bytes(range(32))


def precise(x: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (-Decimal(x.numerator) / Decimal(x.denominator)).exp()


def test_exp_is_within_its_proved_error_everywhere() -> None:
    rng = np.random.default_rng(5)
    edges = np.arange(0, 300) * math.log(2) / 64
    x = np.concatenate(
        [
            rng.uniform(0, 1, 8000),
            rng.uniform(0, 46, 8000),
            edges,
            np.nextafter(edges, 0),
            np.nextafter(edges, 99),
            [0.0, 5e-324, 45.999, 46.0],
        ]
    )
    errors = [
        abs(Decimal(value) - precise(Fraction(point)))
        for value, point in zip(exp_minus(x).tolist(), x.tolist(), strict=True)
    ]
    assert max(errors) < Decimal(2) ** -50
    assert exp_minus(np.array([1e9, np.inf])).max() < ERROR


@settings(deadline=None, max_examples=200)
@given(x=st.fractions(0, 60, max_denominator=10**12), bits=st.integers(1, 120))
def test_rational_bounds_hold_and_are_as_near_as_asked(x: Fraction, bits: int) -> None:
    low, high = exp_minus_bounds(x, bits)
    assert high - low <= Fraction(1, 2**bits)
    value = Fraction(precise(x))
    slack = Fraction(1, 10**55)
    assert low - slack <= value <= high + slack


def test_thresholds_are_those_of_sixty_digits() -> None:
    thresholds = geometric_thresholds()
    assert thresholds.size == 45
    for k, threshold in enumerate(thresholds.tolist(), 1):
        low, high = exp_minus_bounds(Fraction(k), 100)
        assert math.floor(low * 2**64) == math.floor(high * 2**64) == threshold
    assert thresholds[-1] == 0 < thresholds[-2]


def test_a_coin_is_decided_as_soon_as_it_can_be_and_not_before() -> None:
    x = Fraction(1, 3)
    floor = math.floor(exp_minus_bounds(x, 90)[0] * 2**20)
    stream = NoiseStream.insecure_from_key(KEY)
    below, above = LazyUniform(floor - 1, 20, stream), LazyUniform(floor + 1, 20, stream)
    assert below.below_exp_minus(x)
    assert not above.below_exp_minus(x)
    assert below.known == above.known == 20
    edge = LazyUniform(floor, 20, stream)
    edge.below_exp_minus(x)
    assert edge.known > 20
    assert LazyUniform(2**20 - 1, 20, stream).below_exp_minus(Fraction(0))


def test_a_coin_with_few_known_bits_is_fair_to_its_probability() -> None:
    # One known bit: nearly every decision needs more.
    stream = NoiseStream.insecure_from_key(KEY)
    x, trials = Fraction(7, 10), 4000
    heads = sum(LazyUniform(stream.bits(1), 1, stream).below_exp_minus(x) for _ in range(trials))
    p = math.exp(-0.7)
    assert abs(heads / trials - p) < 4.5 * math.sqrt(p * (1 - p) / trials)


def test_bits_that_were_drawn_are_kept_for_the_next_question() -> None:
    # u < exp(-46) and u >= exp(-45) cannot both hold of one u.
    stream = NoiseStream.insecure_from_key(KEY)
    for _ in range(200):
        uniform = LazyUniform(0, 64, stream)
        answers = [uniform.below_exp_minus(Fraction(k)) for k in (45, 46, 45, 46)]
        assert answers[:2] == answers[2:]
        assert answers[0] or not answers[1]


def test_floats_near_the_threshold_are_left_open() -> None:
    probability = np.array([0.5, 0.5, 0.5, 0.5])
    half = 1 << (KNOWN_BITS - 1)
    known = np.array([half - 200, half - 1, half, half + 200], dtype=np.int64)
    below, undecided = first_undecided(known, probability)
    assert undecided.tolist() == [1, 2]
    assert (bool(below[0]), bool(below[3])) == (True, False)
