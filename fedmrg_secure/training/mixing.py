"""How much of path B a centre's reports take: tried on records that it did not train on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.batches import Batch
from fedmrg_secure.training.objectives import cross_entropy

MIXES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of path B among which a centre chooses; 0 is the generic adapter alone."""


@torch.no_grad()
def mix_losses(generator: ReportGenerator, batches: Iterable[Batch]) -> npt.NDArray[np.float64]:
    """Mean cross-entropy of the reference reports under each of `MIXES`, nats a token.

    Args:
        generator: with both paths; prompts are what its head diagnoses, as when it writes.
        batches: at least one.

    Returns:
        Shape (len(MIXES),).
    """
    losses, records = np.zeros(len(MIXES)), 0
    for batch in batches:
        generic, specialized = generator.path_logits(batch.images, batch.reports)
        assert specialized is not None, "asked of a model with both paths"
        records += len(batch.statuses)
        for place, mix in enumerate(MIXES):
            log_p = torch.log_softmax((1 - mix) * generic + mix * specialized, dim=-1)
            losses[place] += float(cross_entropy(log_p, batch.reports).sum())
    return losses / records
