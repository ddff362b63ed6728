"""How good the reports are: words, meaning, findings, ranking, and how sure a difference is."""

from fedmrg_secure.evaluation.bootstrap import Interval, paired_bootstrap, two_sided_p_value
from fedmrg_secure.evaluation.diagnosis import diagnosis_auroc, diagnosis_f1
from fedmrg_secure.evaluation.scores import score_reports

__all__ = [
    "Interval",
    "diagnosis_auroc",
    "diagnosis_f1",
    "paired_bootstrap",
    "score_reports",
    "two_sided_p_value",
]
