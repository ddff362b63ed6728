"""Drift correction: what pulls one site's training away from the others', taken out of its steps.

Every site writes in its own way. In a few steps the shared adapter follows the site, the site's
loss is low, and nothing is left to learn of what in an image tells one way from another; the mean
over sites then blends them. A site knows by how much its changes differed from the mean change.
That difference, its drift, is shared out over its next steps and taken back (SCAFFOLD, Karimireddy
et al. 2020, option II; here after the steps of AdamW, whose gradients have another scale). One
round's difference is mostly the chance of its batches: a moving average keeps what stays.

It costs no byte: the mean is public, the own change stays at the site. With differential privacy
the own change is that of noised steps alone (`dp_trainer`), as what was sent: nothing is added to
what the patients lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedmrg_secure.core.config import TrainingConfig

FloatArray = npt.NDArray[np.float32]
State = Mapping[str, FloatArray]
Memory = MutableMapping[str, FloatArray]
Carried = Callable[[str, npt.NDArray[np.float64], State, State], npt.NDArray[np.float64]]
"""`Factorization.carried`: a tensor's difference in the basis of a later state."""

_DRIFT: Final = "drift.mean."
_OWN: Final = "drift.own."
_WRITES: Final = ("adapter.", "projector.", "prompts.")
_DECAY: Final = 0.8
"""Of the moving average: it looks back some five rounds."""


Shares = Mapping[str, float]
"""Tensor -> share of its drift that is taken back."""


def drift_shares(training: TrainingConfig, names: Iterable[str]) -> Shares:
    """The shares of the tensors that are trained; those without a correction are left out.

    What writes (adapter, projector, prompts) and what sees (all else) have shares of their own.
    """
    shares = {
        name: training.drift_correction
        if name.startswith(_WRITES)
        else training.encoder_drift_correction
        for name in names
    }
    return {name: share for name, share in shares.items() if share}


def step_corrections(memory: State, shares: Shares, steps: int) -> dict[str, Tensor]:
    """What is added to each tensor after every one of the coming training's steps.

    Args:
        memory: the site's private tensors.
        shares: of the tensors that are trained.
        steps: of the round.
    """
    return {
        name: torch.from_numpy(memory[_DRIFT + name] * np.float32(-share / steps))
        for name, share in shares.items()
        if _DRIFT + name in memory
    }


def own_change(
    before: State, trained: State, memory: State, shares: Shares
) -> dict[str, FloatArray]:
    """For the memory: what this site's own gradients changed, without the correction.

    Args:
        before: the public state before training.
        trained: the model's tensors after it.
        memory: as it was for `step_corrections`.
        shares: as they were.
    """
    changes = {}
    for name, share in shares.items():
        change = trained[name].astype(np.float64) - before[name]
        if (drift := memory.get(_DRIFT + name)) is not None:
            change += share * drift.astype(np.float64)
        changes[_OWN + name] = change.astype(np.float32)
    return changes


def settle_drift(
    memory: Memory,
    before: State,
    after: State,
    carried: Carried,
    *,
    included: bool,
    last: bool,
) -> None:
    """Compare the own change with the mean one, once the sum of a pass is known.

    Args:
        memory: the site's private tensors, changed in place.
        before: the public state before the pass.
        after: the public state after it.
        carried: brings a difference into the basis of `after`.
        included: whether the site's own change is in the sum; else it is forgotten.
        last: whether this is the last pass of a training round.
    """
    names = [key.removeprefix(_OWN) for key in memory if key.startswith(_OWN)]
    for key in [key for key in memory if key.startswith(_DRIFT)]:
        drift = memory[key].astype(np.float64)
        memory[key] = carried(key.removeprefix(_DRIFT), drift, before, after).astype(np.float32)
    for name in names:
        own = memory.pop(_OWN + name).astype(np.float64)
        if not included:
            continue
        start = carried(name, before[name].astype(np.float64), before, after)
        rest = carried(name, own, before, after) - (after[name] - start)
        if last:
            drift = memory.get(_DRIFT + name, np.float32(0)) * _DECAY + (1 - _DECAY) * rest
            memory[_DRIFT + name] = drift.astype(np.float32)
        else:
            memory[_OWN + name] = rest.astype(np.float32)
