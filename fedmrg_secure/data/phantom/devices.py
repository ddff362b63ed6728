"""Support devices as the beam sees them."""

from __future__ import annotations

import numpy as np

from fedmrg_secure.data.phantom.case import Case, Kind
from fedmrg_secure.data.phantom.film import Film, ellipse, inside, to_path

_METAL = 1.05


def paint_devices(film: Film, case: Case) -> None:
    """Every device of the case."""
    for device in case.findings:
        match device.kind:
            case Kind.PACEMAKER:
                _pacemaker(film)
            case Kind.TUBE:
                _wire(film, [(0.01, -1.1), (0.0, -0.44)], 0.024, 1.0)
            case Kind.FEEDING_TUBE:
                _wire(
                    film,
                    [(-0.03, -1.1), (-0.03, -0.2), (0.06, 0.3), (0.16, 0.60), (0.34, 0.68)],
                    0.011,
                    0.97,
                )
            case Kind.LINE:
                _wire(
                    film,
                    [(-0.19, -0.98), (-0.17, -0.72), (-0.13, -0.50), (-0.12, -0.10)],
                    0.012,
                    0.93,
                )
            case _:
                continue


def _wire(film: Film, points: list[tuple[float, float]], width: float, level: float) -> None:
    share = inside(np.float32(max(width, film.soft * 0.7)) - to_path(film, points), film.soft)
    film.density += np.maximum(np.float32(level) - film.density, 0) * share


def _pacemaker(film: Film) -> None:
    box = inside(ellipse(film, 0.52, -0.52, 0.125, 0.10, 0.3), film.soft)
    film.density += np.maximum(np.float32(_METAL) - film.density, 0) * box
    lead = [(0.44, -0.56), (0.24, -0.62), (0.0, -0.52), (-0.10, -0.20), (-0.06, 0.18), (0.22, 0.34)]
    _wire(film, lead, 0.012, 1.0)
