"""Points of a sweep with made-up summaries, for tests of tables and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedmrg_secure.benchmark.sweep_results import RunSummary
from fedmrg_secure.benchmark.sweep_table import Finished, PointResults
from fedmrg_secure.core.config import RunConfig

SITES = ("north", "south")
CONFIG: dict[str, Any] = {
    "name": "point",
    "data": {"source": "phantom"},
    "training": {"boosting": "one_way"},
}


def summary(
    final: float, *, untrained: float = 0.2, epsilon: float | None = None, sent: int = 1000
) -> RunSummary:
    """A run of two rounds; every figure is the same but BLEU-4, which is half of it."""
    change = {"untrained": untrained, "final": final}
    metrics = {"ce_rule_f1_macro": change, "bleu4": {k: v / 2 for k, v in change.items()}}
    before, after = (
        {name: {"ce_rule_f1_macro": value} for name in (*SITES, "west")}
        for value in (untrained, final + 0.01)
    )
    spent = {"unit": "patient", "delta": 1e-5}
    return RunSummary.model_validate(
        {
            "rounds": 2,
            "sites": SITES,
            "unseen": ["west"],
            "untrained": before,
            "final": after,
            "mean": dict.fromkeys(("participating", "unseen"), metrics),
            "pooled": {"participating": {"bleu4": {"untrained": 0.1, "final": 0.9}}},
            "communication": {
                "bytes_up_per_round_per_site": sent // 2,
                "bytes_down_per_round_per_site": 600,
                "total_bytes": 4 * sent,
            },
            "seconds": {"total": 60.0, "by_phase": {"train": 20.0, "encrypt": 5.0}},
            "privacy": {}
            if epsilon is None
            else {
                site: {**spent, "epsilon": epsilon - 0.1 * place}
                for place, site in enumerate(SITES)
            },
        }
    )


def point(
    settings: Mapping[str, str],
    summaries: Mapping[int, RunSummary | None],
    *,
    epsilon: float | None = None,
    error: str = "",
    whole_clock: bool = True,
) -> PointResults:
    """A point with a run for each seed; None: not done."""
    privacy = {} if epsilon is None else {"privacy": {"target_epsilon": epsilon}}
    name = "_".join(f"{axis}-{label}" for axis, label in settings.items())
    runs = tuple(
        Finished(
            seed=seed,
            folder=f"runs/{name}/seed-{seed}",
            command=f"fedmrg run out/runs/{name}/seed-{seed}.yaml",
            summary=found,
            error="" if found else error,
            whole_clock=whole_clock,
        )
        for seed, found in summaries.items()
    )
    return PointResults(name, settings, RunConfig.model_validate({**CONFIG, **privacy}), runs)
