"""The working surface of a phantom: coordinates, densities and soft shapes on them.

Coordinates are in units of half the image: x grows to the image's right, which is the patient's
left, y grows downward; both run from -1 to 1 before a centre tilts, zooms or shifts the patient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
"""One value a pixel, shape (size, size), float32."""


@dataclass(slots=True)
class Film:
    """What is painted on.

    Attributes:
        x, y: coordinates of each pixel in the patient's frame.
        soft: width of the softest edge, about one pixel, in coordinates.
        density: what the beam meets, 0 air to about 1 metal.
        solid: 1 where a lesion lies, which adds to whatever lies before or behind it.
    """

    x: Field
    y: Field
    soft: float
    density: Field = field(init=False)
    solid: Field = field(init=False)

    def __post_init__(self) -> None:
        self.density = np.zeros_like(self.x)
        self.solid = np.zeros_like(self.x)


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Field, Field]:
    """Coordinates of a film's pixels before a patient is placed, read-only."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def new_film(size: int, *, tilt: float, zoom: float, shift: tuple[float, float]) -> Film:
    """An empty film whose patient is tilted by `tilt` radians, zoomed and shifted."""
    u, v = grid(size)
    cos, sin = np.float32(np.cos(tilt) / zoom), np.float32(np.sin(tilt) / zoom)
    return Film(
        x=u * cos + v * sin - np.float32(shift[0]),
        y=v * cos - u * sin - np.float32(shift[1]),
        soft=1.6 / size / zoom,
    )


def inside(distance: Field, softness: float) -> Field:
    """1 where `distance` is well above 0, 0 well below, a smooth step of `softness` between."""
    scaled = np.clip(distance / np.float32(softness), -8, 8)
    result: Field = 1 / (1 + np.exp(-2 * scaled))
    return result


def bump(distance: npt.NDArray[Any], width: float) -> Field:
    """A Gaussian ridge of `width` along distance 0."""
    return np.exp(-np.square(distance / np.float32(width))).astype(np.float32, copy=False)


def ellipse(film: Film, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0) -> Field:
    """Signed distance (about, positive inside) to an ellipse turned by `tilt` radians."""
    dx, dy = film.x - np.float32(cx), film.y - np.float32(cy)
    if tilt:
        cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
    radius = np.sqrt(np.square(dx / np.float32(rx)) + np.square(dy / np.float32(ry)))
    result: Field = (1 - radius) * np.float32(min(rx, ry))
    return result


def to_segment(film: Film, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance to a straight segment, >= 0."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    along = ((film.x - np.float32(x0)) * dx + (film.y - np.float32(y0)) * dy) / (dx * dx + dy * dy)
    along = np.clip(along, 0, 1).astype(np.float32)
    return np.hypot(film.x - x0 - along * dx, film.y - y0 - along * dy).astype(np.float32)


def to_path(film: Film, points: list[tuple[float, float]]) -> Field:
    """Distance to a polyline through `points`, >= 0."""
    distance = to_segment(film, points[0], points[1])
    for start, end in pairwise(points[1:]):
        np.minimum(distance, to_segment(film, start, end), out=distance)
    return distance


def waves(film: Film, rng: np.random.Generator, *, count: int, frequency: float) -> Field:
    """A smooth random field of mean 0 and variance about 1, the same at every film size."""
    angle = rng.uniform(0, 2 * np.pi, count)
    pitch = frequency * rng.uniform(0.6, 1.4, count)
    phase = rng.uniform(0, 2 * np.pi, count)
    total = np.zeros_like(film.x)
    for a, f, p in zip(angle, pitch, phase, strict=True):
        total += np.cos(
            film.x * np.float32(f * np.cos(a)) + film.y * np.float32(f * np.sin(a)) + np.float32(p)
        )
    result: Field = total * np.float32(np.sqrt(2 / count))
    return result
