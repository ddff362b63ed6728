"""How a centre's machine shows a patient: geometry, exposure, blur, noise and marks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from fedmrg_secure.data.phantom.film import Field, Film, grid, new_film
from fedmrg_secure.data.records import FloatImage


@dataclass(frozen=True, slots=True)
class Look:
    """The machine and habits of one centre.

    Attributes:
        dark, bright: densities shown as black and white.
        gamma: exponent of the tone curve; above 1 darkens.
        noise: standard deviation of the grain at 96 pixels.
        blur: standard deviation of the unsharpness, share of the image's side.
        tilt: standard deviation of the patient's rotation, radians.
        zoom: mean size of the patient; 1 fills the film.
        collimation: mean width of the black border, share of the side; 0 for none.
        marker: "L", "R" or "" burnt in beside the shoulder.
        vignette: how much darker the corners are.
    """

    dark: float
    bright: float
    gamma: float
    noise: float
    blur: float
    tilt: float
    zoom: float
    collimation: float
    marker: str
    vignette: float


def position(look: Look, size: int, rng: np.random.Generator) -> Film:
    """An empty film with the patient placed as this centre would."""
    tilt = float(np.clip(rng.normal(0, look.tilt), -0.2, 0.2))
    zoom = look.zoom * float(1 + np.clip(rng.normal(0, 0.025), -0.06, 0.06))
    shift = (float(rng.normal(0, 0.02)), float(rng.normal(0, 0.02)))
    return new_film(size, tilt=tilt, zoom=zoom, shift=shift)


def expose(film: Film, look: Look, rng: np.random.Generator) -> FloatImage:
    """The picture of a painted film, shape (size, size), float32 in [0, 1]."""
    size = film.x.shape[0]
    exposure = float(np.clip(rng.normal(0, 0.02), -0.05, 0.05))
    gamma = look.gamma * float(np.exp(np.clip(rng.normal(0, 0.06), -0.15, 0.15)))
    shown = (film.density + np.float32(exposure - look.dark)) / np.float32(look.bright - look.dark)
    picture = (np.clip(shown, 0, 1) ** np.float32(gamma)).astype(np.float32)
    if look.blur > 0:
        picture = gaussian_filter(picture, look.blur * size, mode="nearest")
    u, v = grid(size)
    if look.vignette:
        picture = picture * (1 - np.float32(look.vignette) * (u * u + v * v) / 2)
    grain = rng.standard_normal((size, size), dtype=np.float32)
    picture = picture + np.float32(look.noise) * grain
    if look.collimation > 0:
        left, right, top, bottom = (
            float(abs(rng.normal(look.collimation, look.collimation / 3))) * 2 for _ in range(4)
        )
        field = (u > left - 1) & (u < 1 - right) & (v > top - 1) & (v < 1 - bottom)
        picture = np.where(field, picture, np.float32(0.02))
    if look.marker:
        _burn_in(picture, look.marker, u, v)
    shown_picture: FloatImage = np.clip(picture, 0, 1).astype(np.float32)
    return shown_picture


_LETTERS = {
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
}


def _burn_in(picture: Field, letter: str, u: Field, v: Field) -> None:
    """Write the side marker in white: L at the image's right, R at its left."""
    bitmap = np.array([[c == "1" for c in row] for row in _LETTERS[letter]])
    pitch = 0.026
    left = 0.70 if letter == "L" else -0.83
    column = np.floor((u - left) / pitch).astype(int)
    row = np.floor((v + 0.93) / pitch).astype(int)
    within = (column >= 0) & (column < 5) & (row >= 0) & (row < 7)
    lit = within & bitmap[np.clip(row, 0, 6), np.clip(column, 0, 4)]
    picture[lit] = 0.97
