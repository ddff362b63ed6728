"""Pydantic's errors in our words: one error per mistake, with the place of the key to change."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.yaml_tree import Entry

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the root, e.g. ``("federation", "sites", 1)``."""


class UnknownKey(InputError):
    """A key that no section knows."""

    code: ClassVar[str] = "FMRG-1004"


class MissingKey(InputError):
    """A key without a default is absent."""

    code: ClassVar[str] = "FMRG-1005"


class WrongType(InputError):
    """A value of another kind than the key takes."""

    code: ClassVar[str] = "FMRG-1006"


class OutOfRange(InputError):
    """A value of the right kind that is too large, too small or malformed."""

    code: ClassVar[str] = "FMRG-1007"


class NotAChoice(InputError):
    """A value outside a fixed list."""

    code: ClassVar[str] = "FMRG-1008"


class DoesNotFit(InputError):
    """Values that are fine alone and wrong together."""

    code: ClassVar[str] = "FMRG-1011"


_KINDS: Mapping[str, str] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a section of keys and values",
    "model_type": "a section of keys and values",
    "model_attributes_type": "a section of keys and values",
}

_ONLY_ADDS = "the coordinator adds ciphertexts and can do nothing else"
_WHY_NOT: Mapping[str, Mapping[str, str]] = {
    "update.factorization": {
        "lora_both": "the mean of products B A is not the product of the means of B and of A, and "
        + _ONLY_ADDS,
        "fedex": "it has the server multiply every site's B by its A to find what their means "
        "miss, but " + _ONLY_ADDS,
        "flora": "it has the server stack all sites' factors side by side, but " + _ONLY_ADDS,
    }
}
"""Choices that a reader of the literature may ask for, and why there is no such choice."""

_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def path_of(error: ErrorDetails, root: Entry) -> KeyPath:
    """The keys of the file that an error speaks of.

    Pydantic's own location also names members of unions, which no file holds: they are left out.
    """
    path: list[str | int] = []
    entry: Entry | None = root
    location = error["loc"]
    for index, part in enumerate(location):
        child = _child(entry, part)
        if child is not None:
            path.append(part)
            entry = child
        elif error["type"] == "missing" and index == len(location) - 1:
            path.append(part)
    if error["type"].startswith("union_tag"):
        path.append(str(error["ctx"]["discriminator"]).strip("'"))
    return tuple(path)


def entry_at(root: Entry, path: KeyPath) -> tuple[Entry, bool]:
    """The entry at a path and whether it is there; else the nearest section above it."""
    entry = root
    for part in path:
        child = _child(entry, part)
        if child is None:
            return entry, False
        entry = child
    return entry, True


def translate(
    errors: Sequence[ErrorDetails], root: Entry, schema: type[BaseModel] = RunConfig
) -> dict[KeyPath, InputError]:
    """Our errors for pydantic's, one for each key, in pydantic's order."""
    by_path: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        by_path.setdefault(path_of(error, root), []).append(error)
    translated = {path: _one(path, group, root, schema) for path, group in by_path.items()}
    # A misspelt required key is one mistake, not an unknown key and a missing one.
    meant = {(*path[:-1], intended_key(path, root, schema)) for path in translated if path}
    return {
        path: error
        for path, error in translated.items()
        if not (isinstance(error, MissingKey) and path in meant)
    }


def intended_key(path: KeyPath, root: Entry, schema: type[BaseModel] = RunConfig) -> str:
    """The absent sibling that an unknown key most likely stands for; empty when there is none."""
    section = _section(path[:-1], root, schema)
    above, _ = entry_at(root, path[:-1])
    if section is None or path[-1] in section.model_fields or not isinstance(above.value, dict):
        return ""
    absent = [name for name in section.model_fields if name not in above.value]
    near = difflib.get_close_matches(str(path[-1]), absent, n=1)
    return near[0] if near else ""


