"""The chart of a sweep: utility with its interval against epsilon or bytes, every run a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fedmrg_secure.reports.axes import Axis, value_axis
from fedmrg_secure.reports.svg import Scale, chart, element, marker, polyline, spread_labels

WIDTH: Final = 520.0
HEIGHT: Final = 330.0
LEFT: Final = 44.0
_TOP, _BOTTOM, _LABELS = 14.0, 44.0, 132.0
_LABEL_GAP: Final = 16.0
_CAP: Final = 4.0
_ASIDE: Final = 15.0
"""Pixels that a run's dot is left of where it belongs, so that no mean hides it."""
_MOST_LABELS: Final = 16
PLOT_END: Final = WIDTH - _LABELS


@dataclass(frozen=True, slots=True)
class Dot:
    """One run: where it is, and its page."""

    place: float
    value: float
    link: str
    note: str


@dataclass(frozen=True, slots=True)
class Spot:
    """One point of the grid.

    Attributes:
        label: written at the right of the chart, beside the mean; empty: neither is.
        place: on the horizontal axis.
        mean, low, high: over seeds; the ends of the interval are None where it is not known.
        front: whether it is on the front.
        link: to where the page says more of it.
        note: shown while the pointer rests on it.
        dots: its runs.
    """

    label: str
    place: float
    mean: float
    low: float | None
    high: float | None
    front: bool
    link: str
    note: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Spots of one style (a class of the page's CSS); `joined` by a line in the axis' order."""

    style: str
    spots: tuple[Spot, ...]
    joined: bool


def utility_chart(
    series: Sequence[Series],
    axis: Axis,
    *,
    role: str,
    untrained: float | None,
    description: str,
) -> Markup:
    """Means with whiskers, rings around those of the front, small dots for single runs.

    Args:
        series: at least one, each with at least one spot.
        axis: from `LEFT` to `PLOT_END`.
        role: of the centres, ``participating`` or ``unseen``; fixes the marker.
        untrained: the same figure before training, drawn as a dashed line.
        description: for readers who do not see the picture.
    """
    spots = [spot for one in series for spot in one.spots]
    values = [value for spot in spots for value in (spot.high, spot.mean) if value is not None]
    values += [dot.value for spot in spots for dot in spot.dots]
    bottom = HEIGHT - _BOTTOM
    y, parts = value_axis(max([*values, untrained or 0.0]), LEFT, PLOT_END, bottom, _TOP)
    parts += axis.drawn(HEIGHT)
    if untrained is not None:
        parts += _level(y(untrained), f"untrained {untrained:.3f}")
    shape = "diamond" if role == "unseen" else "circle"
    for one in series:
        drawn = [_spot(spot, axis, y, shape) for spot in one.spots]
        if one.joined:
            ordered = sorted((axis(spot.place), y(spot.mean)) for spot in one.spots)
            drawn.insert(0, polyline(ordered, class_="line"))
        parts.append(element("g", *drawn, class_=one.style))
    return chart([*parts, *_labels(series, axis, y, bottom)], WIDTH, HEIGHT, description)


def _spot(spot: Spot, axis: Axis, y: Scale, shape: str) -> Markup:
    x, middle = axis(spot.place), y(spot.mean)
    parts: list[Markup] = [element("title", spot.note)]
    if spot.low is not None and spot.high is not None:
        # Student's interval knows nothing of the figure's own range: the axis begins at 0.
        low, high = y(max(0.0, spot.low)), y(max(0.0, spot.high))
        parts.append(element("line", class_="whisker", x1=x, x2=x, y1=low, y2=high))
        for end in (low, high):
            ends = {"x1": x - _CAP, "x2": x + _CAP, "y1": end, "y2": end}
            parts.append(element("line", class_="whisker", **ends))
    if spot.front:
        parts.append(marker(shape, x, middle, 9.5, class_="ring"))
    parts.append(marker(shape, x, middle, 5.0, class_="dot"))
    dots = [
        element(
            "a",
            element("title", dot.note),
            marker(shape, axis(dot.place) - _ASIDE, y(dot.value), 3.0, class_="run"),
            href=dot.link,
        )
        for dot in spot.dots
    ]
    return element("g", element("a", *parts, href=spot.link), *dots)


def _level(at: float, text: str) -> list[Markup]:
    ends = {"x1": LEFT, "x2": PLOT_END, "y1": at, "y2": at}
    return [
        element("line", element("title", text), class_="limit", **ends),
        element("text", text, class_="tick", x=LEFT + 4, y=at - 5),
    ]


def _labels(series: Sequence[Series], axis: Axis, y: Scale, bottom: float) -> list[Markup]:
    """What each spot is called, at the right, with a thin line to it; none where they are many."""
    spots = [(spot, one.style) for one in series for spot in one.spots if spot.label]
    if len(spots) > _MOST_LABELS:
        return []
    wanted = [y(spot.mean) for spot, _ in spots]
    parts = []
    for (spot, style), place in zip(
        spots, spread_labels(wanted, _LABEL_GAP, _TOP + 4, bottom), strict=True
    ):
        leader = [(axis(spot.place) + 7, y(spot.mean)), (PLOT_END, place), (PLOT_END + 6, place)]
        text = f"{spot.mean:.3f} {spot.label}"
        parts.append(
            element(
                "g",
                polyline(leader, class_="leader"),
                element("text", text, class_="name", x=PLOT_END + 10, y=place + 4),
                class_=style,
            )
        )
    return parts
