"""From a case to its report and the statuses that the report states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.phantom.case import Case, Finding, Kind
from fedmrg_secure.data.phantom.phrases import (
    CLASS_OF,
    GROUP_OF,
    MASSES,
    NEGATIVES,
    NOUNS,
    PRECEDENCE,
    SAYS,
    Group,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Style:
    """How a centre writes.

    Attributes:
        usages: usages with their shares; the first is the habit.
        order: the order of the groups; a group that is absent gets no negative.
        sections: whether findings and impression are headed.
        impression: whether the report ends with what matters.
    """

    usages: tuple[tuple[Usage, float], ...]
    order: tuple[Group, ...]
    sections: bool
    impression: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A report and its statuses, one per class of `CHEXPERT_CLASSES`."""

    text: str
    labels: tuple[Status, ...]


def write_report(case: Case, style: Style, rng: np.random.Generator) -> Written:
    """The report of `case` as a centre of this style would write it."""
    usage = _draw(style.usages, rng)
    said: list[tuple[str, Status]] = []
    sentences: list[str] = []
    groups = [*style.order, *(g for g in NEGATIVES if g not in style.order)]
    for group in groups:
        present = [f for f in case.findings if GROUP_OF[f.kind] == group]
        for finding in present:
            sentences.append(_positive(finding, usage, said))
        if not present and group in style.order:
            options = NEGATIVES[group][usage]
            if options:
                sentences.append(options[int(rng.integers(len(options)))])
                said += [(name, Status.NEGATIVE) for name in SAYS[group]]
    text = " ".join(sentences)
    if style.sections:
        text = f"FINDINGS: {text}"
    if style.impression:
        head = (
            "IMPRESSION:" if style.sections else "Conclusion:" if usage == "uk" else "Impression:"
        )
        text = f"{text} {head} {_conclusion(case, usage)}"
    return Written(text, _statuses(said))


def _positive(finding: Finding, usage: Usage, said: list[tuple[str, Status]]) -> str:
    noun = _noun(finding, usage)
    if finding.kind is Kind.PNEUMONIA:
        said.append(("Consolidation", Status.POSITIVE))
        sure = finding.certain
        said.append(("Pneumonia", Status.POSITIVE if sure else Status.UNCERTAIN))
        link = "consistent with" if sure else "which may represent"
        if usage == "uk":
            link = "in keeping with" if sure else "which may represent"
        return _capital(f"{_frame(finding, noun, usage)[:-1]} {link} pneumonia.")
    said.append((CLASS_OF[finding.kind], Status.POSITIVE if finding.certain else Status.UNCERTAIN))
    if finding.certain:
        return _capital(_frame(finding, noun, usage))
    if usage == "uk":
        return _capital(f"{_article(finding, noun)} cannot be excluded.")
    return _capital(f"possible {noun}.")


def _frame(finding: Finding, noun: str, usage: Usage) -> str:
    if usage == "terse":
        return f"{noun}."
    if GROUP_OF[finding.kind] == "devices":
        return f"{_article(finding, noun)} is in place."
    verb = "are" if noun.endswith("effusions") else "is"
    return f"There {verb} {_article(finding, noun)}."


def _article(finding: Finding, noun: str) -> str:
    if finding.kind in MASSES or noun.endswith("s") and "effusions" in noun:
        return noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _noun(finding: Finding, usage: Usage) -> str:
    size = ("small", "moderate", "large")[finding.grade]
    grade = ("mild", "moderate", "severe" if usage != "uk" else "marked")[finding.grade]
    side = "bilateral" if finding.side == "both" else finding.side
    noun = NOUNS[finding.kind][usage].format(size=size, grade=grade, side=side, zone=finding.zone)
    if finding.side == "both":
        noun = noun.replace("bilateral sided", "bilateral").replace("effusion", "effusions")
    return noun


def _conclusion(case: Case, usage: Usage) -> str:
    found = [f for f in case.findings if GROUP_OF[f.kind] != "devices" and f.certain]
    if not found:
        if any(GROUP_OF[f.kind] != "devices" for f in case.findings):
            return "As above."
        return "Normal study." if usage == "uk" else "No acute cardiopulmonary disease."
    return _capital(" and ".join(_noun(f, "terse") for f in found[:2]) + ".")


def _statuses(said: list[tuple[str, Status]]) -> tuple[Status, ...]:
    by_class: dict[str, Status] = {}
    for name, status in said:
        kept = by_class.get(name, status)
        by_class[name] = min(kept, status, key=PRECEDENCE.index)
    sick = any(
        status in (Status.POSITIVE, Status.UNCERTAIN)
        for name, status in by_class.items()
        if name != "Support Devices"
    )
    by_class["No Finding"] = Status.BLANK if sick else Status.POSITIVE
    return tuple(by_class.get(name, Status.BLANK) for name in CHEXPERT_CLASSES)


def _draw(usages: tuple[tuple[Usage, float], ...], rng: np.random.Generator) -> Usage:
    point = rng.random()
    for usage, share in usages:
        point -= share
        if point < 0:
            return usage
    return usages[0][0]


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
