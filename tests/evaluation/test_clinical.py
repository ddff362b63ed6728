from __future__ import annotations

import pytest

from fedmrg_secure.evaluation.clinical import class_efficacy, clinical_scores

REFERENCES = [
    "Small left pleural effusion. Heart enlarged.",  # effusion, cardiomegaly
    "Possible pneumonia.",  # pneumonia
    "No effusion.",  # no finding
    "Pneumothorax.",  # pneumothorax
]
HYPOTHESES = [
    "Left pleural effusion. Heart size normal.",  # effusion found, cardiomegaly missed
    "Pneumonia and edema.",  # pneumonia found, edema invented
    "Normal chest.",  # no finding found
    "No pneumothorax.",  # pneumothorax missed, no finding invented
]


def test_counts_by_class() -> None:
    counts = {
        c.name: (c.true_positives, c.false_positives, c.false_negatives)
        for c in class_efficacy(REFERENCES, HYPOTHESES)
    }
    assert counts["Pleural Effusion"] == (1, 0, 0)
    assert counts["Cardiomegaly"] == (0, 0, 1)
    assert counts["Pneumonia"] == (1, 0, 0)
    assert counts["Edema"] == (0, 1, 0)
    assert counts["Pneumothorax"] == (0, 0, 1)
    assert counts["No Finding"] == (1, 1, 0)
    assert counts["Fracture"] == (0, 0, 0)


def test_micro_pools_and_macro_averages_over_classes_that_occur() -> None:
    scores = clinical_scores(REFERENCES, HYPOTHESES)
    # true 3, false 2, missed 2
    assert scores["ce_rule_precision_micro"] == pytest.approx(3 / 5)
    assert scores["ce_rule_recall_micro"] == pytest.approx(3 / 5)
    assert scores["ce_rule_f1_micro"] == pytest.approx(3 / 5)
    # effusion 1, cardiomegaly 0, pneumonia 1, pneumothorax 0, no finding 2/3; edema does not occur
    assert scores["ce_rule_f1_macro"] == pytest.approx((1 + 0 + 1 + 0 + 2 / 3) / 5)
    assert scores["ce_rule_recall_macro"] == pytest.approx(3 / 5)
    assert scores["ce_rule_precision_macro"] == pytest.approx((1 + 1 + 0.5) / 5)


def test_a_perfect_report_scores_one_and_an_empty_one_zero() -> None:
    assert set(clinical_scores(REFERENCES, REFERENCES).values()) == {1.0}
    assert set(clinical_scores(REFERENCES, [""] * 4).values()) == {0.0}


def test_support_counts_the_references() -> None:
    support = {c.name: c.support for c in class_efficacy(REFERENCES, HYPOTHESES)}
    assert support["Pleural Effusion"] == 1
    assert support["Edema"] == 0
