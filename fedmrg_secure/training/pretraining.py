"""How what is shipped was trained: one loop for the decoder base and for the encoder."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def minimise(
    loss_of: Callable[[int], Tensor],
    values: Sequence[nn.Parameter],
    steps: int,
    *,
    peak: float,
    warmup: int,
    weight_decay: float,
    unit: str,
) -> None:
    """Take AdamW steps on clipped gradients, and say on standard error how far it is.

    Args:
        loss_of: from the number of a step, 0, 1, ..., to a scalar.
        values: what is trained.
        steps: in all, >= 1.
        peak, warmup: see `warmup_then_cosine`.
        weight_decay: of AdamW.
        unit: what the loss is in.
    """
    optimiser = torch.optim.AdamW(values, lr=peak, weight_decay=weight_decay)
    for step in range(steps):
        rate = warmup_then_cosine(step, steps, peak=peak, warmup=warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimiser.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}  loss {loss.item():.3f} {unit}", file=sys.stderr, flush=True)  # noqa: T201


def warmup_then_cosine(step: int, steps: int, *, peak: float, warmup: int) -> float:
    """Rise evenly to `peak` over `warmup` steps, then fall to zero by half a cosine.

    Args:
        step: 0, 1, ..., below `steps`.
        steps: in all, >= 1.
        peak: the largest rate.
        warmup: steps of the rise; may be more than there are steps.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
