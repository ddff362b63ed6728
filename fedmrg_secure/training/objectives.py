"""The losses, each a number for each record.

A batch's loss is the sum over its records and no record's loss depends on another record, so the
gradient of a batch is the sum of its records' gradients: what per-record clipping needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from fedmrg_secure.model.decoder import ReportTokens
from fedmrg_secure.model.report_generator import GeneratorOutput


@dataclass(frozen=True, slots=True)
class RecordLosses:
    """Losses of a batch, each of shape (batch,), float32.

    Attributes:
        language: of the report, nats a token.
        diagnosis: of the statuses, nats a class.
        total: language + diagnosis_weight * diagnosis.
    """

    language: Tensor
    diagnosis: Tensor
    total: Tensor


def record_losses(
    output: GeneratorOutput, reports: ReportTokens, statuses: Tensor, *, diagnosis_weight: float
) -> RecordLosses:
    """All losses of a batch.

    Args:
        output: of the model's forward pass.
        reports: what should be written.
        statuses: true statuses, shape (batch, C), int64.
        diagnosis_weight: lambda_c, >= 0.
    """
    language = language_loss(output.report_logits, reports.targets, reports.mask)
    diagnosis = diagnosis_loss(output.diagnosis_logits, statuses)
    return RecordLosses(language, diagnosis, language + diagnosis_weight * diagnosis)


def language_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of each report, mean over its tokens.

    Args:
        logits: shape (batch, T, vocabulary).
        targets: shape (batch, T), int64.
        mask: 1 where a target counts, shape (batch, T); at least one 1 a row.

    Returns:
        Shape (batch,), nats a token.
    """
    tokens = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return (tokens * mask).sum(dim=1) / mask.sum(dim=1)


def diagnosis_loss(logits: Tensor, statuses: Tensor) -> Tensor:
    """Cross-entropy of each record's statuses, mean over the classes.

    Args:
        logits: shape (batch, C, 4).
        statuses: shape (batch, C), int64.

    Returns:
        Shape (batch,), nats a class.
    """
    return functional.cross_entropy(logits.transpose(1, 2), statuses, reduction="none").mean(dim=1)
