"""Values that no sound file holds, as the text of JSON, and files with one in some place."""

from __future__ import annotations

import json
from collections.abc import Mapping

HOSTILE = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "not too deep for json.loads": "[" * 300 + "]" * 300,
    "a float": "1.5",
    "NaN": "NaN",
    "an infinity": "-Infinity",
    "a float beyond all floats": "1e400",
    "an integer beyond 2^53": str(2**53),
    "an integer of 31 digits": str(10**30),
    "an integer of 5,000 digits": "9" * 5_000,
    "half a surrogate pair": r'"\ud800"',
    "half a surrogate pair in a key": r'{"\udfff":1}',
    "a key twice": '{"a":1,"a":1}',
}
"""JSON text by what is wrong with it."""


def with_value(value: Mapping[str, object], key: str, text: str) -> bytes:
    """The object `value` as JSON with `text` as what `key` holds."""
    mark = "<-- here -->"
    return json.dumps({**value, key: mark}).replace(f'"{mark}"', text).encode()
