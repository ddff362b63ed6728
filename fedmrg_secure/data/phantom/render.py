"""From a case to its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedmrg_secure.data.phantom.anatomy import (
    make_lungs,
    paint_body,
    paint_bones,
    paint_markings,
    paint_mediastinum,
    texture,
)
from fedmrg_secure.data.phantom.case import Case, Kind, Side
from fedmrg_secure.data.phantom.devices import paint_devices
from fedmrg_secure.data.phantom.film import Film
from fedmrg_secure.data.phantom.look import Look, expose, position
from fedmrg_secure.data.phantom.pathology import paint_findings, reveal_solid
from fedmrg_secure.data.phantom.seeds import stream
from fedmrg_secure.data.records import FloatImage


@dataclass(frozen=True, slots=True)
class PhantomImage:
    """The image of a phantom study, rendered each time it is loaded.

    Attributes:
        seed, record: name the random streams of this image.
        case: what the patient has.
        look: how the centre shows it.
    """

    seed: int
    record: str
    case: Case
    look: Look

    def load(self, image_size: int) -> FloatImage:
        """The picture, shape (image_size, image_size), float32 in [0, 1]; the same every time."""
        shape = stream("shape", self.seed, self.record)
        machine = stream("machine", self.seed, self.record)
        film = position(self.look, image_size, machine)
        paint(self.case, film, shape)
        return expose(film, self.look, machine)


def paint(case: Case, film: Film, rng: np.random.Generator) -> None:
    """Paint a whole patient."""
    anatomy = case.anatomy
    raised: dict[Side, float] = {}
    broken: dict[Side, float] = {}
    pushed, ratio, widening = 0.0, 0.445 + 0.012 * anatomy.heart, 1.0
    for finding in case.findings:
        away = -1.0 if finding.side == "left" else 1.0
        match finding.kind:
            case Kind.ATELECTASIS:
                raised[finding.side] = 0.07
            case Kind.FRACTURE:
                broken[finding.side] = finding.severity
            case Kind.EFFUSION if finding.side != "both" and finding.grade == 2:
                pushed = 0.05 * away
            case Kind.PNEUMOTHORAX if finding.grade == 2:
                pushed = 0.04 * away
            case Kind.CARDIOMEGALY:
                ratio = 0.54 + 0.13 * finding.severity if finding.certain else 0.515
            case Kind.WIDE_MEDIASTINUM:
                widening = 1.7 + 0.6 * finding.severity if finding.certain else 1.45
            case _:
                continue
    film.density += texture(film, rng)
    lungs = make_lungs(film, anatomy, raised)
    paint_body(film, anatomy, lungs)
    paint_markings(film, anatomy, lungs)
    paint_findings(film, case, lungs, rng)
    silhouette = paint_mediastinum(film, anatomy, ratio=ratio, widening=widening, pushed=pushed)
    reveal_solid(film)
    paint_bones(film, anatomy, lungs, silhouette, broken)
    paint_devices(film, case)
