"""Reports as their sources hold them: text at hand, or a file of sections under headings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fedmrg_secure.core.config import ReportSection
from fedmrg_secure.data.errors import DataError, ReportUnreadable, SectionMissing

MAX_REPORT_BYTES: Final = 2**20
"""The longest reports have a few dozen kilobytes, XML included."""

_HEADING: Final = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ,/&()'.-]{2,60}):", re.MULTILINE)
_TITLES: Final[dict[ReportSection, re.Pattern[str]]] = {
    "findings": re.compile(r"FINDINGS?\b"),
    "impression": re.compile(r"(?:IMPRESSIONS?|CONCLUSIONS?)\b"),
}


class ReportSource(Protocol):
    """Where a record's reference report comes from."""

    def read(self) -> str:
        """The report, not empty; raises `DataError` where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class GivenReport:
    """A report that its listing holds."""

    text: str

    def read(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report in a text file, of which some sections are wanted.

    Attributes:
        path: the file, resolved.
        sections: what is wanted, in the order wanted.
    """

    path: Path
    sections: tuple[ReportSection, ...]

    def read(self) -> str:
        """The wanted sections; see `find_sections` and `join_sections`.

        Raises:
            ReportUnreadable, SectionMissing: with the file as place.
        """
        try:
            return join_sections(find_sections(read_report_text(self.path)), self.sections)
        except DataError as error:
            error.location = str(self.path)
            raise


def read_report_text(path: Path) -> str:
    """The text of a small UTF-8 file.

    Raises:
        ReportUnreadable: more than `MAX_REPORT_BYTES`, not UTF-8, or it cannot be opened.
    """
    try:
        return read_report_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReportUnreadable(f"{path.name} is not UTF-8", hint="save it as UTF-8") from error


def read_report_bytes(path: Path) -> bytes:
    """The bytes of a file of at most `MAX_REPORT_BYTES`; raises `ReportUnreadable`."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_REPORT_BYTES + 1)
    except OSError as error:
        raise ReportUnreadable(f"{path.name} cannot be opened: {error.strerror}") from error
    if len(content) > MAX_REPORT_BYTES:
        raise ReportUnreadable(
            f"{path.name} is larger than {MAX_REPORT_BYTES // 2**10} KiB", hint="is it a report?"
        )
    return content


def find_sections(text: str) -> dict[ReportSection, str]:
    """The findings and the impression of a free-text report.

    A heading is what stands in capitals before a colon at the beginning of a line; its section
    ends at the next heading or the end of the text. ``FINDINGS`` and whatever begins so (``FINDINGS
    AND IMPRESSION``) give the findings, ``IMPRESSION`` and ``CONCLUSION`` the impression; sections
    that occur several times are joined. Line breaks and runs of blanks become single blanks.
    """
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings), len(text)][1:]
    found: dict[ReportSection, list[str]] = {}
    for heading, end in zip(headings, ends, strict=True):
        body = " ".join(text[heading.end() : end].split())
        for name, title in _TITLES.items():
            if body and title.match(heading[1]):
                found.setdefault(name, []).append(body)
    return {name: " ".join(bodies) for name, bodies in found.items()}


def join_sections(found: dict[ReportSection, str], wanted: Sequence[ReportSection]) -> str:
    """The wanted sections that are there, one a line, in the order wanted.

    Raises:
        SectionMissing: none of them is there.
    """
    parts = [found[name] for name in wanted if found.get(name)]
    if not parts:
        raise SectionMissing(
            f"the report has no {' and no '.join(wanted)}",
            hint="set data.sections, or leave such studies out with data.on_error: skip",
        )
    return "\n".join(parts)