def _one(
    path: KeyPath, group: Sequence[ErrorDetails], root: Entry, schema: type[BaseModel]
) -> InputError:
    error = group[0]
    kind, context = error["type"], error.get("ctx", {})
    entry, present = entry_at(root, path)
    name = dotted(path)
    got = f", got {_shown(entry)}" if present else ""
    if len(group) > 1:
        # One value that fits no member of a union: say all of what would fit.
        wanted = " or ".join(_wanted(each) for each in group)
        return WrongType(f"{name} must be {wanted}{got}", location=entry.at)
    if kind == "extra_forbidden":
        return UnknownKey(
            f"{name} is not a known key", hint=_known(path, root, schema), location=entry.key_at
        )
    if kind == "missing" or (kind.startswith("union_tag") and not present):
        hint = _describe(path, root, schema)
        return MissingKey(f"{name} is missing", hint=hint, location=entry.key_at)
    if kind in {"literal_error", "union_tag_invalid"}:
        expected = str(context.get("expected") or context.get("expected_tags"))
        reason = _WHY_NOT.get(name, {}).get(str(entry.value))
        if reason is not None:
            message = f"{name} cannot be {entry.value!r}: {reason}"
            return NotAChoice(message, hint=f"choose {expected}", location=entry.at)
        hint = did_you_mean(str(entry.value), re.findall(r"'([^']*)'", expected))
        return NotAChoice(f"{name} must be {expected}{got}", hint=hint, location=entry.at)
    if kind in _KINDS:
        hint = 'write it in quotes: "..."' if kind == "string_type" and entry.raw else ""
        if entry.value is None:
            hint = "remove the key, or give it a value"
        return WrongType(f"{name} must be {_KINDS[kind]}{got}", hint=hint, location=entry.at)
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        message = f"{name} must be {word} {context[key]:g}{got}"
        return OutOfRange(message, hint=_describe(path, root, schema), location=entry.at)
    if kind in {"too_short", "string_too_short"}:
        return OutOfRange(f"{name} must not be empty", location=entry.at)
    if kind == "string_pattern_mismatch":
        return OutOfRange(
            f"{name} must match {context['pattern']}{got}",
            hint=_describe(path, root, schema),
            location=entry.at,
        )
    message, _, hint = str(error["msg"]).removeprefix("Value error, ").partition(": ")
    return DoesNotFit(
        f"{name}: {message}", hint=hint, location=entry.at if present else entry.key_at
    )


def dotted(path: KeyPath) -> str:
    """``("federation", "sites", 1)`` as ``federation.sites[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def all_keys() -> list[str]:
    """Every key that a configuration may hold, dotted: ``training``, ``training.rounds``..."""
    return list(_keys_below(RunConfig, ""))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``did you mean ...?`` for the nearest of the known words; empty when none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def _child(entry: Entry | None, part: str | int) -> Entry | None:
    if entry is None:
        return None
    if isinstance(entry.value, dict) and isinstance(part, str):
        return entry.value.get(part)
    if isinstance(entry.value, list) and isinstance(part, int) and part < len(entry.value):
        return entry.value[part]
    return None


def _shown(entry: Entry) -> str:
    if isinstance(entry.value, dict):
        return "a section"
    if isinstance(entry.value, list):
        return "a list"
    if entry.value is None:
        return "nothing"
    return repr(entry.value) if isinstance(entry.value, str) else entry.raw


def _wanted(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        return str(error.get("ctx", {})["expected"])
    return _KINDS.get(error["type"], str(error["msg"]))


def _known(path: KeyPath, root: Entry, schema: type[BaseModel]) -> str:
    """What an unknown key may have meant: a sibling, or the same word in another section."""
    section = _section(path[:-1], root, schema)
    word = str(path[-1])
    here = did_you_mean(word, list(section.model_fields)) if section else ""
    if here:
        return here
    for each in _keys_below(schema, ""):
        if each.rpartition(".")[2] == word:
            return f"did you mean {each}?"
    keys = ", ".join(section.model_fields) if section else ""
    return f"known keys here: {keys}" if keys else ""


def _describe(path: KeyPath, root: Entry, schema: type[BaseModel]) -> str:
    section = _section(path[:-1], root, schema)
    found = section.model_fields.get(str(path[-1])) if section else None
    return found.description or "" if found else ""


def _section(path: KeyPath, root: Entry, schema: type[BaseModel]) -> type[BaseModel] | None:
    """The model of the section at a path; of a tagged union the one whose tag the file names."""
    model = schema
    entry: Entry | None = root
    for part in path:
        found = model.model_fields.get(str(part))
        entry = _child(entry, part)
        if found is None:
            continue  # a key or a place of a container: what it holds is the model already
        members = list(_models(found.annotation))
        if not members:
            return None
        tag = _child(entry, "source")
        chosen = [each for each in members if tag and _tag(each) == tag.value]
        model = (chosen or members)[0]
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _tag(model: type[BaseModel]) -> str:
    source = model.model_fields.get("source")
    arguments = typing.get_args(source.annotation) if source else ()
    return str(arguments[0]) if arguments else ""


def _keys_below(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, found in model.model_fields.items():
        yield prefix + name
        for member in _models(found.annotation):
            yield from _keys_below(member, f"{prefix}{name}.")
