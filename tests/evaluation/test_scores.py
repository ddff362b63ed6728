from __future__ import annotations

import pytest

from fedmrg_secure.data.task import public_corpus
from fedmrg_secure.evaluation.scores import NothingToScore, score_reports

KEYS = {
    "bleu1",
    "bleu2",
    "bleu3",
    "bleu4",
    "rouge_l",
    "rouge_l_beta",
    "meteor_exact_stem",
    "cider",
    "ce_rule_f1_macro",
    "ce_rule_f1_micro",
    "ce_rule_precision_micro",
    "ce_rule_recall_micro",
}


def test_all_figures_are_there_and_in_range() -> None:
    scores = score_reports(public_corpus(0, 30), public_corpus(1, 30))
    assert set(scores) >= KEYS
    assert 0 < scores.pop("cider") < 10
    assert all(0 <= value <= 1 for value in scores.values())
    assert 0 < scores["bleu4"] < scores["bleu1"] < 1


def test_the_references_themselves_score_one() -> None:
    texts = public_corpus(0, 30)
    scores = score_reports(texts, texts)
    assert scores.pop("cider") == pytest.approx(10)
    assert scores.pop("meteor_exact_stem") == pytest.approx(1, abs=1e-3)
    assert scores == pytest.approx(dict.fromkeys(scores, 1))


@pytest.mark.parametrize(("references", "hypotheses"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_lists_that_do_not_pair_up_are_refused(
    references: list[str], hypotheses: list[str]
) -> None:
    with pytest.raises(NothingToScore):
        score_reports(references, hypotheses)
