"""How good the reports are: words, findings, ranking, and how sure a difference is."""

from fedmrg_secure.evaluation.bootstrap import Interval, paired_bootstrap
from fedmrg_secure.evaluation.diagnosis import diagnosis_auroc
from fedmrg_secure.evaluation.scores import score_reports

__all__ = ["Interval", "diagnosis_auroc", "paired_bootstrap", "score_reports"]
