"""Clinical efficacy: whether a generated report states the same findings as the reference.

Both texts are labelled by the rules of `data.labeler`. As in the literature on CheXpert labels,
POSITIVE and UNCERTAIN count as stated, NEGATIVE and BLANK as not stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.labeler import label_report


@dataclass(frozen=True, slots=True)
class ClassEfficacy:
    """One class: counts of reports and what follows from them, each in [0, 1]."""

    name: str
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def support(self) -> int:
        """Number of references that state the class."""
        return self.true_positives + self.false_negatives

    @property
    def precision(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.support)

    @property
    def f1(self) -> float:
        return _ratio(
            2 * self.true_positives,
            2 * self.true_positives + self.false_positives + self.false_negatives,
        )


def class_efficacy(
    references: Sequence[str], hypotheses: Sequence[str]
) -> tuple[ClassEfficacy, ...]:
    """Counts for each of `CHEXPERT_CLASSES`, in that order."""
    return count_classes(_stated(references), _stated(hypotheses), CHEXPERT_CLASSES)


def count_classes(
    truth: npt.NDArray[np.bool_], stated: npt.NDArray[np.bool_], names: Sequence[str]
) -> tuple[ClassEfficacy, ...]:
    """Counts for each class.

    Args:
        truth, stated: what is so and what is said to be, shape (records, classes).
        names: of the classes.
    """
    return tuple(
        ClassEfficacy(name, int(true), int(false), int(missed))
        for name, true, false, missed in zip(
            names,
            (truth & stated).sum(0),
            (~truth & stated).sum(0),
            (truth & ~stated).sum(0),
            strict=True,
        )
    )


def micro_macro(classes: Sequence[ClassEfficacy], figure: str) -> tuple[float, float]:
    """One figure of all classes pooled, and its plain mean over the classes that occur.

    Args:
        classes: at least one.
        figure: ``precision``, ``recall`` or ``f1``.

    Returns:
        Micro and macro, each in [0, 1]; macro is 0 where no class occurs.
    """
    pooled = ClassEfficacy(
        "micro",
        sum(c.true_positives for c in classes),
        sum(c.false_positives for c in classes),
        sum(c.false_negatives for c in classes),
    )
    values = [float(getattr(c, figure)) for c in classes if c.support]
    return float(getattr(pooled, figure)), float(np.mean(values)) if values else 0.0


def clinical_scores(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Micro and macro precision, recall and F1, keys ``ce_rule_*``, each in [0, 1].

    Micro pools the counts of all 14 classes. Macro is the plain mean over the classes that at
    least one reference states: a class that never occurs has no recall, and its zero would say
    nothing about the model. False alarms of such a class still lower the micro figures.
    """
    classes = class_efficacy(references, hypotheses)
    scores = {}
    for figure in ("precision", "recall", "f1"):
        micro, macro = micro_macro(classes, figure)
        scores[f"ce_rule_{figure}_micro"], scores[f"ce_rule_{figure}_macro"] = micro, macro
    return scores


def _stated(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    labels = [label_report(text) for text in texts]
    statuses = np.array(labels, dtype=np.int64).reshape(len(labels), len(CHEXPERT_CLASSES))
    stated: npt.NDArray[np.bool_] = (statuses == Status.POSITIVE) | (statuses == Status.UNCERTAIN)
    return stated


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0
