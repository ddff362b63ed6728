"""Charts of a benchmark: figures of methods with their spread, and score against bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fedmrg_secure.reports.axes import byte_axis, decimals, value_axis
from fedmrg_secure.reports.svg import (
    Scale,
    chart,
    element,
    marker,
    nice_ticks,
    polyline,
    spread_labels,
)
from fedmrg_secure.reports.wording import bytes_text

_WIDTH: Final = 520.0
_ROW: Final = 26.0
_NAMES: Final = 148.0
_VALUES: Final = 62.0
_HEIGHT: Final = 320.0
COLOURS: Final = 7
"""Lines that a chart tells apart."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One row of a chart.

    Attributes:
        name: of the method.
        mean, deviation: over seeds.
        kind: ``ours``, ``federated`` or ``apart`` (nothing is federated); fixes colour and marker.
        note: shown while the pointer rests on the row.
    """

    name: str
    mean: float
    deviation: float
    kind: str
    note: str


@dataclass(frozen=True, slots=True)
class Line:
    """One method's mean curve: (bytes sent by one site, value), by bytes."""

    name: str
    points: tuple[tuple[int, float], ...]


def spread_chart(rows: Sequence[Spread], *, description: str) -> Markup:
    """A dot for each mean with a line of one deviation to both sides; values from 0.

    Args:
        rows: at least one, top to bottom.
        description: for readers who do not see the picture.
    """
    ticks = nice_ticks(max(row.mean + row.deviation for row in rows), 4)
    height = _ROW * len(rows) + 26
    x = Scale(0, ticks[-1], _NAMES, _WIDTH - _VALUES)
    bottom = _ROW * len(rows) + 4
    parts: list[Markup] = []
    digits = decimals(ticks)
    for value in ticks:
        style = "axis" if value == 0 else "grid"
        parts.append(element("line", class_=style, x1=x(value), x2=x(value), y1=4.0, y2=bottom))
        label = f"{value:.{digits}f}"
        parts.append(element("text", label, class_="tick mid", x=x(value), y=bottom + 17))
    for index, row in enumerate(rows):
        parts.append(_spread_row(row, x, _ROW * (index + 0.5) + 4))
    return chart(parts, _WIDTH, height, description)


def byte_chart(lines: Sequence[Line], *, description: str) -> Markup:
    """Values against bytes sent so far; the bytes on a logarithmic axis where they span much.

    Args:
        lines: 1 to `COLOURS`, each with at least one point of more than 0 bytes.
        description: for readers who do not see the picture.
    """
    right = _WIDTH - 128
    sent = [point[0] for line in lines for point in line.points]
    x = byte_axis(min(sent), max(sent), 44, right)
    y, parts = value_axis(
        max(point[1] for line in lines for point in line.points), 44, right, _HEIGHT - 44, 12
    )
    parts += x.drawn(_HEIGHT)
    drawn = [[(x(count), y(value)) for count, value in line.points] for line in lines]
    for index, (line, points) in enumerate(zip(lines, drawn, strict=True)):
        values = ", ".join(f"{bytes_text(count)}: {value:.3f}" for count, value in line.points)
        path = polyline(points, class_="line")
        dots = (marker("circle", *point, 3.2, class_="dot") for point in points)
        title = element("title", f"{line.name} ({values})")
        parts.append(element("g", title, path, *dots, class_=f"tone{index}"))
    places = spread_labels([points[-1][1] for points in drawn], 15, 16, _HEIGHT - 50)
    for index, (line, place) in enumerate(zip(lines, places, strict=True)):
        label = f"{line.points[-1][1]:.3f} {line.name}"
        style = f"name tone{index}"
        parts.append(element("text", label, class_=style, x=right + 6, y=place + 4))
    return chart(parts, _WIDTH, _HEIGHT, description)


def _spread_row(row: Spread, x: Scale, y: float) -> Markup:
    low, high = max(0.0, row.mean - row.deviation), row.mean + row.deviation
    shape = "diamond" if row.kind == "apart" else "circle"
    parts = [
        element("title", row.note),
        element("text", row.name, class_="name", x=0.0, y=y + 4),
        element("line", class_="whisker", x1=x(low), x2=x(high), y1=y, y2=y),
        marker(shape, x(row.mean), y, 5, class_="dot"),
        element("text", f"{row.mean:.3f}", class_="value end", x=_WIDTH, y=y + 4),
    ]
    return element("g", *parts, class_=f"row {row.kind}")
