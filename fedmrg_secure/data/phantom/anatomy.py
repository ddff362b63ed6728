"""A healthy chest seen from behind (PA): what every phantom patient has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedmrg_secure.data.phantom.case import Anatomy, Side
from fedmrg_secure.data.phantom.film import (
    Field,
    Film,
    bump,
    ellipse,
    inside,
    to_path,
    waves,
)

SIDES: Final[tuple[Side, Side]] = ("right", "left")
AIR: Final = 0.40
"""How much a lung takes from the density of the soft tissue around it."""


@dataclass(slots=True)
class Lung:
    """One lung; `r` is the distance from the midline, positive toward its chest wall."""

    sign: int
    r: Field
    wall: Field
    """Distance to the chest wall and apex, positive inside the cage."""
    dome: Field
    """Height above the diaphragm, positive above."""
    mask: Field
    """1 in the lung, 0 outside."""
    half_width: float
    apex: float
    base: float
    markings: Field


def sign_of(side: Side) -> int:
    """The direction of a patient's side on the film: the patient's left is at positive x."""
    return 1 if side == "left" else -1


def make_lungs(film: Film, anatomy: Anatomy, raised: dict[Side, float]) -> dict[Side, Lung]:
    """Both lungs; `raised` lifts a dome, in coordinates."""
    return {side: _lung(film, anatomy, side, raised.get(side, 0.0)) for side in SIDES}


def _lung(film: Film, anatomy: Anatomy, side: Side, raised: float) -> Lung:
    sign = sign_of(side)
    r = film.x * np.float32(sign)
    half = 0.76 + 0.025 * anatomy.width
    apex = -0.80 - 0.02 * anatomy.height
    base = (0.46 if side == "right" else 0.50) + 0.035 * anatomy.domes - raised
    reach = np.clip((0.40 - film.y) / np.float32(0.40 - apex), 0, 1)
    outer = np.float32(half) * (1 - reach**2.5) ** np.float32(1 / 2.2)
    wall = (outer - r) * np.float32(0.85)
    dome = np.float32(base) + np.float32(0.95) * np.square(r - np.float32(0.36)) - film.y
    mask = inside(np.minimum(np.minimum(wall, dome), r - 0.02), film.soft)
    return Lung(
        sign=sign,
        r=r,
        wall=wall,
        dome=dome,
        mask=mask,
        half_width=half,
        apex=apex,
        base=base,
        markings=np.zeros_like(r),
    )


def paint_body(film: Film, anatomy: Anatomy, lungs: dict[Side, Lung]) -> None:
    """Soft tissue, abdomen and the air in the lungs."""
    rows = np.array([-1.3, -0.93, -0.84, -0.74, -0.60, -0.2, 1.4])
    widths = np.array([0.20, 0.22, 0.30, 0.62, 0.95, 1.02, 1.0]) + 0.02 * anatomy.width
    outline = np.interp(film.y, rows, widths).astype(np.float32)
    body = inside(outline - np.abs(film.x), film.soft * 2)
    film.density += np.float32(0.58) * body
    below = inside(-np.where(film.x < 0, lungs["right"].dome, lungs["left"].dome), film.soft * 1.5)
    film.density += np.float32(0.12) * below * body
    stomach = ellipse(film, 0.36, lungs["left"].base + 0.13, 0.13, 0.07)
    film.density -= np.float32(0.16) * inside(stomach, film.soft * 2)
    for lung in lungs.values():
        film.density -= np.float32(AIR) * lung.mask


def paint_markings(
    film: Film, anatomy: Anatomy, lungs: dict[Side, Lung], strength: float = 1.0
) -> None:
    """Hila and the vessels that branch from them; kept in each lung for findings to take away."""
    rng = np.random.default_rng(anatomy.vessels)
    for lung in lungs.values():
        dx, dy = lung.r - np.float32(0.13), film.y - np.float32(-0.02)
        radius = np.hypot(dx, dy)
        angle = np.arctan2(dy, dx)
        streaks = np.zeros_like(radius)
        for direction in np.linspace(-1.35, 1.35, 9) + rng.normal(0, 0.07, 9):
            bend = np.float32(rng.normal(0, 0.25))
            width = 0.018 + 0.012 * rng.random()
            offset = np.sin(angle - np.float32(direction) - bend * radius) * radius
            ahead = np.cos(angle - np.float32(direction)) > 0
            streaks += bump(offset, width) * ahead
        fade = np.exp(-radius / np.float32(0.30))
        hilum = bump(radius, 0.13) * np.float32(0.9)
        lung.markings = np.float32(0.16 * strength) * (streaks * fade + hilum) * lung.mask
        film.density += lung.markings


def paint_mediastinum(
    film: Film, anatomy: Anatomy, *, ratio: float, widening: float, pushed: float
) -> Field:
    """Heart, great vessels and trachea.

    Args:
        ratio: cardiothoracic ratio; 0.45 is normal, above 0.5 the heart is enlarged.
        widening: factor on the width of the upper mediastinum; 1 is normal.
        pushed: shift of everything central, in coordinates.

    Returns:
        The silhouette, 1 inside.
    """
    thorax = 2 * (0.76 + 0.025 * anatomy.width)
    heart = ratio * thorax
    centre = 0.115 + 0.18 * (heart - 0.68) + pushed
    shape = ellipse(film, centre, 0.22, heart / 2, 0.27 + 0.25 * (heart - 0.68), 0.30)
    band = np.interp(
        film.y, [-1.0, -0.75, -0.45, -0.30, 0.0, 0.3], [0.10, 0.10, 0.105, 0.12, 0.14, 0.14]
    ).astype(np.float32)
    upper = np.float32(1 + (widening - 1)) * inside(-0.02 - film.y, 0.12)
    band = band * (1 + upper - inside(-0.02 - film.y, 0.12))
    column = band - np.abs(film.x - np.float32(pushed))
    knob = ellipse(film, 0.10 * widening**0.5 + pushed, -0.30, 0.085 * widening**0.5, 0.085)
    silhouette = np.maximum(np.maximum(shape, column), knob)
    mask = inside(silhouette, film.soft * 1.3)
    chest = inside(film.y + np.float32(0.86), 0.04)
    mask = mask * chest
    film.density += (np.maximum(np.float32(0.74), film.density) - film.density) * mask
    trachea = to_path(film, [(pushed, -1.0), (pushed, -0.30)])
    film.density -= np.float32(0.13) * bump(trachea, 0.045)
    for side in (-1, 1):
        bronchus = to_path(film, [(pushed, -0.30), (pushed + side * 0.16, -0.13)])
        film.density -= np.float32(0.07) * bump(bronchus, 0.03)
    return mask


def paint_bones(
    film: Film, anatomy: Anatomy, lungs: dict[Side, Lung], broken: dict[Side, int]
) -> None:
    """Ribs, clavicles and spine; `broken` names a side's fractured rib."""
    spacing = 0.150 + 0.006 * anatomy.ribs
    for side, lung in lungs.items():
        cage = inside(lung.wall + np.float32(0.03), film.soft * 2) * inside(
            lung.dome + np.float32(0.16), 0.05
        )
        slope = np.float32(0.55) * np.square(np.clip(lung.r, 0, 1)) - np.float32(0.10) * lung.r
        height = film.y - slope + np.float32(0.03)
        if side in broken:
            height = _break(lung, height, spacing, broken[side])
        phase = height / np.float32(spacing)
        ribs = bump((phase - np.round(phase)) * np.float32(spacing), 0.027)
        front = (film.y + np.float32(0.42) * (lung.r - np.float32(0.75))) / np.float32(spacing)
        anterior = bump((front - np.round(front)) * np.float32(spacing), 0.03)
        from_spine = inside(lung.r - np.float32(0.06), 0.02)
        film.density += np.float32(0.085) * ribs * cage * from_spine
        film.density += np.float32(0.035) * anterior * cage * inside(lung.r - np.float32(0.3), 0.1)
        clavicle = to_path(
            film,
            [(lung.sign * 0.07, -0.60), (lung.sign * 0.32, -0.66), (lung.sign * 0.78, -0.74)],
        )
        film.density += np.float32(0.11) * inside(0.028 - clavicle, film.soft)
    spine = bump(film.x, 0.085)
    discs = np.float32(0.75) + np.float32(0.25) * np.cos(film.y * np.float32(2 * np.pi / 0.13))
    film.density += np.float32(0.07) * spine * discs


def _break(lung: Lung, height: Field, spacing: float, number: int) -> Field:
    """Shift the outer end of one rib, which leaves a step."""
    index = np.round(height / np.float32(spacing))
    beyond = inside(lung.r - np.float32(0.50), 0.01)
    return np.where(index == number, height - np.float32(0.05) * beyond, height).astype(np.float32)


def texture(film: Film, rng: np.random.Generator) -> Field:
    """The uneven grain of soft tissue, mean 0, about 0.01."""
    return waves(film, rng, count=6, frequency=9.0) * np.float32(0.008)
