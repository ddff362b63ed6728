"""Sound bytes made unsound: at random, and along the structure of JSON."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

_INTERESTING: Final = (0, 1, 0x7F, 0x80, 0xFF)

_RAW: Final = {
    "raw-deep": "[" * 500 + "]" * 500,
    "raw-deeper": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "raw-open": "[" * 100_000,
    "raw-digits": "9" * 5_000,
    "raw-exponent": "1e400",
    "raw-repeat": '{"version":1,"version":2}',
    "raw-control": '"\x00"',
}
"""What `json.dumps` does not write, by the string that stands for it meanwhile."""

_VALUES: Final = (
    *(None, True, False, 0, -1, 7, 2**31, 2**53 - 1, 2**53, -(2**53), 10**30),
    *(1.5, -0.0, 1e300, float("nan"), float("inf")),
    *(
        "",
        "a",
        "\ud800",
        "x\udfff\ud800",
        "\x00",
        "é" * 300,
        "-----BEGIN CERTIFICATE-----",
        "a" * 70,
    ),
    *("00" * 32, "ff" * 32, "../../a", "2026-11-27T00:00:00Z", "0001-01-01T00:00:00Z"),
    *([], {}, [[]], [None], {"": 1}, {"a": {"b": []}}, ["a", 1, {}]),
    *_RAW,
)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few random changes: bits, bytes, cuts, repeats, insertions, other lengths."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(7)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(changed):
            changed[place] = chance.choice(_INTERESTING)
        elif kind == 2:
            del changed[place : place + chance.randint(1, 40)]
        elif kind == 3:
            changed[place:place] = bytes(chance.choices(_INTERESTING, k=chance.randint(1, 40)))
        elif kind == 4:
            changed[place:place] = changed[place : place + chance.randint(1, 200)]
        elif kind == 5:
            del changed[place:]
        elif place + 4 <= len(changed):
            changed[place : place + 4] = chance.getrandbits(32).to_bytes(4, "big")
    return bytes(changed)


def mutate_json(data: bytes, chance: random.Random) -> bytes:
    """Sound JSON with a few values of other types, extremes, dropped, added or repeated keys."""
    root = {"": json.loads(data)}
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        holder, key = chance.choice(list(_places(root)))
        kind = chance.randrange(8)
        if kind < 3 or holder is root:
            holder[key] = copy.deepcopy(chance.choice(_VALUES))
        elif kind == 3:
            other, place = chance.choice(list(_places(root)))
            # A copy: a value inside itself would have no end.
            holder[key] = copy.deepcopy(other[place])
        elif kind == 4:
            del holder[key]
        elif kind == 5 and isinstance(holder, dict):
            holder[chance.choice(("extra", "", "\ud800", "a" * 300, "version"))] = 1
        elif kind == 5:
            holder.extend([holder[key]] * chance.choice((1, 2, 300)))
        else:
            holder[key] = _other_value(holder[key], chance)
    text = json.dumps(root[""], separators=(",", ":"), sort_keys=chance.random() < 0.5)
    for name, raw in _RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode()


def mutate_lines(data: bytes, chance: random.Random) -> bytes:
    """Lines of JSON: one of them changed, dropped, repeated or in another place."""
    *lines, _ = data.split(b"\n")
    place = chance.randrange(len(lines))
    kind = chance.randrange(6)
    if kind < 3:
        lines[place] = mutate_json(lines[place], chance)
    elif kind == 3:
        del lines[place]
    elif kind == 4:
        lines.insert(chance.randrange(len(lines)), lines[place])
    else:
        lines[place] = mutate(lines[place], chance)
    return b"".join(line + b"\n" for line in lines)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `value` with each of its keys or indices."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, part in pairs:
        yield value, key
        yield from _places(part)


def _other_value(value: Any, chance: random.Random) -> Any:
    """Nearly the same: what a check of types alone lets through."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + chance.choice((-1, 1, 256, -value, 2**53 - 1 - value, -2 * value))
    if isinstance(value, str):
        errors = chance.choice(("surrogateescape", "replace"))
        changed = mutate(value.encode(errors="replace"), chance)
        return changed.decode(errors=errors)
    if isinstance(value, list):
        return chance.sample(value, len(value))
    return [value]
