from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.core.types import Status
from fedmrg_secure.evaluation.diagnosis import auroc, diagnosis_auroc, diagnosis_f1


def test_known_areas() -> None:
    # The textbook example of scikit-learn's documentation: 0.75
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx(0.75)
    assert auroc([0, 1], [0.0, 1.0]) == 1
    assert auroc([1, 0], [0.0, 1.0]) == 0
    assert auroc([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.5


def test_it_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(60) < 0.4
    score = np.round(rng.random(60) + 0.3 * truth, 1)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in score[truth] for b in score[~truth]]
    assert auroc(truth, score) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("truth", [[0, 0], [1, 1], []])
def test_one_sort_of_record_has_no_area(truth: list[int]) -> None:
    assert auroc(truth, np.zeros(len(truth))) is None


def test_classes_that_never_or_always_occur_are_left_out_of_the_mean() -> None:
    labels = [
        (Status.POSITIVE, Status.BLANK, Status.POSITIVE),
        (Status.UNCERTAIN, Status.NEGATIVE, Status.POSITIVE),
        (Status.NEGATIVE, Status.BLANK, Status.UNCERTAIN),
    ]
    probabilities = np.array([[0.9, 0.1, 0.5], [0.2, 0.1, 0.5], [0.4, 0.1, 0.5]])
    areas = diagnosis_auroc(labels, probabilities, ("Edema", "Fracture", "Pneumonia"))
    assert areas == {"Edema": 0.5, "mean": 0.5}
    assert diagnosis_auroc(labels[:1], probabilities[:1], ("a", "b", "c")) == {}


def test_f1_of_the_decided_statuses_by_hand() -> None:
    p, n, u, b = Status.POSITIVE, Status.NEGATIVE, Status.UNCERTAIN, Status.BLANK
    labels = [(p, b, b), (u, n, b), (b, p, n), (n, b, b)]
    decided = [(p, b, b), (b, n, p), (b, u, b), (u, b, b)]
    # Edema: 1 true, 1 false, 1 missed; Fracture: 1 true; Pneumonia: 1 false and never occurs
    scores = diagnosis_f1(labels, np.array(decided), ("Edema", "Fracture", "Pneumonia"))
    assert scores["diagnosis_f1_macro"] == pytest.approx((0.5 + 1) / 2)
    assert scores["diagnosis_f1_micro"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))


def test_f1_of_nothing_is_zero() -> None:
    blank = np.zeros((3, 2), dtype=np.int64)
    assert set(diagnosis_f1([(Status.BLANK,) * 2] * 3, blank, ("a", "b")).values()) == {0.0}
