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
    steepness = np.where(r > 0.36, np.float32(1.0), np.float32(0.25))
    dome = np.float32(base) + steepness * np.square(r - np.float32(0.36)) - film.y
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
        dx, dy = lung.r - np.float32(0.12), film.y - np.float32(-0.03)
        radius = np.hypot(dx, dy)
        angle = np.arctan2(dy, dx)
        streaks = np.zeros_like(radius)
        for direction in np.linspace(-1.35, 1.4, 9) + rng.normal(0, 0.08, 9):
            turn = angle - np.float32(direction) - np.float32(rng.normal(0, 0.35)) * radius
            width = 0.024 - 0.006 * rng.random()
            streaks += bump(np.sin(turn) * radius, width) * (np.cos(turn) > 0)
        streaks = np.tanh(streaks) * inside(radius - np.float32(0.10), 0.05)
        hilum = bump(np.hypot(dx - np.float32(0.03), dy * np.float32(0.62)), 0.085)
        fade = np.exp(-radius / np.float32(0.34))
        lung.markings = (
            np.float32(strength)
            * lung.mask
            * (np.float32(0.17) * streaks * fade + np.float32(0.15) * hilum)
        )
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
    film: Film,
    anatomy: Anatomy,
    lungs: dict[Side, Lung],
    silhouette: Field,
    broken: dict[Side, float],
) -> None:
    """Ribs, clavicles and spine.

    Args:
        silhouette: the mediastinum, 1 inside, through which bones hardly show.
        broken: severity of the fracture on each side that has one.
    """
    spacing = 0.152 + 0.006 * anatomy.ribs
    through = 1 - np.float32(0.75) * silhouette
    for side, lung in lungs.items():
        cage = inside(lung.wall + np.float32(0.03), film.soft * 2) * through
        cage = cage * inside(lung.dome + np.float32(0.10), 0.05)
        fall = np.float32(0.5) * np.square(np.clip(lung.r, 0, 1)) - np.float32(0.12) * lung.r
        height: Field = film.y - fall + np.float32(0.02)
        number: Field = np.round(height / np.float32(spacing))
        ribs = bump(height - number * np.float32(spacing), 0.028)
        if side in broken:
            ribs = _break(film, lung, height, number, spacing, broken[side], ribs)
        front = film.y + np.float32(0.42) * (lung.r - np.float32(0.75))
        anterior = bump(front - np.round(front / np.float32(spacing)) * np.float32(spacing), 0.030)
        film.density += np.float32(0.085) * ribs * cage * inside(lung.r - np.float32(0.06), 0.02)
        film.density += np.float32(0.03) * anterior * cage * inside(lung.r - np.float32(0.35), 0.1)
        clavicle = to_path(
            film,
            [(lung.sign * 0.08, -0.60), (lung.sign * 0.32, -0.67), (lung.sign * 0.80, -0.74)],
        )
        film.density += np.float32(0.15) * inside(0.030 - clavicle, film.soft)
    discs = np.float32(0.8) + np.float32(0.2) * np.cos(film.y * np.float32(2 * np.pi / 0.13))
    film.density += (
        np.float32(0.07) * discs * bump(film.x, 0.085) * (1 - np.float32(0.5) * silhouette)
    )


_BROKEN_AT = 0.52


def _break(
    film: Film,
    lung: Lung,
    height: Field,
    number: Field,
    spacing: float,
    severity: float,
    ribs: Field,
) -> Field:
    """One rib broken in its lateral part: a gap, and the outer end dropped below its place.

    The broken rib is drawn denser, as ends that overlap are, and blood lifts the pleura off the
    wall beside it.
    """
    drop = 0.06 + 0.02 * severity
    rib = height - np.float32(-spacing)
    mine = number == -1
    inner = bump(rib, 0.028) * inside(np.float32(_BROKEN_AT) - lung.r, film.soft)
    outer = bump(rib - np.float32(drop), 0.028) * inside(
        lung.r - np.float32(_BROKEN_AT - 0.03), film.soft
    )
    near = inside(np.float32(0.20) - np.abs(lung.r - np.float32(_BROKEN_AT)), 0.02)
    rest = np.where(mine, np.float32(0), ribs)
    bulge = bump(np.hypot(lung.wall, (rib - np.float32(drop)) * np.float32(0.7)), 0.075)
    film.density += np.float32(0.20) * bulge * lung.mask
    emphasis = 1 + np.float32(2.6) * near
    drawn: Field = np.maximum(rest, np.maximum(inner, outer) * emphasis)
    return drawn


def texture(film: Film, rng: np.random.Generator) -> Field:
    """The uneven grain of soft tissue, mean 0, about 0.01."""
    grain: Field = waves(film, rng, count=6, frequency=9.0) * np.float32(0.008)
    return grain
