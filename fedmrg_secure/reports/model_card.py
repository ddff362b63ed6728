"""The model card: what a model is for, where it comes from, what it can and cannot promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.reports import utility
from fedmrg_secure.reports.facts import method, security, settings
from fedmrg_secure.reports.run import Run, title_of
from fedmrg_secure.reports.wording import count_text, listing, plural

_SHOWN = ("bleu4", "rouge_l", "ce_rule_f1_macro", "ce_rule_f1_micro", "diagnosis_auroc")
_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"} | {"\n": " "})


def model_card(
    run: Run,
    counts: Any,
    *,
    after_round: int,
    has_base: bool,
    site: str | None = None,
    mix: float | None = None,
) -> str:
    """The card as Markdown with a metadata block that model hubs read.

    Args:
        run: what trained the model.
        counts: `ReportGenerator.parameter_counts`.
        after_round: the round that the exported state comes from.
        has_base: whether the folder holds the frozen decoder under ``base/``.
        site: whose model it is; None: the one that all share.
        mix: weight of path B that the site has chosen.
    """
    environment = Environment(
        loader=PackageLoader("fedmrg_secure.reports"),
        autoescape=False,  # noqa: S701 - Markdown; texts of a run go through `escaped`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"escaped": escaped, "count": count_text}
    environment.globals |= {"plural": plural}
    achieved = utility.summarise(run.evaluations, run.pooled, run.generic)
    titles = {row.centre: row.title for row in run.evaluations}
    sites = [titles.get(site, title_of(site)) for site in run.sites]
    return environment.get_template("model_card.md.j2").render(
        run=run,
        config=run.config,
        counts=counts,
        after_round=after_round,
        has_base=has_base,
        site=titles.get(site, title_of(site)) if site else None,
        mix=mix,
        sites=listing([escaped(site) for site in sites], limit=40),
        site_count=len(sites),
        synthetic=isinstance(run.config.data, PhantomData),
        settings=settings(run.config),
        method=method(run.config),
        dual=run.config.model.adapters == "dual",
        security=security(run),
        metrics=_table(achieved),
        judged_after=achieved.last_round if achieved else None,
    )


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return text.translate(_SPECIAL)


def _table(achieved: utility.Utility | None) -> str:
    """The metrics as a Markdown table; empty where nothing was judged."""
    if achieved is None:
        return ""
    shown = [
        metric for metric in _SHOWN if any(metric in centre.changes for centre in achieved.centres)
    ]
    head = ["Centre", "Role", "Records", *(utility.metric_title(metric) for metric in shown)]
    rows = [head, ["---", "---", *(["---:"] * (len(head) - 2))]]
    for centre in achieved.centres:
        cells = [_change(centre.changes.get(metric)) for metric in shown]
        rows.append([escaped(centre.title), centre.role, str(centre.records), *cells])
    for role, changes in achieved.means.items():
        if changes:
            cells = [f"**{_change(changes.get(metric))}**" for metric in shown]
            rows.append([f"**Mean, {role}**", "", "", *cells])
    for result in achieved.pooled.values():
        cells = [_change(result.changes.get(metric)) for metric in shown]
        rows.append([result.title, "", str(result.records), *cells])
    return "\n".join(_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _change(change: utility.Change | None) -> str:
    if change is None:
        return "–"
    return " → ".join("–" if v is None else f"{v:.3f}" for v in (change.before, change.after))
