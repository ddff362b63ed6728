"""The lines of a manifest file as flat rows of text: JSONL or CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from fedmrg_secure.data.errors import BadRow, DataError, ManifestUnreadable


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
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    bad: list[tuple[int, DataError]] = []
    header: list[str] = []
    begin = 1
    try:
        for fields in reader:
            line, begin = begin, reader.line_num + 1
            if not header:
                header = [name.strip() for name in fields]
            elif fields and len(fields) != len(header):
                what = f"has {len(fields)} fields, the header {len(header)}"
                bad.append((line, _bad_row(path, line, what)))
            elif fields:
                rows.append(Row(line, dict(zip(header, fields, strict=True))))
    except csv.Error as error:
        raise ManifestUnreadable(
            f"{path.name} is not valid CSV: {error}", location=f"{path}:{begin}"
        ) from error
    if len(header) < 2 or len(set(header)) != len(header):
        raise ManifestUnreadable(
            f"{path.name} has no header of different column names", location=f"{path}:1"
        )
    return rows, bad


def _bad_row(path: Path, line: int, what: str) -> BadRow:
    return BadRow(f"the line {what}", location=f"{path}:{line}")


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
