"""What a site sends: exact bytes on the wire for each factorisation, beside full tuning and LoRA.

Nothing is trained here. The model is built once; which values each factorisation sends follows
from the shapes of its tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from fedmrg_secure.core.config import RunConfig, UpdateConfig
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.frame import vector_bytes
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.update.factorization import Factorization, make_factorization

FACTORIZATIONS: Final = ("ffa", "fedsvd", "rolora", "fedsb", "powersgd")
_SITE: Final = "site"
_FLOAT32_BYTES: Final = 4
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Uplink:
    """What one site sends.

    Attributes:
        passes: encrypted sums a training round takes.
        values_per_round: values of one training round, padding not counted.
        bytes_per_round: all frames of one training round, exact.
    """

    passes: int
    values_per_round: int
    bytes_per_round: int


def uplink_of(config: RunConfig, generator: ReportGenerator, *, sites: int) -> Uplink:
    """What a site of this run sends.

    Args:
        config: of the run.
        generator: built from it.
        sites: how many train.

    Raises:
        CapacityExceeded, ErrorBoundExceeded: the scheme does not carry the settings.
    """
    shapes = {name: value.shape for name, value in generator.shared_state().items()}
    return _uplink(config, make_factorization(config.update, shapes), sites)


def communication_rows(config: RunConfig, *, sites: int) -> list[dict[str, Any]]:
    """One row for full tuning, plain LoRA and each factorisation of the model of `config`.

    Args:
        config: of a run; its rank, encoder and decoder count, its factorisation does not.
        sites: how many train.

    Returns:
        Rows with ``name``, ``computed`` (True: 4 bytes a value, in the clear; False: exact
        encrypted frames), ``values`` and ``bytes`` of one site and training round, ``passes``,
        ``model_values`` (of the whole model without adapters) and ``share`` (values over those).

    Raises:
        InputError: the model does not load, or the scheme does not carry the settings.
    """
    update = config.update.model_copy(update={"factorization": "fedsvd"})
    generator = build_report_generator(
        config.model, update, image_size=config.data.image_size, seed=config.seed
    )
    shapes = {name: value.shape for name, value in generator.shared_state().items()}
    adapters = sum(math.prod(shape) for name, shape in shapes.items() if _is_adapter(name))
    counts = generator.parameter_counts
    model = counts.total - counts.specialized - adapters
    lora = sum(math.prod(shape) for shape in shapes.values())
    rows = [
        _row("full fine-tuning", model, _FLOAT32_BYTES * model, 1, model, computed=True),
        _row("plain LoRA (A and B)", lora, _FLOAT32_BYTES * lora, 1, model, computed=True),
    ]
    for name in FACTORIZATIONS:
        chosen = config.update.model_copy(update={"factorization": name})
        sent = _uplink(
            config, make_factorization(chosen, shapes_under(name, shapes, config.update)), sites
        )
        rows.append(
            _row(
                name,
                sent.values_per_round,
                sent.bytes_per_round,
                sent.passes,
                model,
                computed=False,
            )
        )
    return rows


def shapes_under(factorization: str, shapes: Shapes, update: UpdateConfig) -> Shapes:
    """The shared tensors under another factorisation.

    Args:
        factorization: one of `FACTORIZATIONS`.
        shapes: of the shared state of a model built for ``fedsvd``, which names A and B.
        update: gives the rank of a core.
    """
    if factorization in ("fedsvd", "rolora"):
        return shapes
    without_a = {name: shape for name, shape in shapes.items() if not name.endswith(".lora_A")}
    if factorization != "fedsb":
        return without_a
    return {
        name.replace(".lora_B", ".core"): (update.rank, update.rank)
        if name.endswith(".lora_B")
        else shape
        for name, shape in without_a.items()
    }


def _uplink(config: RunConfig, factorization: Factorization, sites: int) -> Uplink:
    parameters = check_capacity(
        config.secure_aggregation.scheme,
        sites=max(sites, 2),
        clip_norm=config.update.clip_norm,
        precision_bits=config.update.precision_bits,
        total_weight=Fraction(sites),
        wire_bits=config.secure_aggregation.wire_bits,
    )
    frames = vector_bytes(parameters, factorization.vector_size, sender=_SITE)
    layouts = factorization.layouts
    # Turns alternate from round to round, passes follow each other within one.
    values = sum(layout.size for layout in layouts) * factorization.passes // len(layouts)
    return Uplink(factorization.passes, values, frames * factorization.passes)


def _row(
    name: str, values: int, sent_bytes: int, passes: int, model: int, *, computed: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "computed": computed,
        "passes": passes,
        "values": values,
        "bytes": sent_bytes,
        "model_values": model,
        "share": values / model,
    }


def _is_adapter(name: str) -> bool:
    return name.endswith((".lora_A", ".lora_B"))
