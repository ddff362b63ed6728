"""A run's YAML file as a `RunConfig`, and back; other files by a model of their own.

Paths in a configuration are kept as given: a relative path means relative to the directory in which
the command is started.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.config_checks import Finding, check_config
from fedmrg_secure.core.config_errors import (
    DoesNotFit,
    KeyPath,
    dotted,
    entry_at,
    intended_key,
    translate,
)
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError, InputError
from fedmrg_secure.core.yaml_tree import Entry, YamlSyntax, ambiguity, read_text, resolve_plain

Model = TypeVar("Model", bound=BaseModel)


class ConfigNotReadable(InputError):
    """There is no such file, or it is not text."""

    code: ClassVar[str] = "FMRG-1001"


class BadOverride(InputError):
    """A ``--set`` that is not KEY=VALUE."""

    code: ClassVar[str] = "FMRG-1012"


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a configuration with a value that stands in another file.

    Args:
        key: dotted, such as ``training.rounds``.
        value: with its place there, which is where mistakes are then shown.
    """

    key: str
    value: Entry


def load_run_config(
    path: str | Path, overrides: Sequence[str] = (), changes: Sequence[Change] = ()
) -> RunConfig:
    """Read, check and freeze the configuration of a run.

    Args:
        path: the YAML file.
        overrides: ``a.b=c`` each, later ones win; the value is YAML (``[a, b]``, ``1e-3``, text).
        changes: made after the overrides.

    Raises:
        ErrorGroup: every mistake of the file and the overrides, each with its place and a hint.
    """
    root, errors = _read_tree(path, overrides)
    for change in changes:
        try:
            root = _replace(root, change.key, change.value, change.value.key_at)
        except BadOverride as error:
            errors.append(error)
    config, wrong = _validate(root, RunConfig, check_config)
    if config is None or errors:
        raise ErrorGroup(_report(errors, wrong))
    return config


def load_model(path: str | Path, schema: type[Model]) -> tuple[Model, Entry]:
    """Read and check a YAML file of another kind as strictly as a run's configuration.

    Args:
        path: the file.
        schema: what it must be.

    Returns:
        The content, and the tree that knows where everything stands.

    Raises:
        ErrorGroup: every mistake of the file, each with its place and a hint.
    """
    root, errors = _read_tree(path, ())
    content, wrong = _validate(root, schema, lambda _: ())
    if content is None or errors:
        raise ErrorGroup(_report(errors, wrong))
    return content, root


def place_of(path: str | Path, overrides: Sequence[str], key: KeyPath) -> str:
    """Where a key's value stands, as ``file:line:column`` or ``--set key``.

    Args:
        path, overrides: as `load_run_config` has accepted them.
        key: for example ``("federation", "min_sites")``.

    Returns:
        The place of the nearest section above where the key itself is left to its default.
    """
    root, _ = _read_tree(path, overrides)
    entry, present = entry_at(root, key)
    return entry.at if present else entry.key_at


