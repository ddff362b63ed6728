"""Verdicts on mechanisms whose leak is known, some of them only a little wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.privacy_audit.gaussian import mu_of
from fedmrg_secure.privacy_audit.mechanism import audit_mechanism
from fedmrg_secure.privacy_audit.mutants import MUTANTS, NoiseOfRunReused, half_sigma
from fedmrg_secure.privacy_audit.verdict import (
    AuditBlind,
    AuditUnderpowered,
    ClaimRefuted,
    MechanismAudit,
    Verdict,
)
from fedmrg_secure.privacy_audit.worlds import MakePath
from fedmrg_secure.training.private_step import PrivateSteps, PrivateTraining


def _with_noise(share: float) -> MakePath:
    def make(private: PrivateTraining, *rest: Any) -> PrivateSteps:
        noise = private.noise_multiplier * share
        return PrivateSteps(replace(private, noise_multiplier=noise), *rest)

    return make


def _audit(make: MakePath, epsilons: Sequence[float] = (4.0,), **options: Any) -> MechanismAudit:
    return audit_mechanism(epsilons, 1e-5, make=make, mutants={}, **options)


def test_a_fifth_more_leak_than_claimed_is_found() -> None:
    leak = mu_of(1.2 * 8.0, 1e-5) / mu_of(8.0, 1e-5)
    audit = _audit(_with_noise(1 / leak), [8.0])
    assert audit.decisive.verdict is Verdict.FAIL
    assert audit.decisive.caught_by == ("canaries",)
    assert 8.0 < audit.decisive.shown.estimate < 1.2 * 8.0 < audit.decisive.shown.high
    assert isinstance(audit.problem, ClaimRefuted)


def test_much_more_noise_than_is_accounted_for_is_not_called_well() -> None:
    audit = _audit(_with_noise(1.3))
    assert audit.decisive.verdict is Verdict.UNDERPOWERED
    assert audit.decisive.shown.high < 4.0
    assert isinstance(audit.problem, AuditUnderpowered)


def test_too_few_trials_for_a_small_claim_say_so() -> None:
    audit = _audit(PrivateSteps, [1.0], trials=10_000)
    (judged,) = audit.claims
    assert judged.verdict is Verdict.UNDERPOWERED
    assert judged.trials == 10_240
    assert judged.shown.low < judged.shown.estimate < 0.85 < judged.shown.high


def test_the_worst_verdict_decides() -> None:
    audit = _audit(PrivateSteps, [8.0, 2.0], trials=10_000)
    assert [each.verdict for each in audit.claims] == [
        Verdict.NOT_FALSIFIED,
        Verdict.UNDERPOWERED,
    ]
    assert audit.decisive is audit.claims[1]


def test_an_audit_that_sees_no_mutant_is_worth_nothing() -> None:
    told: list[tuple[int, int, str]] = []
    audit = audit_mechanism(
        [8.0],
        1e-5,
        mutants={"sound": PrivateSteps, "half of sigma": half_sigma},
        on_progress=lambda *progress: told.append(progress),
    )
    assert audit.claims[0].verdict is Verdict.NOT_FALSIFIED
    assert audit.unseen == ("sound",)
    assert "canaries" in audit.mutants["half of sigma"].caught_by
    assert isinstance(audit.problem, AuditBlind)
    assert "sound" in str(audit.problem)
    assert [(done, total) for done, total, _ in told] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_noise_that_repeats_from_run_to_run_is_seen_by_another_run_alone() -> None:
    """Its size is right, and no statistic of one run can see it."""
    audit = _audit(NoiseOfRunReused)
    assert audit.decisive.caught_by == ("other run",)
    assert audit.decisive.shown.estimate < 4.0


def test_the_required_mutants_are_there() -> None:
    assert {
        "noise off",
        "half of sigma",
        "no clip",
        "divided by the number drawn",
        "noise reused in each step",
        "shuffled batches",
    } <= set(MUTANTS)


def test_a_claim_that_no_noise_meets_is_refused() -> None:
    with pytest.raises(FedmrgError):
        _audit(PrivateSteps, [1e-4])
