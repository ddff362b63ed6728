"""Open-i's own layout of IU X-Ray: one XML file a study, PNG images beside.

The files come from strangers, so they are read with an event parser that keeps nothing but what is
needed and refuses a document type: without one XML has no entities to expand or to fetch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat

from fedmrg_secure.core.config import ReportSection
from fedmrg_secure.data.errors import ReportUnreadable
from fedmrg_secure.data.reports import read_report_bytes

_SECTIONS: Final[dict[str, ReportSection]] = {"FINDINGS": "findings", "IMPRESSION": "impression"}


@dataclass(slots=True)
class OpenIReport:
    """What one XML file says.

    Attributes:
        study: of ``<uId id=...>``, e.g. ``CXR12``; empty where the file has none.
        sections: text of ``<AbstractText Label=...>``, whitespace made single, none empty.
        images: of ``<parentImage id=...>``, in the file's order.
    """

    study: str = ""
    sections: dict[ReportSection, str] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)


def read_open_i_report(path: Path) -> OpenIReport:
    """Read one report of ``ecgen-radiology``.

    Raises:
        ReportUnreadable: too large, not well-formed (with line and column), or with a document
            type.
    """
    reader = _Reader(path)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(read_report_bytes(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        # The last two: an encoding that Python does not know or that expat cannot use.
        line, column = getattr(error, "lineno", 1), getattr(error, "offset", 0) + 1
        raise ReportUnreadable(
            f"{path.name} is not well-formed XML", location=f"{path}:{line}:{column}"
        ) from error
    except ReportUnreadable as error:
        error.location = error.location or str(path)
        raise
    return reader.report


class _Reader:
    """Takes the parser's events."""

    def __init__(self, path: Path) -> None:
        self.report = OpenIReport()
        self._path = path
        self._section: ReportSection | None = None
        self._pieces: list[str] = []

    def doctype(self, *_: object) -> None:
        raise ReportUnreadable(
            f"{self._path.name} declares a document type, which no report needs",
            hint="entities could fetch files or fill the memory: take the declaration out",
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "uId":
            self.report.study = self.report.study or attributes.get("id", "").strip()
        elif tag == "parentImage":
            self.report.images.append(attributes.get("id", "").strip())
        elif tag == "AbstractText":
            self._section = _SECTIONS.get(attributes.get("Label", "").strip().upper())
            self._pieces = []

    def text(self, piece: str) -> None:
        if self._section:
            self._pieces.append(piece)

    def end(self, tag: str) -> None:
        if tag != "AbstractText" or self._section is None:
            return
        text = " ".join("".join(self._pieces).split())
        if text:
            before = self.report.sections.get(self._section)
            self.report.sections[self._section] = f"{before} {text}" if before else text
        self._section = None