def dump_run_config(config: RunConfig) -> str:
    """The configuration as YAML with every default written out; loads back equal."""
    return yaml.dump(
        config.model_dump(mode="json"),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our own reader would take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    clear = text.isprintable() and resolve_plain(text) == text and not ambiguity(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if clear else '"')


_Dumper.add_representer(str, _represent_text)


def _read_tree(path: str | Path, overrides: Sequence[str]) -> tuple[Entry, list[FedmrgError]]:
    """The file with its overrides, and what was refused of either."""
    name = str(path)
    try:
        root, errors = read_text(_read_file(path), name)
    except InputError as error:
        raise ErrorGroup([error]) from None
    if root.value is None:
        root = Entry({}, f"{name}:1:1", f"{name}:1:1")
    for override in overrides:
        try:
            root, more = _override(root, override)
            errors.extend(more)
        except InputError as error:
            errors.append(error)
    return root, errors


def _read_file(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigNotReadable(
            f"this is not UTF-8 text (byte {error.start})",
            hint="save it as UTF-8",
            location=str(path),
        ) from None
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise ConfigNotReadable(reason, hint="check the path", location=str(path)) from None


def _override(root: Entry, override: str) -> tuple[Entry, list[FedmrgError]]:
    """The tree with one key replaced; sections on the way are made when absent."""
    key, equals, text = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)*", key):
        raise BadOverride(
            f"{override!r} is not KEY=VALUE",
            hint="for example --set training.rounds=2",
            location="--set",
        )
    place = f"--set {key}"
    try:
        value, errors = read_text(text, place, fixed_place=True)
    except YamlSyntax as error:
        raise BadOverride(
            f"the value of {key} is not YAML: {error.message}",
            hint="quote text that holds ':', '#', '[' or '{'",
            location=place,
        ) from None
    return _replace(root, key, value, place), errors


def _replace(root: Entry, key: str, value: Entry, place: str) -> Entry:
    """The tree with the value of a dotted key; `place` is said of sections made on the way."""

    def below(entry: Entry, keys: Sequence[str]) -> Entry:
        if not keys:
            return value
        if entry.value is not None and not isinstance(entry.value, dict):
            raise BadOverride(
                f"{key} goes through a key that holds no section",
                hint=f"{entry.at} holds {entry.raw or 'a list'}",
                location=place,
            )
        children = dict(entry.value or {})
        child = children.get(keys[0], Entry({}, place, place))
        children[keys[0]] = below(child, keys[1:])
        return Entry(children, entry.at, entry.key_at)

    return below(root, key.split("."))


def _validate(
    root: Entry, schema: type[Model], check: Callable[[Model], Sequence[Finding]]
) -> tuple[Model | None, list[InputError]]:
    """The content, or all its errors.

    A model's own checks wait until its fields are sound, and checks between sections until all
    sections are. So what was found wrong is mended or taken out and the rest is looked at again:
    one call shows what a person would otherwise find in three.
    """
    errors: list[InputError] = []
    settled: set[KeyPath] = set()
    while True:
        content, found = _attempt(root, schema)
        fresh = {path: error for path, error in found.items() if not _covers(settled, path)}
        errors.extend(fresh.values())
        if content is not None:
            findings = [each for each in check(content) if not _covers(settled, each.path)]
            errors.extend(_located(finding, root) for finding in findings)
            return (None if errors else content), errors
        if not fresh or () in fresh:
            return None, errors
        for path in fresh:
            key = tuple(itertools.takewhile(lambda part: isinstance(part, str), path))
            # Of what a list holds the whole list is taken out.
            meant = intended_key(path, root, schema) if key == path else ""
            if not meant:
                settled.add(key)
            root = _mended(root, key, meant)


def _attempt(root: Entry, schema: type[Model]) -> tuple[Model | None, dict[KeyPath, InputError]]:
    try:
        # Strict JSON mode: no text for a number, no 1 for true, but lists for tuples.
        return schema.model_validate_json(json.dumps(root.plain()), strict=True), {}
    except ValidationError as failure:
        return None, translate(failure.errors(include_url=False), root, schema)


def _covers(settled: set[KeyPath], path: KeyPath) -> bool:
    return any(path[:length] in settled for length in range(len(path) + 1))


def _mended(entry: Entry, keys: KeyPath, new_name: str) -> Entry:
    """The tree with one key renamed, or taken out where `new_name` is empty."""
    if not keys or not isinstance(entry.value, dict) or keys[0] not in entry.value:
        return entry
    children = dict(entry.value)
    child = children.pop(str(keys[0]))
    if len(keys) > 1:
        children[str(keys[0])] = _mended(child, keys[1:], new_name)
    elif new_name:
        children[new_name] = child
    return replace(entry, value=children)


def _located(finding: Finding, root: Entry) -> DoesNotFit:
    entry, present = entry_at(root, finding.path)
    location = entry.at if present else entry.key_at
    message = f"{dotted(finding.path)} {finding.message}"
    return DoesNotFit(message, hint=finding.hint, location=location)


def _report(refused: Sequence[FedmrgError], wrong: Sequence[InputError]) -> list[FedmrgError]:
    """All errors in the order of the file, overrides last; one for each place and cause."""
    places = {error.location for error in refused}
    errors = [*refused, *(error for error in wrong if error.location not in places)]
    return sorted(errors, key=place_order)


def place_order(error: FedmrgError) -> tuple[int, int, int]:
    """To sort errors of one file by: line and column, those without a place last."""
    found = re.search(r":(\d+):(\d+)$", error.location)
    return (0, int(found[1]), int(found[2])) if found else (1, 0, 0)
