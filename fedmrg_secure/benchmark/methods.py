"""The methods that are compared, each as what it changes in one and the same configuration.

All share the architecture (encoder, diagnosis head, decoder, projector), the data, the number of
rounds and the records seen a round. What a method *is* stands in its `definition` and cannot be
overridden; what may be tuned stands in `benchmark.tuned` and can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from fedmrg_secure.core.config_errors import did_you_mean
from fedmrg_secure.core.errors import InputError

Value = str | int | float | bool
Changes = Mapping[str, Value]
"""Dotted key of the configuration -> value."""
Scope = Literal["federated", "local", "central"]


class UnknownMethod(InputError):
    """`--methods` names a method that does not exist."""

    code: ClassVar[str] = "FMRG-8211"


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the tables.

    Attributes:
        name: as `--methods` says it.
        summary: what it is, one line.
        definition: what makes it this method; nothing overrides it.
        scope: who trains together: the sites by rounds, each site alone, or all records at one.
        tuned_as: the method whose tuned values it takes over: its own name, or, for a part taken
            out of `fedmrg`, that one's, so that nothing but the part differs.
    """

    name: str
    summary: str
    definition: Changes = field(default_factory=dict)
    scope: Scope = "federated"
    tuned_as: str = ""

    @property
    def tuning(self) -> str:
        return self.tuned_as or self.name


_ONE_ADAPTER: Final[Changes] = {
    "model.adapters": "generic",
    "model.anchor_attention": False,
    "model.anchors": "head",
    "model.prompts": True,
    "training.contrast_weight": 0.0,
    "training.boosting": "none",
    "training.drift_correction": 0.0,
    "training.encoder_drift_correction": 0.0,
    "training.proximal_weight": 0.0,
    "training.moon_weight": 0.0,
    "update.factorization": "ffa",
}
"""Plain federated tuning: LoRA and the dense parts, averaged; the prompts belong to the model."""

_NOT_SENT: Final[Changes] = {"update.clip_norm": 1000.0, "update.precision_bits": 30}
"""Nothing leaves a site: neither clip nor grid may cost anything."""

_FULL: Final[Changes] = {
    "model.adapters": "dual",
    "model.anchor_attention": True,
    "model.prompts": True,
    "training.proximal_weight": 0.0,
    "training.moon_weight": 0.0,
}


def _without(*keys: str) -> Changes:
    return {key: value for key, value in _ONE_ADAPTER.items() if key not in keys}


def _part_out(name: str, summary: str, change: Changes) -> Method:
    return Method(name, summary, {**_FULL, **change}, tuned_as="fedmrg")


BASELINES: Final = (
    Method(
        "local",
        "each site alone, nothing is sent",
        {**_ONE_ADAPTER, **_NOT_SENT},
        scope="local",
    ),
    Method(
        "central",
        "all sites' records in one place, as many steps as all sites take together",
        {**_ONE_ADAPTER, **_NOT_SENT},
        scope="central",
    ),
    Method("fedavg", "federated averaging of one LoRA adapter and the dense parts", _ONE_ADAPTER),
    Method(
        "fedprox",
        "fedavg with a proximal term (Li et al. 2020)",
        _without("training.proximal_weight"),
    ),
    Method(
        "moon",
        "fedavg with model contrast (Li et al. 2021)",
        _without("training.moon_weight"),
    ),
    Method(
        "scaffold",
        "fedavg with corrected drift (Karimireddy et al. 2020)",
        _without("training.drift_correction", "training.encoder_drift_correction"),
    ),
    Method(
        "dual",
        "a generic and a specialized adapter that do not teach each other; no contrast",
        {**_ONE_ADAPTER, "model.adapters": "dual"},
    ),
)
FEDMRG: Final = Method(
    "fedmrg", "contrast, prompts, dual adapters with boosting, drift corrected", _FULL
)
ABLATIONS: Final = (
    _part_out("no-contrast", "fedmrg without the contrast", {"training.contrast_weight": 0.0}),
    _part_out("no-prompts", "fedmrg without diagnosis prompts", {"model.prompts": False}),
    _part_out("no-boosting", "fedmrg without mutual boosting", {"training.boosting": "none"}),
    _part_out(
        "no-anchor-attention",
        "fedmrg whose head does not see the anchors",
        {"model.anchor_attention": False},
    ),
    _part_out(
        "no-drift-correction",
        "fedmrg whose sites drift freely",
        {"training.drift_correction": 0.0, "training.encoder_drift_correction": 0.0},
    ),
)
RANKS: Final = tuple(
    _part_out(f"rank-{rank}", f"fedmrg with adapters of rank {rank}", {"update.rank": rank})
    for rank in (2, 4, 8, 16)
)
FACTORIZATIONS: Final = tuple(
    _part_out(f"fedmrg-{name}", f"fedmrg that sends by {name}", {"update.factorization": name})
    for name in ("ffa", "fedsvd", "rolora", "fedsb", "powersgd")
)

METHODS: Final[Mapping[str, Method]] = {
    method.name: method for method in (*BASELINES, FEDMRG, *ABLATIONS, *RANKS, *FACTORIZATIONS)
}
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "baselines": (*(method.name for method in BASELINES), FEDMRG.name),
    "ablations": tuple(method.name for method in ABLATIONS),
    "ranks": tuple(method.name for method in RANKS),
    "factorizations": tuple(method.name for method in FACTORIZATIONS),
    "all": tuple(METHODS),
}
REFERENCE: Final = "fedavg"
"""What every other method is compared with."""


def choose_methods(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods named, groups spelt out, in the order of `METHODS`, each once.

    Raises:
        UnknownMethod: a name is neither a method nor one of `GROUPS`.
    """
    chosen: set[str] = set()
    for name in names:
        if name not in METHODS and name not in GROUPS:
            known = (*METHODS, *GROUPS)
            raise UnknownMethod(
                f"there is no method {name!r}",
                hint=did_you_mean(name, known) or f"choose among {', '.join(known)}",
            )
        chosen.update(GROUPS.get(name, (name,)))
    return tuple(method for name, method in METHODS.items() if name in chosen)
