"""By which names a model's tensors are known outside it: what is shared, what is the site's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from torch import nn

from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.model.adapters import GENERIC, SPECIALIZED
from fedmrg_secure.model.errors import UnknownClass

if TYPE_CHECKING:
    from fedmrg_secure.model.report_generator import ReportGenerator

_SHARED_PARTS: Final = ("encoder", "projection", "diagnosis", "prompts", "projector")
_SHARED_FACTORS: Final = {
    "ffa": (".lora_B",),
    "powersgd": (".lora_B",),
    "fedsvd": (".lora_A", ".lora_B"),
    "rolora": (".lora_A", ".lora_B"),
    "fedsb": (".core",),
}
"""Factors of the generic adapter that are part of the public state."""


def shared_parameters(generator: ReportGenerator, factorization: str) -> dict[str, nn.Parameter]:
    """The public state's parameters by name, sorted: dense parts and the generic adapter's factors.

    Args:
        generator: with its parts and adapters on.
        factorization: says which factors are public.
    """
    named: dict[str, nn.Parameter] = {
        f"{part}.{name}": parameter
        for part in _SHARED_PARTS
        if getattr(generator, part) is not None
        for name, parameter in getattr(generator, part).named_parameters()
        if parameter.requires_grad
    }
    kinds = _SHARED_FACTORS[factorization]
    for name, parameter in generator.adapters.factors(GENERIC).items():
        if name.endswith(kinds):
            named[f"adapter.{GENERIC}.{name}"] = parameter
    return dict(sorted(named.items()))


def specialized_parameters(generator: ReportGenerator) -> dict[str, nn.Parameter]:
    """The parameters that never leave the site by name, sorted; all begin with `specialized.`."""
    if generator.specialized_projection is None:
        return {}
    named: dict[str, nn.Parameter] = {
        f"{SPECIALIZED}.adapter.{name}": parameter
        for name, parameter in generator.adapters.factors(SPECIALIZED).items()
    }
    projection = generator.specialized_projection.named_parameters(f"{SPECIALIZED}.projection")
    named.update(projection)
    return dict(sorted(named.items()))


def is_trained(name: str, factorization: str) -> bool:
    """Whether a shared tensor is ever trained; fedsvd's A changes by refactoring alone."""
    return not (factorization == "fedsvd" and name.endswith(".lora_A"))


def class_columns(classes: Sequence[str]) -> list[int]:
    """Where each class stands in `CHEXPERT_CLASSES`, in whose order records are labelled.

    Raises:
        UnknownClass: a class is not one of them.
    """
    unknown = [name for name in classes if name not in CHEXPERT_CLASSES]
    if unknown:
        raise UnknownClass(
            f"model.classes names {unknown}, for which there is no label",
            hint=f"choose among {', '.join(CHEXPERT_CLASSES)}",
        )
    return [CHEXPERT_CLASSES.index(name) for name in classes]
