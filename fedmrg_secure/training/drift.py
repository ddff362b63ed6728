"""Drift correction: what pulls one site's training away from the others', taken out of its steps.

Every site writes in its own way. In a few steps the shared adapter follows the site, the site's
loss is low, and nothing is left to learn of what in an image tells one way from another; the mean
over sites then blends them. A site knows by how much its last change differed from the mean change.
That difference, shared out over its steps, is taken back (SCAFFOLD, Karimireddy et al. 2020,
option II; here after the steps of AdamW, whose gradients have another scale).

It costs no byte: the mean is public, the own change stays at the site. Under differential privacy
the own change would have to be the noised one that was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float32]
State = Mapping[str, FloatArray]
Memory = MutableMapping[str, FloatArray]
Carried = Callable[[str, npt.NDArray[np.float64], State, State], npt.NDArray[np.float64]]
"""`Factorization.carried`: a tensor's difference in the basis of a later state."""

_DRIFT: Final = "drift."


def step_corrections(memory: State, trainable: frozenset[str], scale: float) -> dict[str, Tensor]:
    """What is added to each tensor after every step of the coming training.

    Args:
        memory: the site's private tensors.
        trainable: names of the tensors that are trained.
        scale: share of the correction over the number of steps.
    """
    return {
        name: torch.from_numpy(memory[_DRIFT + name] * np.float32(-scale))
        for name in sorted(trainable)
        if _DRIFT + name in memory
    }


def own_change(
    before: State, trained: State, names: frozenset[str], memory: State, share: float
) -> dict[str, FloatArray]:
    """The memory's part: what this site's own gradients changed, the correction left out.

    Args:
        before: the public state before training.
        trained: the model's tensors after it.
        names: of the tensors that were trained.
        memory: as it was for `step_corrections`.
        share: of the correction that was applied in all.
    """
    changes = {}
    for name in sorted(names):
        change = trained[name].astype(np.float64) - before[name]
        if (drift := memory.get(_DRIFT + name)) is not None:
            change += share * drift.astype(np.float64)
        changes[_DRIFT + name] = change.astype(np.float32)
    return changes


def settle_drift(
    memory: Memory, before: State, after: State, carried: Carried, *, included: bool
) -> None:
    """Take a pass's mean change off the own one; what is left is this site's drift.

    A site that the sum went on without has nothing to compare and forgets its drift.
    """
    for key in [key for key in memory if key.startswith(_DRIFT)]:
        if not included:
            del memory[key]
            continue
        name = key.removeprefix(_DRIFT)
        own = carried(name, memory[key].astype(np.float64), before, after)
        start = carried(name, before[name].astype(np.float64), before, after)
        memory[key] = (own - (after[name] - start)).astype(np.float32)
