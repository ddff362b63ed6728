"""What a phantom patient has: anatomy and findings, before any image or report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

import numpy as np

Side = Literal["left", "right", "both", ""]
Zone = Literal["upper", "middle", "lower", ""]


class Kind(StrEnum):
    """The findings that a phantom can show."""

    CARDIOMEGALY = "cardiomegaly"
    WIDE_MEDIASTINUM = "wide mediastinum"
    EFFUSION = "effusion"
    PNEUMOTHORAX = "pneumothorax"
    CONSOLIDATION = "consolidation"
    PNEUMONIA = "pneumonia"
    OPACITY = "opacity"
    NODULE = "nodule"
    MASS = "mass"
    EDEMA = "edema"
    ATELECTASIS = "atelectasis"
    THICKENING = "pleural thickening"
    FRACTURE = "rib fracture"
    PACEMAKER = "pacemaker"
    TUBE = "endotracheal tube"
    FEEDING_TUBE = "nasogastric tube"
    LINE = "central line"


DEVICES: Final = (Kind.PACEMAKER, Kind.TUBE, Kind.FEEDING_TUBE, Kind.LINE)
PATHOLOGIES: Final = tuple(kind for kind in Kind if kind not in DEVICES)

_IN_ONE_ZONE: Final = (Kind.CONSOLIDATION, Kind.PNEUMONIA, Kind.OPACITY, Kind.NODULE, Kind.MASS)
_ON_ONE_SIDE: Final = (
    Kind.EFFUSION,
    Kind.PNEUMOTHORAX,
    Kind.ATELECTASIS,
    Kind.THICKENING,
    Kind.FRACTURE,
)
FAINT: Final = 0.12
"""A finding of less severity is seen only with doubt, and reported so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: where it is and how severe, in [0, 1]."""

    kind: Kind
    side: Side = ""
    zone: Zone = ""
    severity: float = 0.5

    @property
    def certain(self) -> bool:
        return self.severity >= FAINT

    @property
    def grade(self) -> int:
        """0 mild or small, 1 moderate, 2 severe or large."""
        return 0 if self.severity < 0.4 else 1 if self.severity < 0.72 else 2


@dataclass(frozen=True, slots=True)
class Anatomy:
    """How one patient is built; every number is a standard normal draw."""

    width: float
    height: float
    heart: float
    domes: float
    ribs: float
    vessels: int
    """Seed of the vessel pattern."""


@dataclass(frozen=True, slots=True)
class Case:
    """One study of one patient."""

    anatomy: Anatomy
    findings: tuple[Finding, ...]

    def of(self, *kinds: Kind) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind in kinds)


@dataclass(frozen=True, slots=True)
class Prevalence:
    """How often a centre sees what.

    Attributes:
        normal: share of patients without a pathology.
        devices: probability of each device.
        weights: relative frequency of each pathology; 1 where absent.
    """

    normal: float
    devices: float
    weights: Mapping[Kind, float]


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """One patient's build."""
    numbers = np.clip(rng.standard_normal(5), -2, 2)
    width, height, heart, domes, ribs = map(float, numbers)
    return Anatomy(width, height, heart, domes, ribs, vessels=int(rng.integers(2**31)))


def draw_findings(rng: np.random.Generator, prevalence: Prevalence) -> tuple[Finding, ...]:
    """One patient's findings; no two hide each other."""
    wanted: list[Kind] = []
    if rng.random() >= prevalence.normal:
        weights = np.array([prevalence.weights.get(kind, 1.0) for kind in PATHOLOGIES])
        count = int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
        chosen = rng.choice(len(PATHOLOGIES), size=count, replace=False, p=weights / weights.sum())
        wanted = [PATHOLOGIES[int(index)] for index in chosen]
    findings: list[Finding] = []
    for kind in wanted:
        finding = _place(kind, rng)
        if not any(_collide(finding, other) for other in findings):
            findings.append(finding)
    findings += [_place(kind, rng) for kind in DEVICES if rng.random() < prevalence.devices]
    return tuple(sorted(findings, key=lambda finding: list(Kind).index(finding.kind)))


def _place(kind: Kind, rng: np.random.Generator) -> Finding:
    side: Side = "right" if rng.random() < 0.5 else "left"
    zone: Zone = ("upper", "middle", "lower")[int(rng.choice(3, p=[0.25, 0.25, 0.5]))]
    severity = float(rng.random())
    if kind in DEVICES:
        return Finding(kind, severity=1.0)
    if kind in _IN_ONE_ZONE:
        return Finding(kind, side, zone, severity)
    if kind is Kind.EFFUSION and rng.random() < 0.2:
        return Finding(kind, "both", "", severity * 0.7)
    if kind in _ON_ONE_SIDE:
        return Finding(kind, side, "", severity)
    return Finding(kind, severity=severity)


_FILLS_A_SIDE: Final = (Kind.PNEUMOTHORAX, Kind.EFFUSION, Kind.THICKENING)
_DIFFUSE: Final = (Kind.EDEMA, Kind.PNEUMOTHORAX, Kind.OPACITY, Kind.PNEUMONIA)


def _collide(one: Finding, other: Finding) -> bool:
    kinds = {one.kind, other.kind}
    same_side = one.side == other.side or "both" in (one.side, other.side)
    if kinds <= {Kind.CONSOLIDATION, Kind.PNEUMONIA, Kind.OPACITY} or kinds <= {
        Kind.NODULE,
        Kind.MASS,
    }:
        return True
    if Kind.EDEMA in kinds and kinds & set(_DIFFUSE) - {Kind.EDEMA}:
        return True
    if not same_side or not one.side or not other.side:
        return False
    if kinds <= set(_FILLS_A_SIDE) or Kind.PNEUMOTHORAX in kinds:
        return True
    if Kind.EFFUSION in kinds:
        return "lower" in (one.zone, other.zone) or Kind.ATELECTASIS in kinds
    return bool(one.zone) and one.zone == other.zone
