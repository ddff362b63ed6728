"""All figures that a set of generated reports gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.evaluation.cider import cider
from fedmrg_secure.evaluation.clinical import clinical_scores
from fedmrg_secure.evaluation.language import COCO_BETA, bleu_scores, rouge_l
from fedmrg_secure.evaluation.meteor import meteor

_OF_REPORTS: Final = (
    *("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "rouge_l_beta", "meteor_exact_stem", "cider"),
    *(
        f"ce_rule_{figure}_{kind}"
        for figure in ("f1", "precision", "recall")
        for kind in ("macro", "micro")
    ),
)
METRICS: Final = (*_OF_REPORTS, "diagnosis_auroc", "diagnosis_f1_macro", "diagnosis_f1_micro")
"""Every figure that an evaluation has; those of the diagnosis come from `judging`."""


class NothingToScore(FedmrgError):
    """There are no pairs, or the two lists do not pair up."""

    code: ClassVar[str] = "FMRG-2901"


def score_reports(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Language and clinical figures of generated reports, in [0, 1]; CIDEr in [0, 10].

    Args:
        references, hypotheses: texts in the same order, at least one; a hypothesis may be empty.

    Returns:
        ``bleu1`` to ``bleu4``, ``rouge_l`` (F1) and ``rouge_l_beta`` (COCO's beta 1.2),
        ``meteor_exact_stem``, ``cider``, and ``ce_rule_{precision,recall,f1}_{micro,macro}``.

    Raises:
        NothingToScore: no pairs, or lists of different length.
    """
    if not references or len(references) != len(hypotheses):
        raise NothingToScore(
            f"{len(references)} references and {len(hypotheses)} generated reports do not pair up",
            hint="give one generated report for each reference, at least one",
        )
    return {
        **bleu_scores(references, hypotheses),
        "rouge_l": rouge_l(references, hypotheses),
        "rouge_l_beta": rouge_l(references, hypotheses, beta=COCO_BETA),
        "meteor_exact_stem": meteor(references, hypotheses),
        "cider": cider(references, hypotheses),
        **clinical_scores(references, hypotheses),
    }
