"""From evaluation rows to what the page shows: curves by round, the final table, the headline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fedmrg_secure.reports.plots import Curve
from fedmrg_secure.reports.run import ROLES, EvaluationRow, Metrics, PooledRow

METRIC_TITLES: Final = {
    "bleu4": "BLEU-4",
    "ce_rule_f1_macro": "Clinical F1",
    "ce_rule_f1_micro": "Clinical F1, micro",
    "diagnosis_auroc": "Diagnosis AUROC",
    "diagnosis_f1_macro": "Diagnosis F1",
    "diagnosis_f1_micro": "Diagnosis F1, micro",
    "rouge_l": "ROUGE-L",
    "rouge_l_beta": "ROUGE-L, beta 1.2",
    "meteor_exact_stem": "METEOR, exact and stem",
    "cider": "CIDEr-D (0 to 10)",
    "semantic_minilm": "Semantic similarity, MiniLM",
    "f1chexbert_all_macro_f1": "CheXbert F1, 14 classes",
    "f1chexbert_all_micro_f1": "CheXbert F1, 14 classes, micro",
    "f1chexbert_5_macro_f1": "CheXbert F1, 5 classes",
    "f1chexbert_5_micro_f1": "CheXbert F1, 5 classes, micro",
    "radgraph_simple": "RadGraph F1, entities",
    "radgraph_partial": "RadGraph F1, entities and whether related",
    "radgraph_complete": "RadGraph F1, entities and relations",
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "ce_rule_precision_macro": "Clinical precision",
    "ce_rule_recall_macro": "Clinical recall",
    "ce_rule_precision_micro": "Clinical precision, micro",
    "ce_rule_recall_micro": "Clinical recall, micro",
}
"""Metrics that the page names, in its order; others go by their own names. Macro unless said."""

HEADLINE: Final = ("bleu4", "ce_rule_f1_macro")
"""The two metrics that are plotted and stand in the headline: language and clinical content."""


@dataclass(frozen=True, slots=True)
class Change:
    """A value of the untrained and of the trained model; None where not measured."""

    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class CentreResult:
    """One centre's row of the final table; `changes` by metric.

    `path` says which adapters wrote the trained model's reports; `generic` has the trained values
    of the generic path where that is another one.
    """

    title: str
    role: str
    records: int
    changes: dict[str, Change]
    path: str = "generic"
    generic: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Utility:
    """What a run achieved.

    Attributes:
        centres: final table, participating centres first.
        means: role -> metric -> mean over that role's centres, each centre counting once.
        generic: role -> metric -> mean of the trained values of the generic path, for a role
            with centres that write by another.
        pooled: role -> all its records as one set; a role without such figures is left out.
        curves: metric -> lines for the chart, means last.
        last_round: the round that `after` values come from.
        records: the number of records behind a point of the curves, smallest and largest centre.
    """

    centres: tuple[CentreResult, ...]
    means: dict[str, dict[str, Change]]
    generic: dict[str, dict[str, float]]
    pooled: dict[str, CentreResult]
    curves: dict[str, tuple[Curve, ...]]
    last_round: int
    records: tuple[int, int]


def summarise(
    rows: Sequence[EvaluationRow],
    pooled: Sequence[PooledRow] = (),
    generic: Sequence[EvaluationRow] = (),
) -> Utility | None:
    """Order a run's evaluation; None where nothing was evaluated.

    Args:
        rows: as every centre writes.
        pooled: a role's records as one set.
        generic: the generic path's figures at centres that write by another.
    """
    if not rows:
        return None
    last = max(row.round for row in rows)
    also = {row.centre: row.metrics for row in generic if row.round == last}
    centres = tuple(
        _centre(rows, name, last, also.get(name, {}))
        for role in ROLES
        for name in _names(rows, role)
    )
    curves = {metric: _curves(rows, metric) for metric in HEADLINE}
    counts = [row.records for row in _by_round(rows)]
    return Utility(
        centres=centres,
        means={role: _mean([c for c in centres if c.role == role]) for role in ROLES},
        generic=_generic(centres),
        pooled=_pooled(pooled, last),
        curves={metric: lines for metric, lines in curves.items() if lines},
        last_round=last,
        records=(min(counts), max(counts)),
    )


def metric_title(name: str) -> str:
    """A metric's name as the page writes it."""
    return METRIC_TITLES.get(name, name)


