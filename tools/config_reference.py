"""Writes docs/configuration.md from the configuration models; with --check only compares."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.types import CHEXPERT_CLASSES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

One YAML file describes a run. `fedmrg validate FILE` checks it and shows what it will cost;
`--set section.key=VALUE` overrides a key of any command that takes a file. Unknown keys, keys
given twice, and plain values that YAML readers disagree about (`yes`, `010`, `1_000`) are refused;
numbers may be written as `1e-5`. A relative path means relative to the directory in which the
command is started. `data` has the keys of the source that `data.source` names.

This page is written by `make docs` from the models in `core/config.py`; a test compares it.
"""

_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}


def page() -> str:
    """The text of docs/configuration.md."""
    # Two sources of data have the same splits: said once.
    return HEAD + "".join(dict.fromkeys(_sections("", RunConfig)))


def _sections(path: str, model: type[BaseModel]) -> Iterator[str]:
    text, below = _section(path, model)
    yield text
    for below_path, section in below:
        yield from _sections(below_path, section)


def _section(path: str, model: type[BaseModel]) -> tuple[str, list[tuple[str, type[BaseModel]]]]:
    """A section's text, and the sections below it with their paths."""
    source = model.model_fields.get("source")
    title = f"`{path}`" if path else "The file"
    if source:
        title += f" with `source: {typing.get_args(source.annotation)[0]}`"
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    below: list[tuple[str, type[BaseModel]]] = []
    for name, found in model.model_fields.items():
        sections = list(_models(found.annotation))
        below += [(f"{path}.{name}".strip("."), section) for section in sections]
        kind = "a section, see below" if sections else _kind(found.annotation)
        default = "" if sections else _default(found)
        if sections and found.is_required():
            default = "**required**"
        bounds = _bounds(found)
        meaning = found.description or ""
        rows.append(f"| `{name}` | {kind}{bounds} | {default} | {meaning} |")
    return f"\n## {title}\n\n{_purpose(model)}\n\n" + "\n".join(rows) + "\n", below


def _purpose(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _kind(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "nothing"
    if origin is typing.Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(each) for each in arguments)
    if origin in (list, tuple):
        return "list of texts" if arguments[0] is str else f"list of {_kind(arguments[0])}"
    if origin is dict:
        value = arguments[1]
        return "keys with lists of texts" if value not in _NAMES else f"keys with {_NAMES[value]}s"
    return _NAMES[annotation]


def _default(found: FieldInfo) -> str:
    if found.is_required():
        return "**required**"
    value = found.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if value is None or value == {}:
        return "none"
    if value == CHEXPERT_CLASSES:
        return "the 14 of CheXpert"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(value)}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(found: FieldInfo) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    parts = [
        f"{word} {getattr(each, name):,}"
        for each in found.metadata
        for name, word in words.items()
        if getattr(each, name, None) is not None
    ]
    parts += ["not empty" for each in found.metadata if getattr(each, "min_length", None)]
    return f", {' and '.join(parts)}" if parts else ""


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/configuration.md is not what the models say: run make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
