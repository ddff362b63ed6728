from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.data.task import public_corpus
from fedmrg_secure.evaluation.bootstrap import figures, paired_bootstrap, two_sided_p_value
from fedmrg_secure.evaluation.cider import cider_of_pairs
from fedmrg_secure.evaluation.scores import score_reports

REFERENCES = public_corpus(0, 40)
OTHERS = public_corpus(1, 40)
MIXED = [*REFERENCES[:20], *OTHERS[20:38], "", "heart"]


@pytest.mark.parametrize("hypotheses", [REFERENCES, OTHERS, MIXED, [""] * 40])
def test_weights_of_one_give_the_figures_of_the_whole_set(hypotheses: list[str]) -> None:
    """Our counts against sacrebleu's and against the plain clinical figures."""
    weighted = figures(REFERENCES, hypotheses, np.ones((1, 40)))
    expected = score_reports(REFERENCES, hypotheses)
    assert set(weighted) == set(expected)
    for name, value in expected.items():
        assert weighted[name][0] == pytest.approx(value, abs=1e-9), name


def test_a_weight_repeats_a_record() -> None:
    weights = np.zeros((1, 40))
    weights[0, [3, 25]] = 2, 1
    repeated = [REFERENCES[3], REFERENCES[3], REFERENCES[25]]
    written = [MIXED[3], MIXED[3], MIXED[25]]
    expected = score_reports(repeated, written)
    weighted = figures(REFERENCES, MIXED, weights)
    # CIDEr keeps the document frequencies of all forty references
    del expected["cider"]
    of_records = cider_of_pairs(REFERENCES, MIXED)
    assert weighted["cider"][0] == pytest.approx((2 * of_records[3] + of_records[25]) / 3)
    for name, value in expected.items():
        assert weighted[name][0] == pytest.approx(value, abs=1e-9), name


def test_a_better_system_has_an_interval_above_zero() -> None:
    for name, interval in paired_bootstrap(REFERENCES, OTHERS, MIXED, seed=0).items():
        if name in ("bleu4", "rouge_l", "rouge_l_beta", "meteor_exact_stem", "cider"):
            assert 0 < interval.low < interval.difference < interval.high
            assert interval.p_value == pytest.approx(2 / 1001)


def test_equal_systems_differ_by_nothing_in_every_resample() -> None:
    for interval in paired_bootstrap(REFERENCES, OTHERS, OTHERS, seed=0).values():
        assert (interval.low, interval.difference, interval.high) == (0, 0, 0)
        assert interval.p_value == 1


def test_p_values_by_hand() -> None:
    assert two_sided_p_value([1, 2, 3]) == 2 / 4
    assert two_sided_p_value([-1, *[1] * 98]) == pytest.approx(2 * 2 / 100)
    assert two_sided_p_value([1, *[-1] * 98]) == pytest.approx(2 * 2 / 100)
    assert two_sided_p_value([0, 0, 0]) == 1
    assert two_sided_p_value([-1, 1]) == 1


def test_without_a_difference_small_p_values_are_rare() -> None:
    """Of 200 pairs of systems that differ by chance alone about ten have p < 0.05."""
    rng = np.random.default_rng(5)
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=400) / 60
    low = sum(two_sided_p_value(weights @ rng.normal(size=60)) < 0.05 for _ in range(200))
    assert 2 <= low <= 22


def test_the_seed_fixes_the_draws_and_more_confidence_is_wider() -> None:
    first = paired_bootstrap(REFERENCES, OTHERS, MIXED, seed=4)
    assert first == paired_bootstrap(REFERENCES, OTHERS, MIXED, seed=4)
    assert first != paired_bootstrap(REFERENCES, OTHERS, MIXED, seed=5)
    wide = paired_bootstrap(REFERENCES, OTHERS, MIXED, seed=4, confidence=0.999)
    assert wide["rouge_l"].low < first["rouge_l"].low
    assert wide["rouge_l"].high > first["rouge_l"].high


def test_the_interval_of_a_mean_has_the_width_of_theory() -> None:
    """ROUGE-L is a mean over records: its bootstrap spread is sigma / sqrt(n)."""
    interval = paired_bootstrap(REFERENCES, OTHERS, MIXED, seed=1, resamples=4000)["rouge_l"]
    per_record = [
        figures([r], [m], np.ones((1, 1)))["rouge_l"][0]
        - figures([r], [o], np.ones((1, 1)))["rouge_l"][0]
        for r, o, m in zip(REFERENCES, OTHERS, MIXED, strict=True)
    ]
    expected = 2 * 1.96 * np.std(per_record) / np.sqrt(40)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)
