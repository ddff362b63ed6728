"""Anchors, what a feature is near to: one direction for each observation class.

Anchors are frozen for a round, so that a record's loss depends on no other record. The global ones
follow from public state alone:

- ``head``: norm(W_POS,c - W_NEG,c) of the aggregated diagnosis head (post-processing under DP);
- ``text``: the frozen decoder's embedding of the class's name;
- ``prototype``: the direction of the summed features of all sites' records that have the class.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedmrg_secure.core.types import Status
from fedmrg_secure.model.diagnosis import DiagnosisHead

_ATTENTION_TEMPERATURE: Final = 0.1


class AnchorAttention(nn.Module):
    """What of the anchors a feature sees: their mean, weighted by nearness.

    It stands in for the retrieval of training reports of PromptMRG (arXiv 2308.12604), which would
    pull one patient's record into another's forward pass. No parameters of its own.
    """

    def forward(self, feature: Tensor, anchors: Tensor) -> Tensor:
        """Shape (batch, d) of unit features z (batch, d) and anchors (C, d)."""
        weights = torch.softmax(feature @ anchors.T / _ATTENTION_TEMPERATURE, dim=-1)  # (batch, C)
        return weights @ anchors


def head_anchors(head: DiagnosisHead, width: int) -> Tensor:
    """Directions from NEGATIVE to POSITIVE in feature space, unit rows, shape (C, width).

    Args:
        head: reads the feature in its first `width` inputs.
        width: d.
    """
    weights = head.linear.weight.detach()[:, :width].unflatten(0, (head.classes, len(Status)))
    return functional.normalize(weights[:, Status.POSITIVE] - weights[:, Status.NEGATIVE], dim=-1)


def text_anchors(prompts: Tensor) -> Tensor:
    """Directions of the class names in the decoder's embeddings, unit rows, shape (C, d_llm).

    What all names have in common is taken away first.

    Args:
        prompts: the frozen embeddings of each class and status, shape (C, 4, d_llm).
    """
    names = prompts.mean(dim=1)  # (C, d_llm)
    return functional.normalize(names - names.mean(dim=0), dim=-1)


def prototype_sums(features: Tensor, statuses: Tensor) -> Tensor:
    """The summed features of the classes that are POSITIVE, shape (C, d): `prototype_shares`,
    added over the records.

    Args:
        features: unit features z, shape (batch, d).
        statuses: shape (batch, C), int64.
    """
    return _weights(statuses).T @ features


def prototype_shares(features: Tensor, statuses: Tensor) -> Tensor:
    """What each record adds to the prototypes, shape (batch, C, d): z / sqrt(|Pos|) to each of its
    POSITIVE classes, hence norm 1 in all, or 0 without one.

    Args:
        features, statuses: as for `prototype_sums`.
    """
    return _weights(statuses).unsqueeze(2) * features.unsqueeze(1)


def _weights(statuses: Tensor) -> Tensor:
    positive = (statuses == Status.POSITIVE).float()  # (batch, C)
    return positive / positive.sum(dim=1, keepdim=True).clamp(min=1).sqrt()
