"""How each finding looks. Every painter adds to the density of a film."""

from __future__ import annotations

import numpy as np

from fedmrg_secure.data.phantom.anatomy import Lung, sign_of
from fedmrg_secure.data.phantom.case import Case, Finding, Kind, Side
from fedmrg_secure.data.phantom.film import (
    Field,
    Film,
    bump,
    ellipse,
    inside,
    to_path,
    waves,
)

_ZONE_HEIGHT = {"upper": -0.46, "middle": -0.06, "lower": 0.26}


def sides_of(finding: Finding) -> tuple[Side, ...]:
    return ("right", "left") if finding.side == "both" else (finding.side,)


def paint_findings(
    film: Film, case: Case, lungs: dict[Side, Lung], rng: np.random.Generator
) -> None:
    """All findings that lie in the lungs and pleurae."""
    for finding in case.findings:
        match finding.kind:
            case Kind.CONSOLIDATION | Kind.PNEUMONIA:
                _consolidation(film, finding, lungs, rng)
            case Kind.OPACITY:
                _opacity(film, finding, lungs, rng)
            case Kind.NODULE | Kind.MASS:
                _lesion(film, finding, lungs, rng)
            case Kind.EDEMA:
                _edema(film, finding, lungs)
            case Kind.ATELECTASIS:
                _atelectasis(film, finding, lungs)
            case _:
                continue
    for finding in case.findings:  # the pleura lies before the lung
        match finding.kind:
            case Kind.EFFUSION:
                for side in sides_of(finding):
                    _effusion(film, finding, lungs[side])
            case Kind.PNEUMOTHORAX:
                _pneumothorax(film, finding, lungs[finding.side])
            case Kind.THICKENING:
                _thickening(film, finding, lungs[finding.side], rng)
            case _:
                continue


def _fill(film: Film, share: Field, level: float) -> None:
    """Move the density toward `level` where `share` is 1."""
    film.density += (np.maximum(film.density, np.float32(level)) - film.density) * share


def _place(film: Film, share: Field, level: float) -> None:
    """Fill with solid tissue, which stays visible behind the heart and in fluid."""
    _fill(film, share, level)
    np.maximum(film.solid, share, out=film.solid)


def reveal_solid(film: Film) -> None:
    """Add lesions to the heart, the mediastinum and fluid that lie in the same beam."""
    hidden = inside(film.density - np.float32(0.68), 0.015)
    film.density += np.float32(0.10) * film.solid * hidden


def _spot(finding: Finding, rng: np.random.Generator) -> tuple[float, float]:
    r = 0.42 + 0.10 * (rng.random() - 0.5)
    if finding.zone == "upper":
        r -= 0.06
    if finding.zone == "lower" and finding.side == "left":
        r += 0.10
    y = _ZONE_HEIGHT[finding.zone or "middle"] + 0.08 * (rng.random() - 0.5)
    return sign_of(finding.side) * r, y


def _consolidation(
    film: Film, finding: Finding, lungs: dict[Side, Lung], rng: np.random.Generator
) -> None:
    lung = lungs[finding.side]
    cx, cy = _spot(finding, rng)
    size = 0.15 + 0.09 * finding.severity
    rough = waves(film, rng, count=8, frequency=22.0) * np.float32(0.022)
    shape = inside(ellipse(film, cx, cy, size * 1.15, size) + rough, 0.03) * lung.mask
    level = 0.62 if finding.certain else 0.42
    share = shape * np.float32(0.92)
    if finding.kind is Kind.PNEUMONIA:
        bronchi = to_path(film, [(cx * 0.45, cy - 0.05), (cx, cy), (cx * 1.25, cy + 0.06)])
        share = share * (1 - np.float32(0.8) * bump(bronchi, 0.020))
        patches = waves(film, rng, count=8, frequency=26.0)
        halo = inside(ellipse(film, cx, cy, size * 2.0, size * 1.7), 0.06) * lung.mask
        film.density += np.float32(0.17) * np.clip(patches, 0, 1.5) * halo
    _place(film, share, level)


