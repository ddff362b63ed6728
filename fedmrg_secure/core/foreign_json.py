"""JSON that somebody else wrote: read strictly, or refused with one clear error.

What `json.loads` lets through beside JSON (NaN, repeated keys, half a surrogate pair) and what
nobody signs (floats, integers beyond 2^53, deep nesting) is refused here, so that whatever comes
out can be encoded, hashed and walked without another thought.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, ClassVar, Final, NoReturn

from fedmrg_secure.core.errors import FedmrgError

LARGEST_INTEGER: Final = 2**53 - 1
"""Of either sign; beyond it RFC 8785 has no encoding."""

DEEPEST: Final = 32
"""Arrays and objects within each other; no file of ours has more than six."""


class JsonRefused(FedmrgError):
    """Bytes from somebody else are not JSON of the strict kind that is signed."""

    code: ClassVar[str] = "FMRG-0002"


def read_json(data: bytes) -> Any:
    """The value that UTF-8 JSON from anybody encodes.

    Args:
        data: bytes from anybody; the caller bounds their number.

    Returns:
        None, a bool, an integer of at most 53 bits and a sign, a string, a list or a dict.

    Guarantee:
        `canonical.canonical_json` encodes what is returned, and so does ``str.encode`` of every
        string in it.

    Raises:
        JsonRefused: not UTF-8 or not JSON; a float, NaN or infinity; an integer beyond 2^53 - 1;
            half a surrogate pair; a key twice in one object; more than `DEEPEST` levels. The
            message completes the sentence that begins with the name of a file.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_without_repeats,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_integer,
        )
        _check_strings_and_depth(value)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise JsonRefused("is not JSON") from None
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise JsonRefused("has a key twice in one object")
    return value


def _no_float(_: str) -> NoReturn:
    raise JsonRefused("holds a number that is not an integer")


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= len("-9007199254740991") else None
    if number is None or abs(number) > LARGEST_INTEGER:
        raise JsonRefused("holds an integer beyond 2^53")
    return number


def _check_strings_and_depth(value: object) -> None:
    """No recursion: what is walked may be nested as deep as the interpreter could just read."""
    level: list[object] = [value]
    for depth in itertools.count():
        below: list[object] = []
        for each in level:
            if isinstance(each, str):
                _check_text(each)
            elif isinstance(each, list | dict):
                if depth == DEEPEST:
                    raise _too_deep()
                below.extend(each)
                if isinstance(each, dict):
                    below.extend(each.values())
        if not below:
            return
        level = below


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise JsonRefused("holds half a surrogate pair") from None


def _too_deep() -> JsonRefused:
    return JsonRefused(f"is nested more than {DEEPEST} levels deep")
