"""The six fictional hospitals of the benchmark and the public corpus's style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedmrg_secure.data.phantom.case import Kind, Prevalence
from fedmrg_secure.data.phantom.look import Look
from fedmrg_secure.data.phantom.report import Style


@dataclass(frozen=True, slots=True)
class Centre:
    """One hospital: whom it sees, how it shows and how it writes."""

    title: str
    participating: bool
    prevalence: Prevalence
    look: Look
    style: Style


CENTRES: Final = (
    Centre(
        "Harbour View Infirmary",
        True,
        Prevalence(0.30, 0.04, {Kind.EFFUSION: 2.0, Kind.CARDIOMEGALY: 2.0, Kind.EDEMA: 1.6}),
        Look(0.10, 0.98, 1.0, 0.020, 0.004, 0.03, 0.98, 0.0, "L"),
        Style((("uk", 1.0),), ("heart", "mediastinum", "lungs", "pleura"), False, True),
    ),
    Centre(
        "Cedar Valley Clinic",
        True,
        Prevalence(0.40, 0.02, {Kind.PNEUMONIA: 2.0, Kind.NODULE: 1.8, Kind.OPACITY: 1.6}),
        Look(0.06, 0.90, 1.25, 0.035, 0.002, 0.05, 1.04, 0.0, ""),
        Style(
            (("terse", 1.0),), ("lungs", "pleura", "heart", "mediastinum", "bones"), False, False
        ),
    ),
    Centre(
        "Lakeside Medical Center",
        True,
        Prevalence(0.28, 0.10, {Kind.PNEUMOTHORAX: 2.0, Kind.FRACTURE: 2.2, Kind.ATELECTASIS: 1.5}),
        Look(0.14, 1.02, 0.85, 0.015, 0.008, 0.02, 0.94, 0.02, "R"),
        Style((("us", 1.0),), ("lungs", "pleura", "heart", "mediastinum", "bones"), True, True),
    ),
    Centre(
        "Northfield General Hospital",
        True,
        Prevalence(0.32, 0.06, {Kind.CONSOLIDATION: 1.8, Kind.MASS: 1.6, Kind.THICKENING: 1.6}),
        Look(0.08, 0.94, 1.1, 0.028, 0.005, 0.04, 1.0, 0.03, ""),
        Style((("us", 1.0),), ("heart", "mediastinum", "lungs", "pleura", "bones"), False, False),
    ),
    Centre(
        "Moorland Royal Hospital",
        False,
        Prevalence(0.33, 0.05, {}),
        Look(0.09, 1.00, 0.95, 0.024, 0.006, 0.04, 0.97, 0.02, "L"),
        Style((("uk", 1.0),), ("lungs", "pleura", "heart"), True, True),
    ),
    Centre(
        "Sunrise Bay Hospital",
        False,
        Prevalence(0.33, 0.05, {}),
        Look(0.10, 0.93, 1.15, 0.03, 0.003, 0.04, 1.03, 0.0, "R"),
        Style((("us", 0.7), ("terse", 0.3)), ("lungs", "heart", "pleura", "bones"), False, True),
    ),
)
