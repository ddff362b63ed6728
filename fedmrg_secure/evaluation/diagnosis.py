"""How well predicted probabilities of findings rank the records that have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from fedmrg_secure.core.types import Status


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
        Values in [0, 1]. POSITIVE and UNCERTAIN count as having the finding. A class that no
        record or every record has is left out; without any class the result is empty.
    """
    statuses = np.array(labels, dtype=np.int64).reshape(len(labels), len(classes))
    positive = (statuses == Status.POSITIVE) | (statuses == Status.UNCERTAIN)
    areas = {
        name: area
        for column, name in enumerate(classes)
        if (area := auroc(positive[:, column], probabilities[:, column])) is not None
    }
    return {**areas, "mean": float(np.mean(list(areas.values())))} if areas else {}
