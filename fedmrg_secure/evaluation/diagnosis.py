"""How well the diagnosis head ranks the records that have a finding, and how well it decides.

A record has a finding where its label is POSITIVE or UNCERTAIN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from fedmrg_secure.core.types import Status
from fedmrg_secure.evaluation.clinical import count_classes, micro_macro


def auroc(positive: npt.ArrayLike, score: npt.ArrayLike) -> float | None:
    """Area under the ROC curve by ranks (Mann-Whitney), ties counted half.

    Args:
        positive: whether each record has the finding, shape (records,), bool.
        score: larger means more likely, shape (records,), finite.

    Returns:
        A value in [0, 1]; None where all records have the finding or none has.
    """
    truth = np.asarray(positive, dtype=bool)
    with_finding = int(truth.sum())
    without = truth.size - with_finding
    if not with_finding or not without:
        return None
    ranks = rankdata(np.asarray(score, dtype=np.float64))
    statistic = float(ranks[truth].sum()) - with_finding * (with_finding + 1) / 2
    return statistic / (with_finding * without)


def diagnosis_auroc(
    labels: Sequence[Sequence[Status]],
    probabilities: npt.NDArray[np.floating],
    classes: Sequence[str],
) -> dict[str, float]:
    """AUROC of each class that occurs, and their mean under ``mean``.

    Args:
        labels: the statuses of each record, one per class.
        probabilities: of POSITIVE, shape (records, classes).
        classes: the names, in the order of both.

    Returns:
        Values in [0, 1]. A class that no record or every record has is left out; without any class
        the result is empty.
    """
    positive = _present(labels, len(classes))
    areas = {
        name: area
        for column, name in enumerate(classes)
        if (area := auroc(positive[:, column], probabilities[:, column])) is not None
    }
    return {**areas, "mean": float(np.mean(list(areas.values())))} if areas else {}


def diagnosis_f1(
    labels: Sequence[Sequence[Status]], predicted: npt.ArrayLike, classes: Sequence[str]
) -> dict[str, float]:
    """F1 of the statuses that the head decides on, with no threshold to tune.

    Args:
        labels: the statuses of each record, one per class.
        predicted: the most probable status of each record and class, shape (records, classes).
        classes: the names, in the order of both.

    Returns:
        ``diagnosis_f1_micro`` pools the counts of all classes, ``diagnosis_f1_macro`` is the mean
        over the classes that a record has. POSITIVE and UNCERTAIN count as having, predicted or
        labelled. A class that is rarely its record's most probable status keeps a low F1 whatever
        its AUROC is.
    """
    counts = count_classes(
        _present(labels, len(classes)), _present(predicted, len(classes)), classes
    )
    micro, macro = micro_macro(counts, "f1")
    return {"diagnosis_f1_macro": macro, "diagnosis_f1_micro": micro}


def _present(statuses: object, classes: int) -> npt.NDArray[np.bool_]:
    values = np.array(statuses, dtype=np.int64).reshape(-1, classes)
    present: npt.NDArray[np.bool_] = (values == Status.POSITIVE) | (values == Status.UNCERTAIN)
    return present
