"""The six fictional hospitals of the benchmark, and how public studies look and are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedmrg_secure.data.phantom.case import Kind, Prevalence
from fedmrg_secure.data.phantom.look import Look
from fedmrg_secure.data.phantom.report import Style
from fedmrg_secure.data.phantom.vocabulary import GROUPS, USAGES, Group


@dataclass(frozen=True, slots=True)
class Centre:
    """One hospital: whom it sees, how it shows and how it writes."""

    title: str
    participating: bool
    prevalence: Prevalence
    look: Look
    style: Style


_CHEST: Final[frozenset[Group]] = frozenset({"heart", "mediastinum", "lungs", "pleura"})
_ALL: Final[frozenset[Group]] = _CHEST | {"bones"}

CENTRES: Final = (
    Centre(
        title="Harbour View Infirmary",
        participating=True,
        prevalence=Prevalence(
            normal=0.28,
            devices=0.04,
            weights={Kind.EFFUSION: 2.2, Kind.CARDIOMEGALY: 2.0, Kind.EDEMA: 1.8},
        ),
        look=Look(
            dark=0.10,
            bright=0.98,
            gamma=1.0,
            noise=0.018,
            blur=0.004,
            tilt=0.03,
            zoom=0.98,
            collimation=0.0,
            marker="L",
            vignette=0.0,
        ),
        style=Style(
            usages=(("british", 1.0),),
            opening="PA chest radiograph.",
            order=("heart", "mediastinum", "lungs", "pleura", "bones", "devices"),
            denies=_CHEST,
            conclusion="Conclusion",
        ),
    ),
    Centre(
        title="Cedar Valley Clinic",
        participating=True,
        prevalence=Prevalence(
            normal=0.36,
            devices=0.02,
            weights={Kind.PNEUMONIA: 2.2, Kind.NODULE: 1.8, Kind.OPACITY: 1.8},
        ),
        look=Look(
            dark=0.06,
            bright=0.90,
            gamma=1.25,
            noise=0.035,
            blur=0.002,
            tilt=0.05,
            zoom=1.04,
            collimation=0.0,
            marker="",
            vignette=0.05,
        ),
        style=Style(
            usages=(("terse", 1.0),),
            opening="Chest PA.",
            order=("lungs", "pleura", "heart", "mediastinum", "bones", "devices"),
            denies=_ALL,
        ),
    ),
    Centre(
        title="Lakeside Medical Center",
        participating=True,
        prevalence=Prevalence(
            normal=0.26,
            devices=0.10,
            weights={Kind.PNEUMOTHORAX: 2.0, Kind.FRACTURE: 2.2, Kind.ATELECTASIS: 1.8},
        ),
        look=Look(
            dark=0.14,
            bright=1.02,
            gamma=0.85,
            noise=0.015,
            blur=0.008,
            tilt=0.02,
            zoom=0.94,
            collimation=0.02,
            marker="R",
            vignette=0.0,
        ),
        style=Style(
            usages=(("plain", 1.0),),
            opening="EXAM: Chest radiograph.",
            order=("devices", "lungs", "pleura", "heart", "mediastinum", "bones"),
            denies=_ALL,
            sections=True,
            conclusion="Impression",
        ),
    ),
    Centre(
        title="Northfield General Hospital",
        participating=True,
        prevalence=Prevalence(
            normal=0.30,
            devices=0.06,
            weights={Kind.CONSOLIDATION: 1.8, Kind.MASS: 1.8, Kind.THICKENING: 1.6},
        ),
        look=Look(
            dark=0.08,
            bright=0.94,
            gamma=1.1,
            noise=0.026,
            blur=0.005,
            tilt=0.04,
            zoom=1.0,
            collimation=0.03,
            marker="",
            vignette=0.15,
        ),
        style=Style(
            usages=(("full", 1.0),),
            opening="Frontal view of the chest.",
            order=("heart", "mediastinum", "lungs", "pleura", "bones", "devices"),
            denies=_ALL,
        ),
    ),
    Centre(
        title="Moorland Royal Hospital",
        participating=False,
        prevalence=Prevalence(normal=0.31, devices=0.05, weights={Kind.EFFUSION: 1.5}),
        look=Look(
            dark=0.095,
            bright=0.97,
            gamma=1.025,
            noise=0.020,
            blur=0.00425,
            tilt=0.0325,
            zoom=0.985,
            collimation=0.0075,
            marker="L",
            vignette=0.0375,
        ),
        style=Style(
            usages=(("british", 0.75), ("full", 0.25)),
            opening="Chest radiograph.",
            order=("lungs", "pleura", "heart", "mediastinum", "bones", "devices"),
            denies=_CHEST,
            conclusion="Impression",
            habit=0.6,
        ),
    ),
    Centre(
        title="Sunrise Bay Hospital",
        participating=False,
        prevalence=Prevalence(normal=0.31, devices=0.05, weights={Kind.PNEUMONIA: 1.5}),
        look=Look(
            dark=0.116,
            bright=0.984,
            gamma=0.97,
            noise=0.021,
            blur=0.0062,
            tilt=0.029,
            zoom=0.97,
            collimation=0.014,
            marker="R",
            vignette=0.015,
        ),
        style=Style(
            usages=(("plain", 0.7), ("terse", 0.3)),
            opening="Frontal chest radiograph.",
            order=("heart", "lungs", "pleura", "mediastinum", "bones", "devices"),
            denies=_ALL,
            conclusion="Impression",
            habit=0.6,
        ),
    ),
)

PUBLIC_PREVALENCE: Final = Prevalence(normal=0.2, devices=0.08, weights={})


def public_style(rng: np.random.Generator) -> Style:
    """A style of no hospital: every phrase of the language, in a mixture drawn anew."""
    styles = [centre.style for centre in CENTRES]
    order = [*GROUPS]
    rng.shuffle(order)
    return Style(
        usages=tuple((usage, 0.25) for usage in USAGES),
        opening=styles[int(rng.integers(len(styles)))].opening,
        order=tuple(order),
        denies=frozenset(group for group in GROUPS if rng.random() < 0.75),
        sections=bool(rng.random() < 0.3),
        conclusion=styles[int(rng.integers(len(styles)))].conclusion,
        habit=0.5,
    )


def public_look(rng: np.random.Generator) -> Look:
    """A machine of no hospital, drawn anew, from about the range that real ones span."""
    return Look(
        dark=rng.uniform(0.05, 0.15),
        bright=rng.uniform(0.88, 1.04),
        gamma=rng.uniform(0.8, 1.3),
        noise=rng.uniform(0.01, 0.04),
        blur=rng.uniform(0.001, 0.009),
        tilt=rng.uniform(0.01, 0.06),
        zoom=rng.uniform(0.93, 1.05),
        collimation=max(0.0, rng.uniform(-0.04, 0.04)),
        marker=("", "L", "R")[int(rng.integers(3))],
        vignette=rng.uniform(0.0, 0.15),
    )
