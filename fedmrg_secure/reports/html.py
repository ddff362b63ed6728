"""`report.html`: one self-contained file about a run, without scripts and without network.

Every text of a run (reports, centre names, errors) is untrusted: the templates escape it, and the
page's Content-Security-Policy forbids scripts and any request besides.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.reports import cost, facts, utility, wording
from fedmrg_secure.reports.findings import Comparison, Labeler, compare
from fedmrg_secure.reports.logs import LogCheck, check_logs
from fedmrg_secure.reports.losses import loss_parts
from fedmrg_secure.reports.plots import dumbbell, line_chart, sparkline
from fedmrg_secure.reports.run import Run, Sample, title_of
from fedmrg_secure.reports.run_folder import read_run
from fedmrg_secure.reports.visibility import PARTIES, visibility

_TOP_STATUSES: Final = 4


@dataclass(frozen=True, slots=True)
class Example:
    """One shown image with both texts compared."""

    title: str
    role: str
    record_id: str
    image: str
    comparison: Comparison
    untrained: str
    generic: str
    path: str
    statuses: tuple[tuple[str, float], ...]


def write_report(root: Path) -> Path:
    """Write ``report.html`` into a run's folder, atomically, and return its path.

    Raises:
        NotARunFolder: `root` holds no run.
        FedmrgError: the run's manifest or configuration is invalid.
    """
    page = render_report(read_run(root), label_report, check_logs(root))
    return write_page(root / "report.html", page)


def write_page(target: Path, page: str) -> Path:
    """Write a page, whole or not at all, and return its path."""
    scratch = target.with_name(target.name + ".part")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(page)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(target)
    return target


def render_report(run: Run, label: Labeler, logs: LogCheck) -> str:
    """The page of a run as HTML.

    Args:
        run: what is known of the run; missing parts are said to be missing.
        label: the rule labeler that marks findings in the shown reports.
        logs: what checking the run's logs gave.
    """
    context = _context(run, label)
    heads = logs.heads or run.summary.logs
    template = page_environment().get_template("report.html.j2")
    return template.render(context, logs=logs, log_heads=heads)


def page_environment() -> Environment:
    """Templates of `reports` with the filters that they use; everything is escaped."""
    environment = Environment(
        loader=PackageLoader("fedmrg_secure.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": wording.bytes_text,
        "decade": wording.decade_text,
        "count": wording.count_text,
        "duration": wording.seconds_text,
        "metric": utility.metric_title,
        "listing": wording.listing,
    }
    environment.globals |= {"plural": wording.plural, "ratio": wording.ratio_text}
    return environment


def _context(run: Run, label: Labeler) -> dict[str, Any]:
    config = run.config
    scheme = config.secure_aggregation.scheme
    sent = run.summary.communication
    achieved = utility.summarise(run.evaluations, run.pooled, run.generic)
    titles = {row.centre: row.title for row in run.evaluations}
    encrypted = scheme != "insecure-plaintext"
    bars = cost.sent_bars(sent, encrypted=encrypted) if sent else ()
    return {
        "css": Markup(stylesheet()),  # noqa: S704 - our own file
        "run": run,
        "shell_path": shlex.quote(str(run.root)),
        "config": config,
        "plaintext": not encrypted,
        "real_patients": not isinstance(config.data, PhantomData),
        "sites": [titles.get(site, title_of(site)) for site in run.sites],
        "unseen": [titles.get(name, title_of(name)) for name in run.unseen],
        "rounds_done": run.rounds_done,
        "dual": config.model.adapters == "dual",
        "method": facts.method(config),
        "losses": loss_parts(run.rounds, run.summary.passes),
        "sparkline": sparkline,
        "utility": achieved,
        "charts": _charts(achieved),
        "all_metrics": utility.all_metrics(achieved.means) if achieved else (),
        "headline_metrics": utility.HEADLINE,
        "side_metrics": _side_metrics(achieved),
        "dumbbell": dumbbell,
        "high": _highest(achieved),
        "sent": sent,
        "sent_bars": bars,
        "sent_ticks": cost.sent_ticks(bars),
        "times": _titled(cost.site_times(run.rounds), titles),
        "phases": cost.PHASES,
        "examples": [_example(sample, titles, label) for sample in run.samples],
        "parties": PARTIES,
        "round_keys": scheme == "ckks-multiparty",
        "visibility": visibility(
            scheme,
            weighting=config.update.weighting,
            dual=config.model.adapters == "dual",
            sites=len(run.sites),
            min_sites=config.federation.min_sites,
            threshold=int(run.summary.scheme.get("threshold", 0)),
            colluders=int(run.summary.scheme.get("colluders", 0)),
        ),
        "settings": facts.settings(config),
        "security": facts.security(run),
        "pinned": facts.pinned(run),
    }


def stylesheet() -> str:
    """The CSS that all pages share."""
    return (Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")


def _charts(achieved: utility.Utility | None) -> list[tuple[str, Markup]]:
    if achieved is None:
        return []
    return [
        (metric, line_chart(curves, description=f"{utility.metric_title(metric)} by round"))
        for metric, curves in achieved.curves.items()
    ]


def _side_metrics(achieved: utility.Utility | None) -> list[str]:
    """Metrics that the final table shows without a drawing."""
    found = utility.all_metrics(achieved.means) if achieved else ()
    return [metric for metric in ("ce_rule_f1_micro", "diagnosis_auroc") if metric in found]


def _highest(achieved: utility.Utility | None) -> dict[str, float]:
    """Metric -> right end of its small bars, the same for all centres."""
    highest = dict.fromkeys(utility.HEADLINE, 0.05)
    for centre in achieved.centres if achieved else ():
        for metric in utility.HEADLINE:
            change = centre.changes.get(metric)
            for value in (change.before, change.after) if change else ():
                highest[metric] = max(highest[metric], value or 0.0)
    return highest


def _titled(times: Sequence[cost.SiteTime], titles: dict[str, str]) -> list[cost.SiteTime]:
    return [
        cost.SiteTime(titles.get(time.site, title_of(time.site)), time.total, time.slices)
        for time in times
    ]


def _example(sample: Sample, titles: dict[str, str], label: Labeler) -> Example:
    ordered = sorted(sample.statuses.items(), key=lambda item: -item[1])
    return Example(
        title=titles.get(sample.centre, title_of(sample.centre)),
        role=sample.role,
        record_id=sample.record_id,
        image="data:image/png;base64," + base64.b64encode(sample.image_png).decode("ascii"),
        comparison=compare(sample.reference, sample.generated, label),
        untrained=sample.untrained,
        generic=sample.generic if sample.path != "generic" else "",
        path=sample.path,
        statuses=tuple(ordered[:_TOP_STATUSES]),
    )
