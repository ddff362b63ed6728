"""The thin edge around other people's accountants: Opacus' RDP and PRV, dp-accounting's PLD.

Opacus loads torch, so it is imported where it is used.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np

from fedmrg_secure.core.errors import FedmrgError

_LARGE_ORDERS: Final = (
    *range(2, 64),
    72,
    80,
    96,
    112,
    128,
    160,
    192,
    256,
    320,
    384,
    512,
    768,
    1000,
)
_FRACTIONAL_ORDERS: Final = tuple(1 + tenth / 10 for tenth in range(1, 100) if tenth % 10)
_LARGEST_PRV: Final = 100.0
"""Epsilons above this have no meaning, and numerical composition takes minutes for them."""

_REMEMBERED: Final = 64


class AccountingFailed(FedmrgError):
    """An accountant could not work out an epsilon."""

    code: ClassVar[str] = "FMRG-4625"


@dataclass(frozen=True, slots=True)
class GaussianSteps:
    """Steps of a Poisson-subsampled Gaussian mechanism.

    Attributes:
        noise_multiplier: standard deviation over sensitivity, > 0.
        rate: the sampling probability, in (0, 1].
        steps: >= 1.
    """

    noise_multiplier: float
    rate: float
    steps: int


@lru_cache(maxsize=_REMEMBERED)
def rdp_epsilon(
    steps: tuple[GaussianSteps, ...], delta: float, *, integer_orders: bool = False
) -> float:
    """epsilon by Renyi differential privacy, the best of many orders.

    Args:
        steps: of the whole history, at least one.
        delta: > 0.
        integer_orders: use orders 2, 3, ... alone.

    Returns:
        An upper bound, >= 0.

    Source:
        Mironov, Talwar, Zhang 2019; conversion of Balle et al. 2020, theorem 21.
    """
    from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

    orders = np.array(
        _LARGE_ORDERS if integer_orders else sorted({*_LARGE_ORDERS, *_FRACTIONAL_ORDERS})
    )
    total = np.zeros(len(orders))
    for each in steps:
        for at, order in enumerate(orders.tolist()):
            total[at] += each.steps * _renyi(compute_rdp, each, order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says when the best order is the first or the last
        value, _ = get_privacy_spent(orders=orders, rdp=total, delta=delta)
    return max(float(value), 0.0)


def _renyi(compute: Callable[..., float], step: GaussianSteps, order: float) -> float:
    try:
        value = float(
            compute(
                q=step.rate, noise_multiplier=step.noise_multiplier, steps=1, orders=float(order)
            )
        )
    except (ValueError, OverflowError):
        return math.inf  # the series at this order has no float64 value: this order has no bound
    return math.inf if math.isnan(value) else value


@lru_cache(maxsize=_REMEMBERED)
def prv_epsilon(steps: tuple[GaussianSteps, ...], delta: float, error: float) -> float:
    """epsilon by numerical composition of privacy loss random variables.

    Args:
        steps: of the whole history, at least one.
        delta: > 0.
        error: by how much the result may exceed the true value.

    Returns:
        An upper bound; infinite where epsilon is so large that it says nothing.

    Source:
        Gopi, Lee, Wutschitz 2021.
    """
    from opacus.accountants import PRVAccountant

    if rdp_epsilon(steps, delta) > _LARGEST_PRV:
        return math.inf
    accountant = PRVAccountant()
    accountant.history = [(each.noise_multiplier, each.rate, each.steps) for each in steps]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return float(accountant.get_epsilon(delta, eps_error=error))
    except (ValueError, RuntimeError, IndexError) as failure:
        raise AccountingFailed(
            f"numerical composition found no epsilon at delta {delta:g}: {failure}",
            hint="use a larger delta or more noise",
        ) from failure


def pld_installed() -> bool:
    """Whether dp-accounting is there (the extra `audit`)."""
    return importlib.util.find_spec("dp_accounting") is not None


@lru_cache(maxsize=_REMEMBERED)
def pld_epsilon(steps: tuple[GaussianSteps, ...], delta: float) -> float:
    """epsilon by privacy loss distributions, for adding and for removing a unit: the larger.

    Args:
        steps: of the whole history, at least one.
        delta: > 0.

    Raises:
        ImportError: dp-accounting is not installed.
    """
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    if rdp_epsilon(steps, delta) > _LARGEST_PRV:
        return math.inf
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    for each in steps:
        one: dp_accounting.DpEvent = dp_accounting.GaussianDpEvent(each.noise_multiplier)
        if each.rate < 1:
            one = dp_accounting.PoissonSampledDpEvent(each.rate, one)
        accountant.compose(one, each.steps)
    return float(accountant.get_epsilon(delta))
