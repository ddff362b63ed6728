from __future__ import annotations

import pytest

from fedmrg_secure.training.pretraining import warmup_then_cosine


def test_the_rate_rises_evenly_and_falls_by_half_a_cosine() -> None:
    rates = [warmup_then_cosine(step, 30, peak=2.0, warmup=10) for step in range(30)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0
    assert rates[20] == pytest.approx(1.0)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_a_short_training_may_end_before_the_peak() -> None:
    assert warmup_then_cosine(1, 2, peak=1.0, warmup=10) == pytest.approx(0.2)
