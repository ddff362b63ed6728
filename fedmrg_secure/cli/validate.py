"""``fedmrg validate``: every mistake of a configuration at once, then what the run will cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output, SetOption, human_bytes
from fedmrg_secure.cli.places import placed

if TYPE_CHECKING:
    from fedmrg_secure.core.config import RunConfig
    from fedmrg_secure.federation.plan import RunPlan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.", show_default=False)],
    site: Annotated[
        str | None,
        typer.Option(help="Check as this site of a real federation, with its data alone."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration and its data, and say what the run will cost.

    All mistakes are shown at once, each with file:line:column and a hint. A sound configuration
    then gets the figures that matter before anything is started: parameters that leave a site,
    bytes a round each way, the encryption's error bound, memory. For a private run the epsilon that
    each site would reach, and what its ledger has left, come first, before data is read. Relative
    paths in the file mean relative to the directory in which you start the command.

    Examples:

      fedmrg validate configs/quickstart.yaml

      fedmrg validate configs/quickstart.yaml --set update.rank=16 --json

      fedmrg validate /srv/fedmrg/st-anna/config.yaml --site st-anna
    """
    from fedmrg_secure.core.yaml_source import load_run_config
    from fedmrg_secure.federation.plan import make_plan, plan_site

    output = Output(as_json=as_json)
    run_config = load_run_config(config, overrides or ())
    with placed(config, overrides or ()):
        privacy = show_privacy(output, run_config, site, config.resolve().parent)
        plan = plan_site(run_config, site) if site else make_plan(run_config)
    output.say(f"{config} is sound.")
    show_plan(output, plan, privacy)


