"""Statuses of the observation classes from the text of a report, by rules.

After CheXpert's labeler (Irvin et al. 2019, arXiv 1901.07031): mentions are found per class, each
is classified by `negation`, and a class takes the first of POSITIVE, UNCERTAIN, NEGATIVE that any
of its mentions has. Figures computed with it are named ``ce_rule_*``, never CheXbert.

Deliberate differences: an empty text states nothing (CheXpert: No Finding); "the lungs are clear"
denies Lung Opacity; a normal heart or mediastinum denies its enlargement, a borderline one is
UNCERTAIN.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.mentions import (
    ABNORMAL,
    BORDERLINE,
    CLEAR_LUNGS,
    MENTIONS,
    NORMAL,
    NOT_MENTIONS,
    SILHOUETTES,
)
from fedmrg_secure.data.negation import status_of

PRECEDENCE: Final = (Status.POSITIVE, Status.UNCERTAIN, Status.NEGATIVE)
"""What a report says of a class is the first of these that any of its mentions says."""

_ABBREVIATIONS: Final = re.compile(r"\b(dr|mr|mrs|ms|vs|e\.g|i\.e|approx|no)\.(?=\s+[a-z0-9])")
_MISSING_BLANK: Final = re.compile(r"(?<=[a-z]{2})\.(?=[A-Z][a-z])")
_SENTENCE_END: Final = re.compile(
    r"(?<!\d)[.!?](?=\s|$)|(?<=\d)\.(?=\s|$)|\n+|\b\w[\w ]{2,24}:(?=\s)"
)
_CLAUSE_END: Final = re.compile(
    r"[,;]|\b(?:but|with|however|although)\b|\band (?=(?:the|there|a|an)\b)"
)


@lru_cache(maxsize=8192)
def label_report(text: str) -> tuple[Status, ...]:
    """The status of each of `CHEXPERT_CLASSES`, in that order.

    Args:
        text: a report in English, of any length; case does not matter.
    """
    said: dict[str, Status] = {}
    for sentence in split_sentences(text):
        for name, status in _statements(sentence):
            said[name] = min(said.get(name, status), status, key=PRECEDENCE.index)
    if re.search(r"\w", text) and not any(
        status in (Status.POSITIVE, Status.UNCERTAIN)
        for name, status in said.items()
        if name != "Support Devices"
    ):
        said["No Finding"] = Status.POSITIVE
    return tuple(said.get(name, Status.BLANK) for name in CHEXPERT_CLASSES)


def split_sentences(text: str) -> list[str]:
    """Lower-case sentences without section headings, whitespace made single."""
    spaced = _MISSING_BLANK.sub(". ", text)
    lowered = _ABBREVIATIONS.sub(r"\1", spaced.lower())
    parts = (re.sub(r"\s+", " ", part).strip() for part in _SENTENCE_END.split(lowered))
    return [part for part in parts if part]


def _statements(sentence: str) -> list[tuple[str, Status]]:
    said = []
    for name, pattern in MENTIONS.items():
        blocked = (
            [m.span() for m in NOT_MENTIONS[name].finditer(sentence)]
            if (name in NOT_MENTIONS)
            else []
        )
        for mention in pattern.finditer(sentence):
            if not any(a <= mention.start() < b for a, b in blocked):
                said.append((name, status_of(sentence, *mention.span())))
    for name in SILHOUETTES:
        said += [(name, status) for status in _silhouette(sentence, name)]
    if (clear := CLEAR_LUNGS.search(sentence)) and "not" not in sentence[: clear.end()].split():
        said.append(("Lung Opacity", Status.NEGATIVE))
    return said


def _silhouette(sentence: str, name: str) -> list[Status]:
    """What a sentence says of the size of the heart or the mediastinum."""
    enlarged, named = SILHOUETTES[name]
    said = [status_of(sentence, *mention.span()) for mention in enlarged.finditer(sentence)]
    if said:
        borderline = BORDERLINE.search(sentence)
        return [Status.UNCERTAIN if borderline and s is Status.POSITIVE else s for s in said]
    mention = named.search(sentence)
    if mention is None:
        return []
    for clause in _clauses(sentence, mention.start()):
        if BORDERLINE.search(clause):
            return [Status.UNCERTAIN]
        abnormal = ABNORMAL.search(clause)
        if abnormal:
            return [status_of(clause, *abnormal.span())]
        if NORMAL.search(clause):
            return [Status.NEGATIVE]
    return []


def _clauses(sentence: str, position: int) -> list[str]:
    """The clause at `position`, then those after it: a list may share one verb at its end."""
    bounds = [0, *(match.start() for match in _CLAUSE_END.finditer(sentence)), len(sentence)]
    clauses = [(begin, end) for begin, end in pairwise(bounds) if end > position]
    return [sentence[begin:end] for begin, end in clauses]
