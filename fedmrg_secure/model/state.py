"""Named tensors out of a model and back, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fedmrg_secure.model.errors import StateMismatch

FloatArray = npt.NDArray[np.float32]


def copy_out(tensors: Mapping[str, Tensor]) -> dict[str, FloatArray]:
    """Copies of tensors as float32 arrays, sorted by name."""
    return {
        name: tensors[name].detach().cpu().numpy().astype(np.float32, copy=True)
        for name in sorted(tensors)
    }


def check_state(state: Mapping[str, FloatArray], targets: Mapping[str, Tensor]) -> None:
    """Return if the state has the targets' names and shapes and only finite values.

    Raises:
        StateMismatch: it has not.
    """
    hint = "the state belongs to a model with another configuration"
    missing, unknown = sorted(targets.keys() - state.keys()), sorted(state.keys() - targets.keys())
    if missing or unknown:
        raise StateMismatch(
            f"the state lacks {missing[:3]} and has unknown {unknown[:3]}"
            f" ({len(missing)} and {len(unknown)} in all)",
            hint=hint,
        )
    for name, target in targets.items():
        if tuple(state[name].shape) != tuple(target.shape):
            raise StateMismatch(
                f"{name} has shape {tuple(state[name].shape)}, expected {tuple(target.shape)}",
                hint=hint,
            )
        if not np.isfinite(state[name]).all():
            raise StateMismatch(f"{name} holds a value that is not finite", hint="")
