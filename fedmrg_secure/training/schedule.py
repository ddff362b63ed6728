"""The learning rate of what is pretrained."""

from __future__ import annotations

import math


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
