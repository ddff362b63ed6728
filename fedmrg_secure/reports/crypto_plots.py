"""Charts of a benchmark of encryption: figures against size or sites, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fedmrg_secure.reports.svg import Scale, chart, element, marker, polyline, spread_labels

_WIDTH: Final = 520.0
_HEIGHT: Final = 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 138.0, 14.0, 46.0
_LABEL_GAP: Final = 15.0
_FEW_DECADES: Final = 2.2
"""Decades up to which an axis also has ticks at 2 and 5."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        name: what the label says.
        tone: of the page's seven colours, 0 to 6; the same name has the same one in every chart.
        points: (place, value), by place, both > 0.
        hollow: places whose marker is hollow.
    """

    name: str
    tone: int
    points: tuple[tuple[float, float], ...]
    hollow: frozenset[float] = frozenset()


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis is called and how its numbers are written."""

    title: str
    text: Callable[[float], str]


def log_chart(
    series: Sequence[Series],
    x_axis: Axis,
    y_axis: Axis,
    *,
    description: str,
    limit: tuple[float, str] | None = None,
) -> Markup:
    """Lines with a marker at each point, labelled at their ends.

    Args:
        series: at least one, each with at least one point.
        x_axis, y_axis: their titles and numbers; ticks of x are the places of points.
        description: for readers who do not see the picture.
        limit: a value to draw a dashed line at, and what it is.
    """
    places = sorted({place for one in series for place, _ in one.points})
    values = [value for one in series for _, value in one.points] + ([limit[0]] if limit else [])
    x = _scale(places[0], places[-1], _LEFT, _WIDTH - _RIGHT)
    y = _scale(min(values), max(values), _HEIGHT - _BOTTOM, _TOP)
    parts: list[Markup] = []
    for value in _ticks(min(values), max(values)):
        parts += _grid_line(y(math.log10(value)), f"{value:g}")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    for place in places:
        at = x(math.log10(place))
        text = x_axis.text(place)
        parts.append(element("text", text, class_="tick mid", x=at, y=_HEIGHT - _BOTTOM + 18))
    parts.append(element("text", x_axis.title, class_="tick mid", x=middle, y=_HEIGHT - 6))
    if limit is not None:
        at = y(math.log10(limit[0]))
        ends = {"x1": _LEFT, "x2": _WIDTH - _RIGHT, "y1": at, "y2": at}
        parts.append(element("line", element("title", limit[1]), class_="limit", **ends))
        parts.append(element("text", limit[1], class_="tick", x=_LEFT + 4, y=at - 5))
    drawn = [[(x(math.log10(a)), y(math.log10(b))) for a, b in one.points] for one in series]
    for one, points in zip(series, drawn, strict=True):
        parts.append(_line(one, points, x_axis, y_axis))
    ends_y = spread_labels(
        [points[-1][1] for points in drawn], _LABEL_GAP, _TOP + 4, _HEIGHT - _BOTTOM
    )
    for one, place in zip(series, ends_y, strict=True):
        label = f"{y_axis.text(one.points[-1][1])} {one.name}"
        style = f"name tone{one.tone}"
        parts.append(element("text", label, class_=style, x=_WIDTH - _RIGHT + 8, y=place + 4))
    return chart(parts, _WIDTH, _HEIGHT, description)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    """Decades to pixels, with a little room at both ends."""
    first, last = math.log10(low), math.log10(high)
    room = 0.05 * (last - first) or 0.5
    return Scale(first - room, last + room, start, end)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten in range; over few decades 2 and 5 times them too, over many every other."""
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades <= _FEW_DECADES else (1,)
    stride = math.ceil(decades / 6) or 1
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [
        step * 10.0**power
        for power in range(first, last + 1)
        if power % stride == 0
        for step in steps
    ]
    return [value for value in found if low * 0.999 <= value <= high * 1.001]


def _grid_line(at: float, text: str) -> list[Markup]:
    ends = {"x1": _LEFT, "x2": _WIDTH - _RIGHT, "y1": at, "y2": at}
    label = element("text", text, class_="tick end", x=_LEFT - 8, y=at + 4)
    return [element("line", class_="grid", **ends), label]


def _line(
    series: Series, points: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis
) -> Markup:
    said = ", ".join(f"{x_axis.text(a)}: {y_axis.text(b)}" for a, b in series.points)
    parts = [element("title", f"{series.name} ({said})"), polyline(points, class_="line")]
    for (place, _), point in zip(series.points, points, strict=True):
        style = "dot hollow" if place in series.hollow else "dot"
        parts.append(marker("circle", *point, 3.6, class_=style))
    return element("g", *parts, class_=f"tone{series.tone}")
