"""The paired bootstrap over patients."""

from __future__ import annotations

import numpy as np

from fedmrg_secure.benchmark.significance import Sample, p_values, resampled
from tests.benchmark.results import reference, right


def test_records_of_one_patient_are_drawn_together() -> None:
    sample = Sample(("a", "b", "a", "c"), tuple(reference(i) for i in range(4)))
    weights = sample.draws(200, seed=3)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_the_order_of_seeds_does_not_matter_and_figures_are_their_mean() -> None:
    sample = Sample(tuple("abcdefgh"), tuple(reference(i) for i in range(8)))
    weights = sample.draws(20, seed=1)
    good, bad = right(8, 7), right(8, 2)
    both = resampled(sample, [good, bad], weights)
    turned = resampled(sample, [bad, good], weights)
    alone = [resampled(sample, [each], weights) for each in (good, bad)]
    assert np.allclose(both["bleu4"], turned["bleu4"])
    assert np.allclose(both["bleu4"], (alone[0]["bleu4"] + alone[1]["bleu4"]) / 2)


def test_p_is_the_same_whichever_method_is_first() -> None:
    sample = Sample(tuple("abcdefghijkl"), tuple(reference(i) for i in range(12)))
    weights = sample.draws(300, seed=1)
    first, second = (resampled(sample, [right(12, n)], weights) for n in (5, 9))
    there, back = p_values(first, second), p_values(second, first)
    assert there == back
    assert 0 < there["ce_rule_f1_micro"] < 0.2
