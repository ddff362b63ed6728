from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.core.types import Status
from fedmrg_secure.evaluation.diagnosis import auroc, diagnosis_auroc


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
