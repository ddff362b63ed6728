"""Diagnosis head and the prompts made from its result (after PromptMRG, arXiv 2308.12604)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedmrg_secure.core.types import Status

STATUS_WORDS = {
    Status.BLANK: "not mentioned",
    Status.POSITIVE: "present",
    Status.NEGATIVE: "absent",
    Status.UNCERTAIN: "possible",
}
"""Public wording from whose embeddings the prompts start."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the head says of a batch of images.

    Attributes:
        probabilities: shape (batch, classes, 4), each [BLANK, POSITIVE, NEGATIVE, UNCERTAIN]
            sums to 1.
    """

    probabilities: Tensor

    @property
    def statuses(self) -> Tensor:
        """The likeliest status of each class, shape (batch, classes), int64 of `Status`."""
        return self.probabilities.argmax(dim=-1)


class DiagnosisHead(nn.Module):
    """Pooled feature to status logits, linear.

    Args:
        width: of its input: the pooled feature, and what the anchors add to it.
        classes: C, number of observation classes.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = nn.Linear(width, classes * len(Status))

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits of shape (batch, C, 4) for pooled features of shape (batch, d)."""
        return self.linear(pooled).unflatten(-1, (self.classes, len(Status)))

    @torch.no_grad()
    def log_prior(self) -> Tensor:
        """What the biases say of each class's POSITIVE rate, beside an even one; shape (C,).

        Log-probability of POSITIVE under the biases alone minus log(1/4): 0 at the start. A
        function of the head, hence public when the head is.
        """
        biases = self.linear.bias.unflatten(0, (self.classes, len(Status)))  # (C, 4)
        return torch.log_softmax(biases, dim=-1)[:, Status.POSITIVE] + math.log(len(Status))


class StatusPrompts(nn.Module):
    """One embedding for each pair of class and status, in the decoder's input space.

    The decoder's vocabulary stays as it is: the prompts enter as `inputs_embeds`.

    Args:
        initial: starting values, shape (C, 4, d_llm).
    """

    offsets: Tensor

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        classes, statuses, width = initial.shape
        self.embedding = nn.Embedding(
            classes * statuses, width, _weight=initial.reshape(-1, width).clone()
        )
        self.register_buffer("offsets", torch.arange(classes) * statuses, persistent=False)

    def forward(self, statuses: Tensor) -> Tensor:
        """Prompt embeddings (batch, C, d_llm) of statuses (batch, C), int64 of `Status`."""
        return self.embedding(statuses + self.offsets)