def show_privacy(
    output: Output, config: RunConfig, site: str | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Print what a private run would cost each site's patients, before any data is read.

    Args:
        output: for people; warnings too.
        config: of the run; without a `privacy` section nothing is printed.
        site: to show this site of a real federation alone.
        folder: that site's own.

    Returns:
        The same as JSON; empty without a `privacy` section.
    """
    if config.privacy is None:
        return {}
    from fedmrg_secure.federation.privacy_forecast import forecast, warnings

    found = forecast(config, site=site, folder=folder if site else None)
    output.table(
        f"Privacy that the run would cost each {config.privacy.unit}, at delta "
        f"{config.privacy.delta:g}",
        ["site", "epsilon", "noise", "sampled", "ledger has left", "epsilon after"],
        [
            (
                each.site,
                f"{each.epsilon:.3f}",
                f"{each.private.noise_multiplier:.3g}",
                f"{each.private.terms.sampling_rate:.3g} of {each.private.terms.population:,}",
                f"{max(0.0, each.budget - each.spent):.3f} of {each.budget:g}"
                if each.ledger
                else f"new: {each.budget:g}",
                f"{each.epsilon_after:.3f}",
            )
            for each in found
        ],
    )
    said = warnings(config, found)
    for line in said:
        output.say(f"warning: {line}")
    return {"privacy": {"sites": {each.site: each.to_json() for each in found}, "warnings": said}}


def show_plan(output: Output, plan: RunPlan, privacy: Mapping[str, Any] | None = None) -> None:
    """Print a plan for people, and as the command's JSON result.

    Args:
        output: of the command.
        plan: the run.
        privacy: from `show_privacy`, for the result.
    """
    figures = plan_figures(plan) | dict(privacy or {})
    output.table(
        "Sites",
        ["site", "training records", "weight"],
        [(site, plan.records.get(site, ""), plan.weights[site]) for site in plan.sites],
    )
    if plan.unseen:
        output.say(f"Unseen, only judged: {', '.join(plan.unseen)}\n")
    if plan.task.skipped:
        output.table(
            f"Left out: {len(plan.task.skipped)} rows",
            ["row", "record", "reason"],
            [(each.row, each.record_id, each.reason) for each in plan.task.skipped[:10]],
        )
    output.table("What the run will cost", ["", ""], _cost_rows(plan, figures))
    output.result(figures)


def plan_figures(plan: RunPlan) -> dict[str, Any]:
    """A plan as JSON: numbers in bytes, values (parameters) and MB (2^20 bytes)."""
    rounds, sites = plan.config.training.rounds, len(plan.sites)
    counts = plan.counts
    return {
        "name": plan.config.name,
        "sites": list(plan.sites),
        "unseen": list(plan.unseen),
        "training_records": dict(plan.records),
        "weights": dict(plan.weights),
        "skipped": [
            {"row": each.row, "record_id": each.record_id, "reason": each.reason}
            for each in plan.task.skipped
        ],
        "rounds": rounds,
        "factorization": plan.config.update.factorization,
        "passes": plan.passes,
        "parameters": {
            "total": counts.total,
            "decoder": counts.decoder,
            "sent": plan.values_sent,
            "specialized": counts.specialized,
            "plain_lora": counts.plain_lora,
        },
        "bytes_per_round_per_site": {"up": plan.bytes_up, "down": plan.bytes_down},
        "bytes_per_parameter": {
            "up": plan.bytes_up / plan.values_sent,
            "down": plan.bytes_down / plan.values_sent,
        },
        "total_bytes": rounds * sites * (plan.bytes_up + plan.bytes_down),
        "error_bound": plan.error_bound,
        "error_bound_of_clip_norm": plan.error_bound / plan.codec.clip_norm,
        "memory_mb": {"site": plan.site_memory_mb, "coordinator": plan.coordinator_memory_mb},
        "scheme": plan.scheme_facts(),
        "factorization_digest": plan.factorization.digest,
    }


def _cost_rows(plan: RunPlan, figures: dict[str, Any]) -> list[tuple[str, str]]:
    counts, config = plan.counts, plan.config
    per_parameter = figures["bytes_per_parameter"]
    return [
        ("rounds", f"{config.training.rounds} of {config.training.local_steps} steps a site"),
        ("factorisation", _factorization_row(plan)),
        ("a site sends, a round", _share_row(plan)),
        ("trained and never sent", f"{counts.specialized:,} parameters"),
        ("encryption", plan.parameters.scheme),
        *_quorum_rows(plan),
        ("up, a round and site", _bytes_row(plan.bytes_up, per_parameter["up"])),
        ("down, a round and site", _bytes_row(plan.bytes_down, per_parameter["down"])),
        ("in all rounds and sites", human_bytes(figures["total_bytes"])),
        ("full model in float32, one way", human_bytes(4 * counts.total)),
        (
            "error bound of a mean's coordinate",
            f"{plan.error_bound:.2g} ({figures['error_bound_of_clip_norm']:.1e} of clip_norm)",
        ),
        ("memory of a site, about", f"{plan.site_memory_mb} MiB"),
        ("memory of the coordinator, about", f"{plan.coordinator_memory_mb} MiB"),
    ]


def _quorum_rows(plan: RunPlan) -> list[tuple[str, str]]:
    quorum, sites = plan.quorum, len(plan.sites)
    if quorum is None:
        return []
    threshold = quorum.threshold(sites)
    survives = sites - threshold
    return [
        # All sites but one know the last one's update by subtraction.
        (
            "opening one update takes",
            f"{min(threshold, sites - 1)} of {sites} sites and the coordinator",
        ),
        (
            "a cheating coordinator needs",
            f"more than {quorum.colluders} colluding of {sites} sites: "
            f"{threshold} > ({sites} + {quorum.colluders}) / 2",
        ),
        ("a round survives", f"{survives} lost site{'' if survives == 1 else 's'}"),
    ]


def _factorization_row(plan: RunPlan) -> str:
    update = plan.config.update
    passes = f", {plan.passes} passes a round" if plan.passes > 1 else ""
    return f"{update.factorization} of rank {update.rank}{passes}"


def _share_row(plan: RunPlan) -> str:
    sent, total = plan.values_sent, plan.counts.total
    return f"{sent:,} of {total:,} parameters, {sent / total:.2%}"


def _bytes_row(count: int, per_parameter: float) -> str:
    return f"{human_bytes(count)} ({per_parameter:.2f} bytes/parameter)"
