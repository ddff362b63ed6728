"""What the federated baselines of the benchmark add to a step: FedProx and MOON.

Both keep a site's model near the one it received; `fedmrg` uses neither.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedmrg_secure.model.report_generator import ReportGenerator

_SEEN = ("encoder.", "projection.")


def add_proximal_gradient(
    parameters: Mapping[str, nn.Parameter], received: Mapping[str, Tensor], weight: float
) -> None:
    """Add the gradient of mu/2 * ||w - w_received||^2 (FedProx, Li et al. 2020).

    Args:
        parameters: with gradients where they are trained.
        received: the same tensors at the start of the round.
        weight: mu.
    """
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - received[name], alpha=weight)


class ModelContrast:
    """Features near the received model's and far from the site's previous one (MOON, 2103.16257).

    Args:
        generator: in the state received.
        previous: the site's own shared state after its last training; None in its first round,
            where the loss is 0.
        temperature: tau.
    """

    def __init__(
        self,
        generator: ReportGenerator,
        previous: Mapping[str, npt.NDArray[np.float32]] | None,
        temperature: float,
    ) -> None:
        self._temperature = temperature
        self._received = _frozen_copy(generator, None)
        self._previous = None if previous is None else _frozen_copy(generator, previous)

    def loss(self, images: Tensor, feature: Tensor) -> Tensor:
        """-log( e^{z.z_glob/tau} / (e^{z.z_glob/tau} + e^{z.z_prev/tau}) ), shape (batch,).

        Args:
            images: shape (batch, 1, H, H).
            feature: z of the model in training, unit rows, shape (batch, d).
        """
        if self._previous is None:
            return feature.new_zeros(len(feature))
        with torch.no_grad():
            received, previous = (
                _look(parts, images) for parts in (self._received, self._previous)
            )
        difference = (feature * (previous - received)).sum(dim=-1)
        return functional.softplus(difference / self._temperature)


def _frozen_copy(
    generator: ReportGenerator, state: Mapping[str, npt.NDArray[np.float32]] | None
) -> nn.ModuleDict:
    parts = nn.ModuleDict(
        {part: copy.deepcopy(getattr(generator, part)) for part in ("encoder", "projection")}
    )
    if state is not None:
        own = {name: value for name, value in state.items() if name.startswith(_SEEN)}
        targets = dict(parts.named_parameters())
        with torch.no_grad():
            for name, value in own.items():
                targets[name].copy_(torch.from_numpy(value))
    return parts.eval().requires_grad_(False)


def _look(parts: nn.ModuleDict, images: Tensor) -> Tensor:
    return functional.normalize(parts["projection"](parts["encoder"](images).pooled), dim=-1)
