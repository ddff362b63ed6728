"""The report's charts as inline SVG: no script, no font of their own, colours from the page's CSS.

Participating centres are solid lines with circles, unseen ones dashed lines with diamonds, so that
the two can be told apart without colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fedmrg_secure.reports.axes import value_axis
from fedmrg_secure.reports.svg import (
    Scale,
    chart,
    element,
    marker,
    polyline,
    round_ticks,
    spread_labels,
)

_WIDTH: Final = 520.0
_HEIGHT: Final = 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 100.0, 14.0, 40.0
_LABEL_GAP: Final = 15.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: what the label says.
        role: ``participating`` or ``unseen``; fixes colour, dash and marker.
        points: (round, value), by round.
        mean: drawn strong and labelled at its end; else thin.
    """

    name: str
    role: str
    points: tuple[tuple[int, float], ...]
    mean: bool = False


def line_chart(curves: Sequence[Curve], *, description: str) -> Markup:
    """Values by round, 0 on the value axis included.

    Args:
        curves: at least one, each with at least one point.
        description: for readers who do not see the picture.
    """
    last = max(point[0] for curve in curves for point in curve.points)
    right = _WIDTH - _RIGHT
    x = Scale(0, max(last, 1), _LEFT, right)
    y, grid = value_axis(
        max(point[1] for curve in curves for point in curve.points),
        *(_LEFT, right, _HEIGHT - _BOTTOM, _TOP),
    )
    strong = [curve for curve in curves if curve.mean]
    body = [
        *grid,
        *_rounds(x, round_ticks(last)),
        *(_thin(curve, x, y) for curve in curves if not curve.mean),
        *(_strong(curve, x, y) for curve in strong),
        *_end_labels(strong, x, y),
    ]
    return chart(body, _WIDTH, _HEIGHT, description)


def dumbbell(before: float | None, after: float | None, role: str, high: float) -> Markup:
    """A small bar from the untrained (hollow) to the trained value (filled).

    Args:
        before: value of the untrained model, or None.
        after: value of the trained model, or None.
        role: ``participating`` or ``unseen``.
        high: the value at the right end, > 0.
    """
    width, height = 160.0, 18.0
    x = Scale(0, high, 8, width - 8)
    middle = height / 2
    parts = [element("line", class_="axis", x1=8.0, x2=width - 8, y1=middle, y2=middle)]
    if before is not None and after is not None:
        ends = {"x1": x(before), "x2": x(after), "y1": middle, "y2": middle}
        parts.append(element("line", class_=f"gain {role}", **ends))
    if before is not None:
        parts.append(marker(_shape(role), x(before), middle, 4, class_=f"hollow {role}"))
    if after is not None:
        parts.append(marker(_shape(role), x(after), middle, 5, class_=f"filled {role}"))
    return element(
        "svg", *parts, class_="dumbbell", viewBox=f"0 0 {width:g} {height:g}", aria_hidden="true"
    )


def sparkline(points: Sequence[tuple[int, float]]) -> Markup:
    """A small line of values by round, zero at the bottom.

    Args:
        points: (round, value), by round, at least one; values >= 0.
    """
    width, height = 160.0, 30.0
    x = Scale(points[0][0], points[-1][0], 5, width - 5)
    y = Scale(0, max(value for _, value in points) or 1, height - 4, 4)
    places = [(x(number), y(value)) for number, value in points]
    return element(
        "svg",
        element("line", class_="axis", x1=0.0, x2=width, y1=height - 2, y2=height - 2),
        polyline(places, class_="strong participating"),
        marker("circle", *places[-1], 3.5, class_="filled participating"),
        class_="spark",
        viewBox=f"0 0 {width:g} {height:g}",
        aria_hidden="true",
    )


def _rounds(x: Scale, rounds: Sequence[int]) -> list[Markup]:
    right, parts = _WIDTH - _RIGHT, []
    for number in rounds:
        place = _HEIGHT - _BOTTOM + 17
        parts.append(element("text", str(number), class_="tick mid", x=x(number), y=place))
    middle = (_LEFT + right) / 2
    parts.append(element("text", "round", class_="tick mid", x=middle, y=_HEIGHT - 5))
    return parts


def _thin(curve: Curve, x: Scale, y: Scale) -> Markup:
    points = [(x(number), y(value)) for number, value in curve.points]
    line = polyline(points, class_=f"thin {curve.role}")
    return element("g", _values(curve), line)


def _strong(curve: Curve, x: Scale, y: Scale) -> Markup:
    points = [(x(number), y(value)) for number, value in curve.points]
    line = polyline(points, class_=f"strong {curve.role}")
    dots = (
        marker(_shape(curve.role), *point, 4, class_=f"filled {curve.role}") for point in points
    )
    return element("g", _values(curve), line, *dots)


def _values(curve: Curve) -> Markup:
    """What appears when the pointer rests on a line."""
    values = ", ".join(f"{number}: {value:.3f}" for number, value in curve.points)
    return element("title", f"{curve.name} (round: value) {values}")


def _end_labels(curves: Sequence[Curve], x: Scale, y: Scale) -> list[Markup]:
    ends = [(x(curve.points[-1][0]), y(curve.points[-1][1])) for curve in curves]
    high = _HEIGHT - _BOTTOM
    places = spread_labels([end[1] for end in ends], 2 * _LABEL_GAP, _TOP + 8, high - 8)
    labels = []
    for curve, (right, _), place in zip(curves, ends, places, strict=True):
        value = f"{curve.points[-1][1]:.3f}"
        style = f"label {curve.role}"
        labels.append(element("text", value, class_=f"{style} value", x=right + 12, y=place))
        below = place + _LABEL_GAP - 2
        labels.append(element("text", curve.name, class_=style, x=right + 12, y=below))
    return labels


def _shape(role: str) -> str:
    return "diamond" if role == "unseen" else "circle"
