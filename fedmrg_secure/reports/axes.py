"""Axes of the pages' charts: values from 0, bytes, and epsilon with a place for infinity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fedmrg_secure.reports.svg import Scale, element, nice_ticks
from fedmrg_secure.reports.wording import decade_text

_WIDE: Final = 40
"""Ratio of bytes above which their axis is logarithmic."""
_INFINITY_ROOM: Final = 54.0
"""Pixels at the right end of an axis of epsilon that belong to infinity."""
_MOST_TICKS: Final = 9


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal axis: from values to pixels, and which values are written.

    Attributes:
        place: of a value, in pixels.
        ticks: values and their texts.
        title: what the values are.
        middle: of the axis, in pixels.
    """

    place: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]
    title: str
    middle: float

    def __call__(self, value: float) -> float:
        return self.place(value)

    def drawn(self, bottom: float) -> list[Markup]:
        """Its texts.

        Args:
            bottom: of the picture, in pixels.
        """
        texts = [
            element("text", text, class_="tick mid", x=self(value), y=bottom - 26)
            for value, text in self.ticks
        ]
        return [*texts, element("text", self.title, class_="tick mid", x=self.middle, y=bottom - 6)]


def value_axis(
    highest: float, left: float, right: float, bottom: float, top: float
) -> tuple[Scale, list[Markup]]:
    """A vertical axis from 0 to a round value above `highest`, and its lines and numbers.

    Args:
        highest: value shown.
        left, right: of the lines, in pixels.
        bottom, top: where the axis begins and ends, in pixels.
    """
    ticks = nice_ticks(highest)
    y, digits, parts = Scale(0, ticks[-1], bottom, top), decimals(ticks), []
    for value in ticks:
        style = "axis" if value == 0 else "grid"
        parts.append(element("line", class_=style, x1=left, x2=right, y1=y(value), y2=y(value)))
        label = f"{value:.{digits}f}"
        parts.append(element("text", label, class_="tick end", x=left - 8, y=y(value) + 4))
    return y, parts


def decimals(ticks: Sequence[float]) -> int:
    """How many digits after the point tell the ticks apart."""
    return max(len(f"{value:g}".partition(".")[2]) for value in ticks)


def byte_axis(low: int, high: int, start: float, end: float) -> Axis:
    """Bytes that one site has sent; logarithmic where they span much.

    Args:
        low, high: the least and the most, > 0.
        start, end: in pixels.
    """
    title, middle = "sent by one site", (start + end) / 2
    if high <= _WIDE * low:
        values = nice_ticks(high)
        linear = Scale(0, values[-1], start, end)
        return Axis(linear, _texts([round(value) for value in values]), title, middle)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    counts = (step * 10**power for power in range(first, last + 1) for step in steps)
    scale = Scale(math.log10(low) - 0.05, math.log10(high) + 0.05, start, end)
    shown = _texts([count for count in counts if low <= count <= high])
    return Axis(lambda count: scale(math.log10(count)), shown, title, middle)


def epsilon_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Epsilon on a logarithmic axis, infinity apart at its right end.

    Args:
        values: that are shown, > 0; infinite without privacy.
        start, end: in pixels.
    """
    finite = sorted(value for value in values if math.isfinite(value))
    inner = end - _INFINITY_ROOM if len(finite) < len(values) else end
    low, high = (finite[0], finite[-1]) if finite else (1.0, 1.0)
    scale = Scale(math.log2(low) - 0.4, math.log2(high) + 0.4, start, inner)

    def place(value: float) -> float:
        return scale(math.log2(value)) if math.isfinite(value) else end - _INFINITY_ROOM / 3

    first, last = math.ceil(math.log2(low) - 0.1), math.floor(math.log2(high) + 0.1)
    stride = max(1, math.ceil((last - first + 1) / _MOST_TICKS))
    powers = [2.0**power for power in range(first, last + 1, stride)] if finite else []
    ticks = [(value, f"{value:g}") for value in powers]
    if finite and not ticks:
        ticks = [(low, f"{low:.2g}")]
    if inner < end:
        ticks.append((math.inf, "∞"))
    return Axis(place, tuple(ticks), "epsilon", (start + end) / 2)


def _texts(counts: Sequence[int]) -> tuple[tuple[float, str], ...]:
    return tuple((count, decade_text(count)) for count in counts)
