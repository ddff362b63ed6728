"""How many values a model has, and how many of them leave a site."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from fedmrg_secure.core.config import UpdateConfig
from fedmrg_secure.model.adapters import GENERIC, RECEIVED

if TYPE_CHECKING:
    from fedmrg_secure.model.report_generator import ReportGenerator


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Numbers of values.

    Attributes:
        total: of the whole model, frozen and trained; the received copy is not counted.
        decoder: of the frozen language model without adapters.
        shared: what a site sends a round.
        adapters: of those, the low-rank part.
        plain_lora: what a site would send with ordinary LoRA: the same with A and B of every layer.
        specialized: what is trained and never leaves a site.
    """

    total: int
    decoder: int
    shared: int
    adapters: int
    plain_lora: int
    specialized: int


def count_parameters(
    generator: ReportGenerator, decoder_count: int, update: UpdateConfig
) -> ParameterCounts:
    """The counts of a generator.

    With `rolora` the larger of the two phases counts; with `powersgd` the dense matrices count in
    full, before they are factorised.

    Args:
        generator: with its adapters on.
        decoder_count: number of values of the frozen language model.
        update: says which factors are sent.
    """
    factors = generator.adapters.factors(GENERIC)
    down = _count(p for name, p in factors.items() if name.endswith(".lora_A"))
    up = _count(p for name, p in factors.items() if name.endswith(".lora_B"))
    core = _count(p for name, p in factors.items() if name.endswith(".core"))
    adapters = {"rolora": max(down, up), "fedsb": core}.get(update.factorization, up)
    trained = generator.shared_parameters()
    dense = _count(p for name, p in trained.items() if not name.startswith("adapter."))
    everything = _count(generator.parameters())
    received = _count(generator.adapters.factors(RECEIVED).values())
    return ParameterCounts(
        total=everything - received,
        decoder=decoder_count,
        shared=dense + adapters,
        adapters=adapters,
        plain_lora=dense + down + up,
        specialized=_count(generator.specialized_parameters().values()),
    )


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