def _opacity(
    film: Film, finding: Finding, lungs: dict[Side, Lung], rng: np.random.Generator
) -> None:
    lung = lungs[finding.side]
    cx, cy = _spot(finding, rng)
    size = 0.20 + 0.10 * finding.severity
    grain = np.float32(0.75) + np.float32(0.25) * waves(film, rng, count=8, frequency=18.0)
    haze = inside(ellipse(film, cx, cy, size * 1.2, size), 0.10) * lung.mask
    np.maximum(film.solid, np.float32(0.7) * haze, out=film.solid)
    amount = 0.25 + 0.07 * finding.severity if finding.certain else 0.14
    film.density += np.float32(amount) * haze * np.clip(grain, 0.2, 1.6)


def _lesion(
    film: Film, finding: Finding, lungs: dict[Side, Lung], rng: np.random.Generator
) -> None:
    lung = lungs[finding.side]
    cx, cy = _spot(finding, rng)
    if finding.kind is Kind.NODULE:
        radius = 0.052 + 0.028 * finding.severity
    else:
        radius = 0.115 + 0.055 * finding.severity
    shape = inside(ellipse(film, cx, cy, radius, radius), film.soft * 1.2)
    _place(
        film, shape * np.clip(lung.mask + np.float32(0.3), 0, 1), 0.64 if finding.certain else 0.44
    )


def _edema(film: Film, finding: Finding, lungs: dict[Side, Lung]) -> None:
    strength = 0.35 + 0.65 * finding.severity if finding.certain else 0.3
    for lung in lungs.values():
        wing = bump(np.hypot((lung.r - 0.22) * 1.1, (film.y - 0.02) * 0.75), 0.32)
        film.density += np.float32(0.26 * strength) * wing * lung.mask
        film.density += np.float32(0.8 * strength) * lung.markings
        near_wall = bump(lung.wall - np.float32(0.05), 0.07)
        rows = np.float32(0.5) + np.float32(0.5) * np.cos(film.y * np.float32(2 * np.pi / 0.075))
        basal = inside(film.y - np.float32(0.08), 0.05)
        film.density += np.float32(0.16 * strength) * near_wall * rows**4 * basal * lung.mask


def _atelectasis(film: Film, finding: Finding, lungs: dict[Side, Lung]) -> None:
    lung = lungs[finding.side]
    height = lung.base - 0.15
    width = 0.022 + 0.010 * finding.severity
    level = 0.66 if finding.certain else 0.42
    for shift in (0.0, 0.085) if finding.grade else (0.0,):
        line = to_path(
            film,
            [
                (lung.sign * 0.26, height - shift - 0.02),
                (lung.sign * 0.64, height - shift - 0.08),
            ],
        )
        _place(film, inside(width - line, film.soft) * lung.mask, level)


def _effusion(film: Film, finding: Finding, lung: Lung) -> None:
    if not finding.certain:
        rise, meniscus = 0.05, 0.06
    else:
        rise, meniscus = ((0.13, 0.16), (0.32, 0.20), (0.66, 0.22))[finding.grade]
    lateral = np.clip(lung.r / np.float32(lung.half_width), 0, 1.2)
    surface = np.float32(lung.base + 0.09 - rise) - np.float32(meniscus) * (lateral**3 - 0.25)
    fluid = inside(film.y - surface, 0.022) * inside(np.minimum(lung.wall, lung.r), film.soft)
    _fill(film, fluid * np.float32(0.97) * inside(lung.dome + np.float32(0.05), 0.02), 0.70)


def _pneumothorax(film: Film, finding: Finding, lung: Lung) -> None:
    depth = 0.06 if not finding.certain else (0.13, 0.20, 0.34)[finding.grade]
    bias = np.clip((np.float32(0.1) - film.y) * np.float32(0.18), -0.04, 0.14)
    edge = lung.wall - np.float32(depth) - bias
    outside = inside(-edge, film.soft) * lung.mask
    film.density -= outside * (lung.markings + np.float32(0.11))
    line = bump(edge, max(0.012, film.soft)) * lung.mask
    film.density += np.float32(0.17) * line
    film.density += np.float32(0.05 + 0.10 * finding.severity) * inside(edge, 0.02) * lung.mask


def _thickening(film: Film, finding: Finding, lung: Lung, rng: np.random.Generator) -> None:
    depth = 0.05 + 0.05 * finding.severity if finding.certain else 0.04
    rough = waves(film, rng, count=6, frequency=20.0) * np.float32(0.014)
    band = inside(np.float32(depth) + rough - lung.wall, 0.015) * lung.mask
    upper = inside(np.float32(0.12) - film.y, 0.06)
    _fill(film, band * upper, 0.68)
