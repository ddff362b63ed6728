"""The lines of a listing as flat rows of text: JSONL or CSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmrg_secure.data.errors import BadRow, DataError, ManifestUnreadable, MissingColumn

_LONGEST_LINE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One record as the file has it; `line` counts from 1 as an editor does."""

    line: int
    values: dict[str, str]


def read_rows(path: Path) -> tuple[list[Row], list[tuple[int, DataError]]]:
    """All rows of a file and, by line, what is wrong with the others.

    A file named ``.csv`` is CSV with a header, any other is JSONL. Values that are no text are
    turned into it; JSON null is an empty text.

    Raises:
        ManifestUnreadable: the file is missing, not UTF-8, or a CSV without a header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(
            f"{path.name} is not UTF-8", hint="save it as UTF-8", location=str(path)
        ) from error
    except OSError as error:
        raise ManifestUnreadable(
            f"the manifest {path.name} cannot be read: {error.strerror}",
            hint="check data.root and data.manifest",
            location=str(path),
        ) from error
    return _read_csv(path, text) if path.suffix.lower() == ".csv" else _read_jsonl(path, text)


def _read_jsonl(path: Path, text: str) -> tuple[list[Row], list[tuple[int, DataError]]]:
    rows: list[Row] = []
    bad: list[tuple[int, DataError]] = []
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        try:
            value = json.loads(source)
        except (ValueError, RecursionError):
            bad.append((line, _bad_row(path, line, "is not valid JSON")))
            continue
        if not isinstance(value, dict):
            bad.append((line, _bad_row(path, line, "is not a JSON object")))
            continue
        rows.append(Row(line, {str(key): _text(item) for key, item in value.items()}))
    return rows, bad


def _read_csv(path: Path, text: str) -> tuple[list[Row], list[tuple[int, DataError]]]:
    rows: list[Row] = []
    bad: list[tuple[int, DataError]] = []
    for line, found in _csv_rows(path, io.StringIO(text, newline="")):
        if isinstance(found, Row):
            rows.append(found)
        else:
            bad.append((line, found))
    return rows, bad


def stream_csv(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, Row | DataError]]:
    """The rows of a large CSV file with a header, ``.gz`` or plain, one after the other.

    Args:
        path: the file.
        columns: that its header must have.

    Yields:
        The line, and its row or what is wrong with it.

    Raises:
        ManifestUnreadable: the file is missing, not UTF-8, damaged, or has no header.
        MissingColumn: the header lacks one of `columns`.
    """
    try:
        packed = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
        with packed, io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as stream:
            # A line without end must not fill the memory: its pieces are rows that do not fit.
            lines = iter(lambda: stream.readline(_LONGEST_LINE), "")
            yield from _csv_rows(path, lines, tuple(columns))
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(f"{path.name} is not UTF-8", location=str(path)) from error
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestUnreadable(
            f"the table {path.name} cannot be read to its end",
            hint="copy it again from its source",
            location=str(path),
        ) from error


def _csv_rows(
    path: Path, stream: Iterable[str], columns: tuple[str, ...] = ()
) -> Iterator[tuple[int, Row | DataError]]:
    reader = csv.reader(stream, strict=True)
    header: list[str] = []
    begin = 1
    try:
        for fields in reader:
            line, begin = begin, reader.line_num + 1
            if not header:
                header = _header(path, fields, columns)
            elif fields and len(fields) != len(header):
                what = f"has {len(fields)} fields, the header {len(header)}"
                yield line, _bad_row(path, line, what)
            elif fields:
                yield line, Row(line, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise ManifestUnreadable(
            f"{path.name} is not valid CSV: {error}", location=f"{path}:{begin}"
        ) from error
    if not header:
        _header(path, [], columns)


def _header(path: Path, fields: list[str], columns: tuple[str, ...]) -> list[str]:
    header = [name.strip() for name in fields]
    if len(header) < 2 or len(set(header)) != len(header):
        raise ManifestUnreadable(
            f"{path.name} has no header of different column names", location=f"{path}:1"
        )
    missing = [name for name in columns if name not in header]
    if missing:
        raise MissingColumn(
            f"{path.name} has no column {', '.join(map(repr, missing))}",
            hint=f"it has {', '.join(header)}",
            location=f"{path}:1",
        )
    return header


def _bad_row(path: Path, line: int, what: str) -> BadRow:
    return BadRow(f"the line {what}", location=f"{path}:{line}")


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
