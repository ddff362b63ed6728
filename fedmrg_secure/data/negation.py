"""What a sentence says of a mention: present, absent or uncertain, by triggers and their scopes.

The method is NegEx's (Chapman et al. 2001) with the order of CheXpert (Irvin et al. 2019): first
uncertainty that contains a negation ("cannot exclude"), then negation, then other uncertainty.
As in NegEx, "no new X" denies X and "no change in X" does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.core.types import Status

_NOT = r"(?:cannot|can ?not|can't|could not|not|difficult to|hard to|unable to)"
_FULLY = r"(?: (?:be|entirely|completely|fully|definitely|confidently|reliably))*"


def _compile(*expressions: str) -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(?:" + "|".join(expressions) + r")(?![\w])")


@dataclass(frozen=True, slots=True)
class _Trigger:
    status: Status
    before: re.Pattern[str]
    """Expressions that speak of what follows."""
    after: re.Pattern[str]
    """Expressions that speak of what precedes."""


_NO_CHANGE: Final = _compile(
    r"(?:no|without)(?: \w+){0,2} (?:change|increase|decrease|progression)s?(?: in| of)?",
    r"not (?:significantly |substantially )?changed",
    r"not only",
    r"no longer (?=seen with)",
)
"""Pseudo-negations: they hold a negative word and deny nothing."""

_EXCLUDE_FIRST: Final = _Trigger(
    Status.UNCERTAIN,
    before=_compile(
        rf"{_NOT}{_FULLY} (?:exclude|rule out)",
        r"(?:to )?(?:exclude|rule out|r/o)",
    ),
    after=_compile(
        rf"{_NOT}{_FULLY} (?:excluded|ruled out)",
        rf"(?:is|are) (?:difficult|hard) to{_FULLY} (?:exclude|rule out)",
    ),
)

_NEGATION: Final = _Trigger(
    Status.NEGATIVE,
    before=_compile(
        r"no",
        r"non",
        r"without",
        r"absence of",
        r"free of",
        r"free from",
        r"negative for",
        r"lack of",
        r"denies",
        r"denied",
        r"never",
        r"not",
        r"nor",
        r"neither",
        r"resolved",
        r"resolution of",
        r"clearing of",
        r"rather than",
        r"clear of",
        r"excluded",
        r"rules out",
        r"ruled out",
        r"interval removal of",
        r"removal of",
        r"has been removed",
    ),
    after=_compile(
        r"(?:is|are|was|were|has|have|been)?\s?(?:not|never)(?: been)?"
        r"(?: (?:clearly|definitely|currently))?"
        r" (?:seen|identified|present|evident|apparent|visuali[sz]ed|visible|demonstrated|noted|"
        r"detected|appreciated|found|observed|suspected|shown|enlarged|widened|increased)",
        r"(?:is|are|was|were) (?:absent|negative|excluded|ruled out|not)",
        r"absent",
        r"(?:has|have) (?:completely )?(?:resolved|cleared)",
        r"resolved",
        r"(?:has|have) been (?:removed|excluded|ruled out)",
    ),
)

_DOUBT: Final = _Trigger(
    Status.UNCERTAIN,
    before=_compile(
        r"possibl[ey]",
        r"probabl[ey]",
        r"potential(?:ly)?",
        r"likely",
        r"may",
        r"might",
        r"could",
        r"question(?:able)?(?: of)?",
        r"suspicious(?: for| of)?",
        r"suspicion (?:of|for)",
        r"suspected",
        r"suspect",
        r"suggest(?:s|ed|ing|ive)?(?: of)?",
        r"concern(?:s|ing)?(?: for)?",
        r"perhaps",
        r"equivocal",
        r"worrisome for",
        r"vs\.?",
        r"versus",
        r"evaluate for",
        r"indeterminate",
        r"differential (?:diagnosis )?(?:includes|considerations include)",
        r"borderline",
        r"apparent",
        r"can be seen with",
        r"if there is",
        r"assess for",
    ),
    after=_compile(
        r"(?:is|are)(?: also)? (?:possible|suspected|questioned|questionable|likely|unlikely|"
        r"equivocal|considered|favou?red)",
        r"(?:is|are) (?:a |the )?(?:possibility|consideration|concern)",
        r"unlikely",
        r"(?:would|could|should) be considered",
        r"(?:is|are) (?:also )?in the differential",
        r"versus",
        r"vs\.?",
        r"not (?:clearly|well|definitely) (?:seen|visuali[sz]ed)",
    ),
)

_BREAKS: Final = re.compile(
    r"\b(?:but|however|although|though|except(?: for)?|aside from|apart from|other than|besides|"
    r"which|whereas|while|yet|still|nevertheless|secondary to|because of)\b"
    r"|[;:]"
    r"|(?:,| and| with)(?= (?:there (?:is|are|has)|(?:the|a|an|is|are|small|mild|mildly|minimal|"
    r"moderate|large|tiny|trace|left|right|bilateral|stable|unchanged|severe|persistent|increased|"
    r"heart|cardiac|cardiomediastinal|mediastinal|lungs?|again|patchy|linear|marked)\b))"
)
_REACH: Final = 240
"""Characters on either side of a mention that a trigger may be away."""

_LIST_GOES_ON: Final = re.compile(r"\b(?:or|nor|and/or)\b")


def status_of(sentence: str, start: int, end: int) -> Status:
    """What lower-case `sentence` says of the mention at ``sentence[start:end]``.

    Returns:
        POSITIVE, NEGATIVE or UNCERTAIN.
    """
    before, after = sentence[max(0, start - _REACH) : start], sentence[end : end + _REACH]
    left, right = _left_scope(before, after), _right_scope(after)
    quiet = _NO_CHANGE.sub(lambda match: "~" * len(match.group()), left)
    for trigger in (_EXCLUDE_FIRST, _NEGATION, _DOUBT):
        if trigger.before.search(quiet) or trigger.after.search(right):
            return trigger.status
    return Status.POSITIVE


def _left_scope(before: str, after: str) -> str:
    """The text before a mention from the last break that is no comma of a running list."""
    begin = 0
    for found in _BREAKS.finditer(before):
        comma = before[found.start()] == ","
        if comma and _LIST_GOES_ON.search(before[found.end() :] + after[:60]):
            continue
        begin = found.end()
    return before[begin:]


def _right_scope(after: str) -> str:
    """The text after a mention up to the next break."""
    found = _BREAKS.search(after)
    return after[: found.start()] if found else after