def all_metrics(means: dict[str, dict[str, Change]]) -> tuple[str, ...]:
    """Every metric that occurs, known ones in the page's order first."""
    found = {metric for changes in means.values() for metric in changes}
    known = [metric for metric in METRIC_TITLES if metric in found]
    return (*known, *sorted(found - set(known)))


def _names(rows: Iterable[EvaluationRow], role: str) -> list[str]:
    """The centres of a role in the order of their first row."""
    return list(dict.fromkeys(row.centre for row in rows if row.role == role))


def _centre(rows: Sequence[EvaluationRow], name: str, last: int, generic: Metrics) -> CentreResult:
    before, after = _judged(rows, name, 0), _judged(rows, name, last)
    known = after or before or next(row for row in rows if row.centre == name)
    changes = _changes(before, after, last)
    path = after.path if after and last else "generic"
    return CentreResult(known.title, known.role, known.records, changes, path, dict(generic))


def _generic(centres: Sequence[CentreResult]) -> dict[str, dict[str, float]]:
    """Means over all centres of a role; those that write generically count as they write."""
    means = {}
    for role in ROLES:
        own = [centre for centre in centres if centre.role == role]
        if not any(centre.generic for centre in own):
            continue
        values: dict[str, list[float]] = {}
        for centre in own:
            plain = {metric: change.after for metric, change in centre.changes.items()}
            for metric, value in (centre.generic or plain).items():
                if value is not None:
                    values.setdefault(metric, []).append(value)
        means[role] = {metric: sum(found) / len(found) for metric, found in values.items()}
    return means


def _pooled(rows: Sequence[PooledRow], last: int) -> dict[str, CentreResult]:
    found = {(row.round, row.role): row for row in rows}
    results = {}
    for role in ROLES:
        before, after = found.get((0, role)), found.get((last, role))
        known = after or before
        if known is not None:
            changes = _changes(before, after, last)
            results[role] = CentreResult(f"All records, {role}", role, known.records, changes)
    return results


def _changes(
    before: EvaluationRow | PooledRow | None, after: EvaluationRow | PooledRow | None, last: int
) -> dict[str, Change]:
    """By metric; nothing counts as trained while the last judged round is 0."""
    return {
        metric: Change(
            before.metrics.get(metric) if before else None,
            after.metrics.get(metric) if after and last else None,
        )
        for metric in dict.fromkeys(m for row in (before, after) if row for m in row.metrics)
    }


def _judged(rows: Iterable[EvaluationRow], name: str, number: int) -> EvaluationRow | None:
    """The evaluation of a centre after a round, on the full set where there is one."""
    found = [row for row in rows if row.centre == name and row.round == number]
    return max(found, key=lambda row: row.final, default=None)


def _mean(centres: Sequence[CentreResult]) -> dict[str, Change]:
    metrics = dict.fromkeys(metric for centre in centres for metric in centre.changes)
    return {
        metric: Change(
            _average(c.changes[metric].before for c in centres if metric in c.changes),
            _average(c.changes[metric].after for c in centres if metric in c.changes),
        )
        for metric in metrics
    }


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _by_round(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """The rows on the smaller set that is the same in every round, or all where there are none."""
    return [row for row in rows if not row.final] or list(rows)


def _curves(rows: Sequence[EvaluationRow], metric: str) -> tuple[Curve, ...]:
    judged = [row for row in _by_round(rows) if metric in row.metrics]
    thin, means = [], []
    for role in ROLES:
        own = [row for row in judged if row.role == role]
        for name in _names(own, role):
            points = sorted((row.round, row.metrics[metric]) for row in own if row.centre == name)
            title = next(row.title for row in own if row.centre == name)
            thin.append(Curve(title, role, tuple(points)))
        numbers = sorted({row.round for row in own})
        average = [
            (number, sum(values) / len(values))
            for number in numbers
            if (values := [row.metrics[metric] for row in own if row.round == number])
        ]
        if average:
            means.append(Curve(role, role, tuple(average), mean=True))
    return (*thin, *means)
