"""Draws that are independent pass all five tests; each kind of draw that is not fails one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kstest

from fedmrg_secure.privacy_audit.poisson import poisson_p_values

Drawn = npt.NDArray[np.bool_]
STEPS, UNITS, RATE = 400, 1000, 0.05
BATCH = round(RATE * UNITS)


def _coins(random: np.random.Generator) -> Drawn:
    return random.random((STEPS, UNITS)) < RATE


def _batches(members: list[npt.NDArray[np.int64]]) -> Drawn:
    drawn = np.zeros((STEPS, UNITS), dtype=np.bool_)
    for step, batch in zip(drawn, members, strict=True):
        step[batch] = True
    return drawn


def _shuffled(random: np.random.Generator) -> Drawn:
    dealt = np.concatenate([random.permutation(UNITS) for _ in range(STEPS * BATCH // UNITS)])
    return _batches(list(dealt.reshape(STEPS, BATCH)))


def _fixed_size(random: np.random.Generator) -> Drawn:
    return _batches([random.choice(UNITS, BATCH, replace=False) for _ in range(STEPS)])


def _same_batch_again(random: np.random.Generator) -> Drawn:
    return _coins(random)[np.arange(STEPS) // 2 * 2]


def _in_pairs(random: np.random.Generator) -> Drawn:
    return _coins(random)[:, np.arange(UNITS) // 2 * 2]


def _too_often(random: np.random.Generator) -> Drawn:
    return random.random((STEPS, UNITS)) < 1.05 * RATE


def _some_more_than_others(random: np.random.Generator) -> Drawn:
    return random.random((STEPS, UNITS)) < RATE * np.linspace(0.5, 1.5, UNITS)


def test_independent_coins_give_p_values_as_they_should_be() -> None:
    random = np.random.default_rng(0)
    found = [poisson_p_values(_coins(random), RATE) for _ in range(200)]
    for name in found[0]:
        assert kstest([each[name] for each in found], "uniform").pvalue > 1e-4, name


@pytest.mark.parametrize(
    ("draw", "seen_by"),
    [
        (_shuffled, {"batch sizes", "units", "consecutive steps"}),
        (_fixed_size, {"batch sizes"}),
        (_same_batch_again, {"units", "consecutive steps"}),
        (_in_pairs, {"batch sizes", "neighbours"}),
        (_too_often, {"rate"}),
        (_some_more_than_others, {"units"}),
    ],
)
def test_other_draws_are_seen(
    draw: Callable[[np.random.Generator], Drawn], seen_by: set[str]
) -> None:
    chances = poisson_p_values(draw(np.random.default_rng(1)), RATE)
    assert seen_by <= {name for name, chance in chances.items() if chance < 1e-5}
