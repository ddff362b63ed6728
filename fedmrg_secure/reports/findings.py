"""Which findings two reports share, by the rule labeler, marked sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status

Labeler = Callable[[str], Sequence[Status]]
"""A report's text -> one status per class of CHEXPERT_CLASSES."""

_SENTENCE: Final = re.compile(r".+?(?:[.!?](?=\s|$)|\n|$)\s*", re.DOTALL)
_STATED: Final = (Status.POSITIVE, Status.UNCERTAIN)
_NO_FINDING: Final = "No Finding"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; `mark` is ``agreed``, ``missed``, ``invented`` or empty."""

    text: str
    mark: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A generated report beside its reference.

    Attributes:
        reference: the reference's sentences, marked agreed or missed.
        generated: the generated report's sentences, marked agreed or invented.
        agreed: classes stated in both.
        missed: classes stated in the reference only.
        invented: classes stated in the generated report only.
    """

    reference: tuple[Piece, ...]
    generated: tuple[Piece, ...]
    agreed: tuple[str, ...]
    missed: tuple[str, ...]
    invented: tuple[str, ...]


def compare(reference: str, generated: str, label: Labeler) -> Comparison:
    """Compare two reports by the classes that they state: POSITIVE or UNCERTAIN, as in the scores.

    A sentence is marked for a class that it states itself and that its whole report states; where
    its classes differ in kind, ``missed`` and ``invented`` win over ``agreed``.
    """
    wanted, found = _stated(reference, label), _stated(generated, label)
    agreed = wanted & found
    return Comparison(
        reference=_pieces(reference, label, agreed, wanted - found, "missed"),
        generated=_pieces(generated, label, agreed, found - wanted, "invented"),
        agreed=_ordered(agreed),
        missed=_ordered(wanted - found),
        invented=_ordered(found - wanted),
    )


def _pieces(
    text: str, label: Labeler, agreed: set[str], only_here: set[str], mark: str
) -> tuple[Piece, ...]:
    pieces = []
    for sentence in _SENTENCE.findall(text):
        classes = _stated(sentence, label) - {_NO_FINDING}
        kind = mark if classes & only_here else "agreed" if classes & agreed else ""
        words = sentence.rstrip()
        pieces.append(Piece(words, kind))
        pieces.append(Piece(sentence[len(words) :], ""))
    return tuple(piece for piece in pieces if piece.text)


def _stated(text: str, label: Labeler) -> set[str]:
    statuses = zip(CHEXPERT_CLASSES, label(text), strict=True)
    return {name for name, status in statuses if status in _STATED}


def _ordered(classes: set[str]) -> tuple[str, ...]:
    return tuple(name for name in CHEXPERT_CLASSES if name in classes)
