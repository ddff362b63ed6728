"""Gradients of single records, by Opacus, for the time of one round."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from opacus.grad_sample import GradSampleHooks
from torch import Tensor, nn


class PerRecordGradients:
    """What the backward passes since the last `take` left for each record.

    Args:
        parameters: by name; each belongs to one layer that Opacus knows.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = parameters

    def take(self, records: int) -> dict[str, Tensor]:
        """The gradients of one backward pass over a sum of records' losses, and forget them.

        Args:
            records: in the batch.

        Returns:
            For each name shape (records, ...); zeros where the pass did not reach a parameter.

        Raises:
            ValueError: they are not of one pass over that many records. A caller that goes on
                would bound the influence of something else than a record.
        """
        taken = {}
        for name, parameter in self._parameters.items():
            found = getattr(parameter, "grad_sample", None)
            parameter.grad_sample = None  # type: ignore[attr-defined]
            if found is None:
                found = parameter.new_zeros(records, *parameter.shape)
            if not isinstance(found, Tensor) or found.shape != (records, *parameter.shape):
                raise ValueError(f"{name}: no gradient for each of {records} records")
            taken[name] = found
        return taken


@contextmanager
def per_record_gradients(
    model: nn.Module, parameters: Mapping[str, nn.Parameter]
) -> Iterator[PerRecordGradients]:
    """Let backward passes inside leave each record's gradient of some parameters.

    Other parameters that require gradients get ordinary ones, without the cost of this. Losses must
    be summed over records, not averaged.

    Args:
        model: in training mode.
        parameters: by name, all requiring gradients; see `private_checks` for what may be here.
    """
    own = {id(parameter) for parameter in parameters.values()}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    _require(others, False)  # Opacus attaches to what requires gradients now
    try:
        hooks = GradSampleHooks(model, loss_reduction="sum", strict=True)
    finally:
        _require(others, True)
    try:
        with warnings.catch_warnings():
            # Images need no gradient, which the hook of the first layer remarks upon.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            yield PerRecordGradients(parameters)
    finally:
        hooks.cleanup()
        for module in model.modules():
            for left in ("activations", "max_batch_len"):
                if hasattr(module, left):
                    delattr(module, left)


def _require(parameters: list[nn.Parameter], required: bool) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.requires_grad_(required)
