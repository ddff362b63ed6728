"""From a case to its report and the statuses that the report states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.phantom.case import Case, Finding, Kind
from fedmrg_secure.data.phantom.negatives import ADVICE, ALL_WELL, CLEAR, NEGATIVES, Negative
from fedmrg_secure.data.phantom.sentences import BOTH_SIDES, LINKS, POSITIVE
from fedmrg_secure.data.phantom.vocabulary import (
    CLASS_OF,
    DOUBTS,
    GRADELY,
    GRADES,
    GROUPS,
    NO_ARTICLE,
    NOUNS,
    SIZES,
    Group,
    Usage,
    group_of,
)

PRECEDENCE: Final = (Status.POSITIVE, Status.UNCERTAIN, Status.NEGATIVE)
"""What a report says of a class is the first of these that any of its sentences says."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a centre writes.

    Attributes:
        usages: usages with their shares, drawn anew for each sentence.
        opening: the first sentence.
        order: the groups in the order in which they are described.
        denies: the groups whose absence of findings is put in words.
        sections: whether findings and impression are headed in capitals.
        conclusion: the word before the summary; empty where there is none.
        habit: share of the habitual sentence against its variation.
    """

    usages: tuple[tuple[Usage, float], ...]
    opening: str
    order: tuple[Group, ...]
    denies: frozenset[Group]
    sections: bool = False
    conclusion: str = ""
    habit: float = 0.75


@dataclass(frozen=True, slots=True)
class Written:
    """A report and its statuses, one per class of `CHEXPERT_CLASSES`."""

    text: str
    labels: tuple[Status, ...]


@dataclass(slots=True)
class _Draft:
    sentences: list[str] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)

    def say(self, sentence: str, classes: tuple[str, ...], status: Status) -> None:
        self.sentences.append(sentence[0].upper() + sentence[1:])
        for name in classes:
            self.statuses[name] = min(self.statuses.get(name, status), status, key=PRECEDENCE.index)


def write_report(case: Case, style: Style, rng: np.random.Generator) -> Written:
    """The report of `case` as a centre of this style would write it."""
    draft = _Draft()
    found = {CLASS_OF[finding.kind] for finding in case.findings}
    if Kind.PNEUMONIA in {finding.kind for finding in case.findings}:
        found.add("Consolidation")
    for group in (*style.order, *(g for g in GROUPS if g not in style.order)):
        present = [finding for finding in case.findings if group_of(finding.kind) == group]
        for finding in present:
            _affirm(draft, finding, _usage(style, rng), _variation(style, rng))
        if group in style.denies:
            usage = _usage(style, rng)
            clear = (CLEAR[usage],) if group == "lungs" and not present else ()
            _deny(draft, (*clear, *NEGATIVES[group][usage]), found)
    body = " ".join(draft.sentences)
    text = f"{style.opening} FINDINGS: {body}" if style.sections else f"{style.opening} {body}"
    if style.conclusion:
        head = style.conclusion.upper() if style.sections else style.conclusion
        text = f"{text} {head}: {_conclude(case, _usage(style, rng))}"
    return Written(text, _labels(draft.statuses))


def _affirm(draft: _Draft, finding: Finding, usage: Usage, variation: int) -> None:
    if finding.kind is Kind.PNEUMONIA:
        link = LINKS[usage][not finding.certain]
        sentence = _fill(POSITIVE[finding.kind][usage][variation], finding, usage, link)
        draft.say(sentence, ("Consolidation",), Status.POSITIVE)
        status = Status.POSITIVE if finding.certain else Status.UNCERTAIN
        draft.statuses["Pneumonia"] = status
        return
    classes = (CLASS_OF[finding.kind],)
    if not finding.certain:
        draft.say(_doubt(finding, usage, variation), classes, Status.UNCERTAIN)
        return
    bank = BOTH_SIDES if finding.side == "both" else POSITIVE[finding.kind]
    draft.say(_fill(bank[usage][variation], finding, usage), classes, Status.POSITIVE)


def _deny(draft: _Draft, negatives: tuple[Negative, ...], found: set[str]) -> None:
    for negative in negatives:
        said = any(name in draft.statuses for name in negative.classes)
        if not said and not found & set(negative.classes):
            draft.say(negative.text, negative.classes, Status.NEGATIVE)


def _fill(sentence: str, finding: Finding, usage: Usage, link: str = "") -> str:
    return sentence.format(
        size=SIZES[finding.grade],
        grade=GRADES[usage == "british"][finding.grade],
        gradely=GRADELY[finding.grade],
        side="bilateral" if finding.side == "both" else finding.side,
        zone="mid" if finding.zone == "middle" else finding.zone,
        link=link,
    )


def _noun(finding: Finding, usage: Usage) -> str:
    noun = _fill(NOUNS[finding.kind][usage == "british"], finding, usage)
    return f"{noun}s" if finding.side == "both" else noun


def _doubt(finding: Finding, usage: Usage, variation: int) -> str:
    noun = _noun(finding, usage)
    frame = DOUBTS[usage][variation]
    bare = frame.startswith(("Possible", "Questionable"))
    if not bare and finding.kind not in NO_ARTICLE and finding.side != "both":
        noun = f"a {noun}"
    sentence = frame.format(noun=noun)
    return sentence.replace(" is possible", " are possible") if finding.side == "both" else sentence


def _conclude(case: Case, usage: Usage) -> str:
    """The two most important findings, and advice where a finding calls for it."""
    british = usage == "british"
    found = [finding for finding in case.findings if group_of(finding.kind) != "devices"]
    if not found:
        return ALL_WELL[usage]
    chosen = sorted(found, key=lambda finding: not finding.certain)[:2]
    named = [
        _noun(finding, usage) if finding.certain else f"possible {_noun(finding, usage)}"
        for finding in chosen
    ]
    sentence = " and ".join(named)
    sentence = f"{sentence[0].upper()}{sentence[1:]}."
    advice = next((ADVICE[c] for f in chosen if (c := CLASS_OF[f.kind]) in ADVICE), None)
    return f"{sentence} {advice[british]}" if advice else sentence


def _labels(statuses: dict[str, Status]) -> tuple[Status, ...]:
    sick = any(
        status in (Status.POSITIVE, Status.UNCERTAIN)
        for name, status in statuses.items()
        if name != "Support Devices"
    )
    return tuple(
        (Status.BLANK if sick else Status.POSITIVE)
        if name == "No Finding"
        else statuses.get(name, Status.BLANK)
        for name in CHEXPERT_CLASSES
    )


def _usage(style: Style, rng: np.random.Generator) -> Usage:
    point = rng.random()
    for usage, share in style.usages:
        point -= share
        if point < 0:
            return usage
    return style.usages[0][0]


def _variation(style: Style, rng: np.random.Generator) -> int:
    return int(rng.random() >= style.habit)
