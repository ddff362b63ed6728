"""Known answers, closed forms, the discrete Gaussian against its exact divergences, refusals."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

from fedmrg_secure.privacy import accountant
from fedmrg_secure.privacy.accountant import (
    AccountantsDisagree,
    BudgetCannotBeMet,
    DeltaTooLarge,
    account,
    calibrate,
    check_agreement,
    check_delta,
    epsilon,
)
from fedmrg_secure.privacy.coupling import (
    binomial_tail,
    discretisation_distance,
    truncation_distance,
)
from fedmrg_secure.privacy.curves import GaussianSteps, pld_epsilon, prv_epsilon, rdp_epsilon
from fedmrg_secure.privacy.events import (
    ContinuousNoise,
    EveryUnit,
    GridNoise,
    PoissonSampling,
    PrivacyEvent,
    TruncatedPoissonSampling,
    UnknownEvent,
    event_from_json,
)

FINE = GridNoise(Fraction(1 << 32), Fraction(1 << 32), 1_000_000)
KNOWN = PrivacyEvent(ContinuousNoise(1.0), PoissonSampling(0.02), 1000)


def test_known_answers() -> None:
    result = account([KNOWN], 1e-5)
    assert result.rdp == pytest.approx(4.324, rel=0.005)
    assert result.prv == pytest.approx(3.909, rel=0.005)
    assert result.epsilon == result.prv
    # 20,000 patients, batches of 256, sampled by Poisson or (a plain Gaussian each) not.
    poisson = PrivacyEvent(ContinuousNoise(1.0), PoissonSampling(0.0128), 400)
    assert epsilon([poisson], 1e-6) == pytest.approx(1.86, rel=0.005)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 4.0, 30.0])
def test_one_gaussian_is_what_its_closed_form_says(sigma: float) -> None:
    # Balle and Wang 2018, theorem 8.
    def delta_of(eps: float) -> float:
        a, b = 1 / (2 * sigma), eps * sigma
        return float(norm.cdf(a - b) - math.exp(eps) * norm.cdf(-a - b))

    exact = brentq(lambda eps: delta_of(eps) - 1e-5, 0, 60)
    result = account([PrivacyEvent(ContinuousNoise(sigma), EveryUnit(), 1)], 1e-5)
    assert exact <= result.prv <= exact * 1.005 + 1e-3
    assert result.prv <= result.rdp


def test_events_add_up_however_they_are_cut() -> None:
    parts = [PrivacyEvent(ContinuousNoise(1.0), PoissonSampling(0.02), 250)] * 4
    assert account(parts, 1e-5) == account([KNOWN], 1e-5)
    more = [*parts, PrivacyEvent(ContinuousNoise(5.0), EveryUnit(), 1)]
    assert epsilon(more, 1e-5) > epsilon(parts, 1e-5)
    assert account([], 1e-5).epsilon == 0


def test_a_fine_grid_costs_what_continuous_noise_costs() -> None:
    continuous = account([KNOWN], 1e-5)
    discrete = account([PrivacyEvent(FINE, PoissonSampling(0.02), 1000)], 1e-5)
    assert continuous.prv < discrete.prv < continuous.prv * 1.0005
    assert continuous.rdp < discrete.rdp < continuous.rdp * 1.0005


def test_a_coarse_grid_is_accounted_by_integer_orders_alone() -> None:
    coarse = PrivacyEvent(GridNoise(Fraction(16), Fraction(16), 10**6), PoissonSampling(0.02), 1000)
    result = account([coarse], 1e-5)
    assert result.prv == math.inf
    steps = (GaussianSteps(1.0, 0.02, 1000),)
    assert result.epsilon == result.rdp == rdp_epsilon(steps, 1e-5, integer_orders=True)
    assert result.rdp > rdp_epsilon(steps, 1e-5)


def renyi(p: np.ndarray, q: np.ndarray, order: float) -> float:
    return float(np.log(np.sum(np.exp(order * np.log(p) + (1 - order) * np.log(q)))) / (order - 1))


@pytest.mark.parametrize(("sigma", "shift"), [(1.0, 1), (2.0, 1), (2.0, 3), (0.6, 1), (7.5, 5)])
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.9])
def test_the_subsampled_discrete_gaussian_keeps_the_integer_order_bound(
    sigma: float, shift: int, rate: float
) -> None:
    # Exact divergences of one coordinate, both directions, against the continuous formula.
    from opacus.accountants.analysis.rdp import compute_rdp

    reach = math.ceil(30 * sigma) + 40
    points = np.arange(-reach, reach + 1).astype(float)

    def pmf(centre: float) -> np.ndarray:
        weights = np.exp(-((points - centre) ** 2) / (2 * sigma**2))
        return weights / weights.sum()

    inside = np.abs(points) < 26 * sigma  # above the smallest float64
    without, with_unit = pmf(0)[inside], pmf(shift)[inside]
    mixed = (1 - rate) * without + rate * with_unit
    for order in (2, 3, 5, 8):
        bound = compute_rdp(q=rate, noise_multiplier=sigma / shift, steps=1, orders=float(order))
        assert renyi(mixed, without, order) <= bound * (1 + 1e-9) + 1e-12
        assert renyi(without, mixed, order) <= bound * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("sigma", [2, 3, 5, 16, 100])
def test_the_distance_of_rounded_noise_is_below_its_bound(sigma: int) -> None:
    points = np.arange(-40 * sigma, 40 * sigma + 1)
    discrete = np.exp(-(points**2) / (2 * sigma**2))
    discrete /= discrete.sum()
    upper = -np.abs(points) + 0.5
    rounded = norm.cdf(upper / sigma) - norm.cdf((upper - 1) / sigma)
    chi_square = float(np.sum((rounded - discrete) ** 2 / np.maximum(discrete, 1e-300)))
    assert chi_square <= 1 / (280 * sigma**4)
    assert chi_square > 1 / (300 * sigma**4) * 0.9 or sigma > 16  # the bound is not idle
    distance = float(np.abs(rounded - discrete).sum() / 2)
    event = PrivacyEvent(GridNoise(Fraction(sigma), Fraction(1), 1), EveryUnit(), 1)
    assert distance <= discretisation_distance([event])


def test_distances_add_up_over_coordinates_and_steps() -> None:
    one = PrivacyEvent(GridNoise(Fraction(100), Fraction(1), 1), EveryUnit(), 1)
    many = PrivacyEvent(GridNoise(Fraction(100), Fraction(1), 400), EveryUnit(), 100)
    assert discretisation_distance([many]) == pytest.approx(200 * discretisation_distance([one]))
    # Pinsker's inequality, which is not tight, on 40,000 samples.
    assert discretisation_distance([many]) == pytest.approx(math.sqrt(40_000 / (560 * 100**4)))
    tiny = PrivacyEvent(GridNoise(Fraction(3, 2), Fraction(1), 1), EveryUnit(), 1)
    assert discretisation_distance([one, tiny]) == math.inf
    assert discretisation_distance([KNOWN]) == truncation_distance([KNOWN]) == 0


@pytest.mark.parametrize(("n", "q", "most"), [(1000, 0.02, 40), (1000, 0.02, 10), (50, 0.5, 49)])
def test_the_tail_of_the_binomial_is_bounded(n: int, q: float, most: int) -> None:
    bound, exact = binomial_tail(n, q, most), binom.sf(most, n, q)
    assert exact * (1 - 1e-12) <= bound <= 1
    assert binomial_tail(n, q, n) == 0


def test_truncation_costs_what_it_can_change() -> None:
    def cut(largest: int) -> float:
        sampling = TruncatedPoissonSampling(0.02, largest, 10_000)
        return epsilon([PrivacyEvent(ContinuousNoise(1.0), sampling, 1000)], 1e-5)

    whole = epsilon([KNOWN], 1e-5)
    assert whole < cut(400) < whole * 1.0005
    assert whole < cut(10_001) + 1e-9
    assert cut(210) == math.inf


@pytest.mark.parametrize(("target", "rate", "steps"), [(8, 0.02, 300), (1, 0.05, 60), (4, 1.0, 1)])
def test_calibrated_noise_costs_its_target_and_hardly_less(
    target: float, rate: float, steps: int
) -> None:
    multiplier = calibrate(target, 1e-5, rate, steps)
    noise = GridNoise(Fraction(multiplier) * (1 << 32), Fraction(1 << 32), 100_000)
    cost = epsilon([PrivacyEvent(noise, PoissonSampling(rate), steps)], 1e-5)
    assert 0.99 * target < cost <= target


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(BudgetCannotBeMet, match="no noise brings"):
        calibrate(1e-6, 1e-12, 1.0, 1000)
    for target in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(BudgetCannotBeMet):
            calibrate(target, 1e-5, 0.1, 10)
    with pytest.raises(DeltaTooLarge):
        calibrate(1.0, math.nan, 0.1, 10)


@pytest.mark.parametrize("delta", [0.0, -1e-5, 1.0, math.nan, math.inf])
def test_a_delta_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(DeltaTooLarge):
        account([KNOWN], delta)
    with pytest.raises(DeltaTooLarge):
        check_delta(delta, 100)


def test_delta_must_be_below_one_over_n() -> None:
    check_delta(1e-5, 99_999)
    with pytest.raises(DeltaTooLarge, match="1/n"):
        check_delta(1e-5, 100_000)
    with pytest.raises(DeltaTooLarge):
        check_delta(1e-5, 0)


def test_accountants_must_agree() -> None:
    check_agreement(4.3, 3.909, 3.899, 0.01)
    check_agreement(4.3, 3.909, None, 0.01)
    check_agreement(4.3, math.inf, math.inf, 0.01)
    check_agreement(math.inf, 3.0, 3.0, 0.01)
    for rdp, prv, pld in (
        (4.3, 3.909, 3.80),
        (4.3, 3.909, 4.02),
        (4.3, 4.4, None),
        (4.3, 3.909, 4.4),
        (math.nan, 3.909, None),
        (4.3, math.nan, None),
        (4.3, 3.909, math.nan),
        (4.3, 3.909, math.inf),
        (4.3, -0.5, None),
    ):
        with pytest.raises(AccountantsDisagree):
            check_agreement(rdp, prv, pld, 0.01)


def test_a_wrong_accountant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountant, "prv_epsilon", lambda *_: 99.0)
    with pytest.raises(AccountantsDisagree, match="PRV gives 99"):
        account([KNOWN], 1e-5)


@pytest.mark.skipif(
    importlib.util.find_spec("dp_accounting") is None, reason="dp-accounting is not installed"
)
@pytest.mark.parametrize(
    ("multiplier", "rate", "steps"), [(1.0, 0.02, 1000), (1.0, 1.0, 1), (3.0, 0.1, 200)]
)
def test_privacy_loss_distributions_agree(multiplier: float, rate: float, steps: int) -> None:
    alone = (GaussianSteps(multiplier, rate, steps),)
    pld, prv = pld_epsilon(alone, 1e-5), prv_epsilon(alone, 1e-5, 0.001)
    assert pld == pytest.approx(prv, rel=0.01)
    event = PrivacyEvent(ContinuousNoise(multiplier), PoissonSampling(rate), steps)
    assert account([event], 1e-5).pld == pld


EVENTS = [
    KNOWN,
    PrivacyEvent(FINE, EveryUnit(), 1),
    PrivacyEvent(
        GridNoise(Fraction(7, 3), Fraction(5, 2), 9), TruncatedPoissonSampling(0.1, 5, 9), 2
    ),
]


@pytest.mark.parametrize("event", EVENTS)
def test_events_survive_being_written(event: PrivacyEvent) -> None:
    assert event_from_json(event.to_json()) == event


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "shuffled-sums"},
        {"steps": 0},
        {"steps": True},
        {"steps": "5"},
        {"more": 1},
        {"noise": {"kind": "laplace", "scale": "1"}},
        {"noise": {"kind": "gaussian", "noise_multiplier": "nan"}},
        {"noise": {"kind": "gaussian", "noise_multiplier": "inf"}},
        {"noise": {"kind": "gaussian", "noise_multiplier": "-1"}},
        {"noise": {"kind": "gaussian", "noise_multiplier": 1.0}},
        {"noise": {"kind": "gaussian"}},
        {"noise": "gaussian"},
        {
            "noise": {
                "kind": "discrete-gaussian",
                "sigma": "1/0",
                "sensitivity": "1",
                "coordinates": 1,
            }
        },
        {
            "noise": {
                "kind": "discrete-gaussian",
                "sigma": "0",
                "sensitivity": "1",
                "coordinates": 1,
            }
        },
        {"sampling": {"kind": "shuffled"}},
        {"sampling": {"kind": "poisson", "rate": "1.5"}},
        {"sampling": {"kind": "poisson", "rate": "0"}},
        {"sampling": {"kind": "poisson", "rate": "nan"}},
    ],
)
def test_an_unknown_event_or_a_bad_number_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UnknownEvent):
        event_from_json({**KNOWN.to_json(), **change})


def test_the_noise_multiplier_of_a_grid_is_rounded_down() -> None:
    noise = GridNoise(Fraction(1), Fraction(3), 1)
    assert Fraction(noise.noise_multiplier) < Fraction(1, 3)
    assert math.nextafter(noise.noise_multiplier, 1) > 1 / 3 or noise.noise_multiplier == 1 / 3


def test_the_room_loads_no_torch_before_it_accounts() -> None:
    script = (
        "import sys, fedmrg_secure.privacy.ledger, fedmrg_secure.privacy.mechanism\n"
        "print([name for name in ('torch', 'opacus') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
