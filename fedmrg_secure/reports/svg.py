"""The few SVG pieces that the charts need; all text and attribute values are escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """One element. Attribute names: a trailing ``_`` is dropped, other ``_`` become ``-``.

    Args:
        tag: the element's name, from our own code.
        children: `Markup` goes in as it is, plain text is escaped.
        attributes: numbers are written with two decimals at most; None leaves one out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _attribute(value))
        for name, value in attributes.items()
        if value is not None
    )
    body = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), written, body)  # noqa: S704


def chart(parts: Sequence[Markup], width: float, height: float, description: str) -> Markup:
    """A whole picture in the pages' style.

    Args:
        parts: what is drawn.
        width, height: of the drawing, in its own units.
        description: its title, for readers who do not see it.
    """
    return element(
        "svg",
        element("title", description),
        *parts,
        class_="chart",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=description,
    )


def polyline(points: Sequence[tuple[float, float]], **attributes: object) -> Markup:
    """A path through `points`, in pixels."""
    path = " ".join(
        f"{'M' if index == 0 else 'L'}{_number(x)} {_number(y)}"
        for index, (x, y) in enumerate(points)
    )
    return element("path", d=path, fill="none", **attributes)


def marker(shape: str, x: float, y: float, size: float, **attributes: object) -> Markup:
    """A circle, or a diamond of about the same area, around (x, y); `size` is the radius."""
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=size, **attributes)
    reach = size * 1.3
    corners = ((x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y))
    points = " ".join(f"{_number(a)},{_number(b)}" for a, b in corners)
    return element("polygon", points=points, **attributes)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def nice_ticks(high: float, count: int = 5) -> list[float]:
    """Round values from 0 to at least `high`, about `count` steps of 1, 2, 2.5 or 5 times 10^k.

    Args:
        high: the largest value shown; 0 or less counts as 1.
        count: about how many steps.
    """
    high = high if high > 0 else 1.0
    raw = high / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    steps = math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(steps + 1)]


def round_ticks(last: int, count: int = 8) -> list[int]:
    """Whole numbers from 0 to `last`, evenly spaced, `last` among them."""
    step = max(1, math.ceil(last / count))
    ticks = list(range(0, last + 1, step))
    if ticks[-1] != last:
        if last - ticks[-1] < step / 2 + 0.5 and len(ticks) > 1:
            ticks.pop()
        ticks.append(last)
    return ticks


def spread_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near `wanted`, at least `gap` apart where that fits, in [low, high].

    Args:
        wanted: positions in pixels, in any order.
        gap: smallest distance of two labels, pixels.
        low: smallest position.
        high: largest position.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    previous = low - gap
    for index in order:
        previous = max(wanted[index], previous + gap)
        placed[index] = previous
    limit = high + gap
    for index in reversed(order):
        limit = min(placed[index], limit - gap)
        placed[index] = limit
    return placed


def _attribute(value: object) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
