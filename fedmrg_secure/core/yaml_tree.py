"""A YAML text as a tree that remembers where everything stands.

A strict and small part of YAML: mappings with text keys, lists, and scalars read by the core schema
of YAML 1.2, so that ``1e-5`` is a number and ``no`` is not quietly false. What readers of YAML
disagree about (duplicate keys, anchors, tags, ``yes``, ``010``) is refused with its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

import yaml

from fedmrg_secure.core.errors import FedmrgError, InputError

Scalar = None | bool | int | float | str

MAX_TEXT_CHARACTERS: Final = 1 << 20
"""A configuration is written by people: longer texts are refused before they are parsed."""

MAX_DEPTH: Final = 32
"""Levels of sections and lists within each other."""


class YamlSyntax(InputError):
    """The text is not YAML."""

    code: ClassVar[str] = "FMRG-1002"


class DuplicateKey(InputError):
    """One mapping holds the same key twice."""

    code: ClassVar[str] = "FMRG-1003"


class YamlNotSupported(InputError):
    """A part of YAML that this reader leaves out on purpose."""

    code: ClassVar[str] = "FMRG-1010"


class AmbiguousScalar(InputError):
    """A plain scalar that YAML 1.1 and 1.2 read differently."""

    code: ClassVar[str] = "FMRG-1009"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value with its place.

    Args:
        value: a scalar, a list of entries or a mapping from key to entry.
        at: where the value begins, as ``file:line:column`` or ``--set key``.
        key_at: where its key begins; equals `at` for list items and the root.
        raw: a scalar as it was written; empty for lists and mappings.
    """

    value: Scalar | list[Entry] | dict[str, Entry]
    at: str
    key_at: str
    raw: str = ""

    def plain(self) -> object:
        """The value without places, as JSON would hold it."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        return self.value


@dataclass(slots=True)
class _Reader:
    """Turns a node tree into entries; gathers what it has to refuse."""

    source: str
    fixed_place: bool
    errors: list[FedmrgError] = field(default_factory=list)

    def place(self, mark: yaml.Mark) -> str:
        if self.fixed_place:
            return self.source
        return f"{self.source}:{mark.line + 1}:{mark.column + 1}"

    def read(self, node: yaml.Node, key_at: str | None = None) -> Entry:
        at = self.place(node.start_mark)
        here = key_at or at
        if isinstance(node, yaml.MappingNode):
            return Entry(self._mapping(node), at, here)
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.read(item) for item in node.value], at, here)
        text = str(node.value)
        if not isinstance(node, yaml.ScalarNode) or node.style is not None:
            return Entry(text, at, here, raw=text)
        return Entry(self._plain_scalar(text, at), at, here, raw=text)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key_at = self.place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.errors.append(YamlNotSupported("a key must be plain text", location=key_at))
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                hint = "write the keys out in each section"
                self.errors.append(
                    YamlNotSupported("merge keys (<<) are not read", hint=hint, location=key_at)
                )
                continue
            if key in entries:
                first = entries[key].key_at.removeprefix(f"{self.source}:")
                self.errors.append(
                    DuplicateKey(
                        f"{key} is given twice",
                        hint=f"the first is at {first}; keep one of them",
                        location=key_at,
                    )
                )
                continue
            entries[key] = self.read(value_node, key_at)
        return entries

    def _plain_scalar(self, text: str, at: str) -> Scalar:
        hint = ambiguity(text)
        if hint:
            message = f"{text} can be read in two ways"
            if _NOT_FINITE.fullmatch(text):
                message = f"{text} is not a finite number"
            self.errors.append(AmbiguousScalar(message, hint=hint, location=at))
        return resolve_plain(text)


_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_OLD_BOOLEANS: Final = frozenset({"yes", "no", "on", "off", "y", "n"})
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,300})")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9_]+")
_OTHER_BASE: Final = re.compile(r"[-+]?0[xob][0-9A-Fa-f_]+")
_UNDERSCORES: Final = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_.]*([eE][-+]?[0-9]+)?")
_BASE_SIXTY: Final = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def ambiguity(text: str) -> str:
    """Why a plain scalar is refused, as a hint; empty if it is clear."""
    quoted = f'for the text write "{text}" in quotes'
    if text.lower() in _OLD_BOOLEANS:
        meaning = "true" if text.lower() in {"yes", "on", "y"} else "false"
        return f"for the truth value write {meaning}, {quoted}"
    if _LEADING_ZERO.fullmatch(text):
        return f"for the number leave the leading zeros out, {quoted}"
    if _OTHER_BASE.fullmatch(text):
        return f"for the number write it in decimal, {quoted}"
    if _UNDERSCORES.fullmatch(text):
        return f"for the number leave the underscores out, {quoted}"
    if _BASE_SIXTY.fullmatch(text):
        return f"YAML 1.1 reads this in base sixty; {quoted}"
    if _NOT_FINITE.fullmatch(text):
        return quoted
    return ""


def resolve_plain(text: str) -> Scalar:
    """A plain (unquoted) scalar by YAML 1.2's core schema, decimal and finite numbers only."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
        number = float(text)
        return number if number not in (float("inf"), float("-inf")) else text
    return text


def read_text(
    text: str, source: str, *, fixed_place: bool = False
) -> tuple[Entry, list[FedmrgError]]:
    """Read one YAML document.

    Args:
        text: the document.
        source: what to call it in places: the file's path, or ``--set key``.
        fixed_place: say `source` alone, without line and column.

    Returns:
        The root and everything refused on the way; of a duplicate key the first value stays.

    Raises:
        YamlSyntax: the text cannot be parsed at all; with the place of the first mistake.
    """
    reader = _Reader(source, fixed_place)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise YamlSyntax(
            f"the text has {len(text):,} characters, above {MAX_TEXT_CHARACTERS:,}", location=source
        )
    try:
        reader.errors.extend(_refused_tokens(text, reader))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return Entry(None, source, source), reader.errors
        return reader.read(node), reader.errors
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, reader) from None
    except yaml.reader.ReaderError as error:
        raise YamlSyntax(
            f"the character U+{int(error.character):04X} has no place in YAML", location=source
        ) from None


_OPENING: Final = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING: Final = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def _refused_tokens(text: str, reader: _Reader) -> list[FedmrgError]:
    names = {
        yaml.AnchorToken: "anchors (&name) are not read",
        yaml.AliasToken: "aliases (*name) are not read",
        yaml.TagToken: "tags (!name) are not read",
        yaml.DirectiveToken: "directives (%NAME) are not read",
    }
    hints = {yaml.AnchorToken: "write the value out", yaml.AliasToken: "write the value out"}
    refused: list[FedmrgError] = []
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        kind, place = type(token), reader.place(token.start_mark)
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise YamlSyntax("the text is nested too deeply", location=place)
        if kind in names:
            hint = hints.get(kind, "leave it out")
            refused.append(YamlNotSupported(names[kind], hint=hint, location=place))
    return refused


def _syntax_error(error: yaml.MarkedYAMLError, text: str, reader: _Reader) -> YamlSyntax:
    mark = error.problem_mark or error.context_mark
    location = reader.place(mark) if mark else reader.source
    problem = error.problem or "this is not YAML"
    hint = error.context or ""
    line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return YamlSyntax("a tab is used for indentation", hint="use spaces", location=location)
    if "another document" in problem:
        return YamlSyntax(
            "the file holds more than one document", hint="keep one, without ---", location=location
        )
    if "mapping values are not allowed" in problem:
        problem, hint = (
            "a ':' stands where no key can be",
            "check the indentation, or quote the value",
        )
    return YamlSyntax(problem, hint=hint, location=location)
