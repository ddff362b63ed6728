"""Reading JSON that somebody may have edited: every field is checked, and an error says where."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure.core.errors import InputError

_MISSING: Final = object()


class RunFileInvalid(InputError):
    """A file of a run folder does not have the form that the runner writes."""

    code: ClassVar[str] = "FMRG-6501"


class Fields:
    """One JSON object and where it stands.

    Args:
        value: the decoded JSON; anything but an object is refused.
        where: ``file`` or ``file:line``, for messages.
        path: dotted position inside the file, for messages; empty at the top.

    Raises:
        RunFileInvalid: from every method, when a value is absent or not of the asked kind.
    """

    def __init__(self, value: object, where: str, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise RunFileInvalid(f"{path or 'the content'} is not a JSON object", location=where)
        self._value: Mapping[str, Any] = value
        self._where = where
        self._path = path

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "text", value)
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """An integer >= 0."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(key, "an integer of at least 0", value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite real number."""
        value = self._get(key, default)
        if not _is_real(value):
            raise self._wrong(key, "a finite number", value)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in choices:
            raise self._wrong(key, "one of " + ", ".join(choices), value)
        return value

    def numbers(self, key: str) -> dict[str, float]:
        """An object of finite numbers; null and not-finite values are left out; absent: empty."""
        if key not in self:
            return {}
        content = self.section(key)
        return {name: content.number(name) for name in content if name in content}

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts; absent: empty."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of texts", value)
        return tuple(value)

    def section(self, key: str) -> Fields:
        path = f"{self._path}.{key}" if self._path else key
        return Fields(self._get(key, _MISSING), self._where, path)

    def sections(self, key: str) -> dict[str, Fields]:
        """An object of objects; absent: empty."""
        if key not in self:
            return {}
        content = self.section(key)
        return {name: content.section(name) for name in content}

    def rows(self, key: str) -> tuple[Fields, ...]:
        """A list of objects; absent: empty."""
        value = self._get(key, [])
        if not isinstance(value, list):
            raise self._wrong(key, "a list of objects", value)
        return tuple(
            Fields(item, self._where, f"{self._name(key)}[{at}]") for at, item in enumerate(value)
        )

    def mapping(self, key: str) -> Mapping[str, Any]:
        """An object as it stands, for a reader with checks of its own."""
        return self.section(key)._value

    def is_object(self, key: str) -> bool:
        return isinstance(self._value.get(key), Mapping)

    def scalars(self, key: str) -> dict[str, str]:
        """The texts, numbers and flags of an object as text, nested ones as ``outer.inner``.

        Lists are left out; absent: empty.
        """
        return self.section(key).flat() if key in self else {}

    def flat(self) -> dict[str, str]:
        """As `scalars`, of this object."""
        result: dict[str, str] = {}
        for name, item in self._value.items():
            if self.is_object(name):
                result |= {f"{name}.{inner}": text for inner, text in self.scalars(name).items()}
            elif isinstance(item, str | int | float):
                result[str(name)] = _scalar(item)
        return result

    def _get(self, key: str, default: object) -> Any:
        value = self._value.get(key)
        if value is None:
            value = default
        if value is None or value is _MISSING:
            raise RunFileInvalid(f"{self._name(key)} is missing", location=self._where)
        return value

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _wrong(self, key: str, expected: str, value: object) -> RunFileInvalid:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return RunFileInvalid(
            f"{self._name(key)} must be {expected}, got {shown}", location=self._where
        )


def parse_json(text: str, where: str) -> Any:
    """Decode JSON; NaN and infinities, which JSON does not know, become null.

    Raises:
        RunFileInvalid: not JSON.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise RunFileInvalid(f"not valid JSON: {error}", location=where) from error


def read_text(path: Path) -> str:
    """The file as UTF-8 text.

    Raises:
        RunFileInvalid: it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunFileInvalid("not UTF-8 text", location=str(path)) from error


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _scalar(value: str | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
