"""The words for findings and for their absence, in American, British and terse usage.

Placeholders: ``{size}`` small/moderate/large, ``{grade}`` mild/moderate/severe, ``{side}``
left/right, ``{place}`` where in the lung.
"""

from __future__ import annotations

from typing import Final, Literal

from fedmrg_secure.core.types import Status
from fedmrg_secure.data.phantom.case import Kind

Usage = Literal["us", "uk", "terse"]
Group = Literal["heart", "mediastinum", "lungs", "pleura", "bones", "devices"]

GROUP_OF: Final[dict[Kind, Group]] = {
    Kind.CARDIOMEGALY: "heart",
    Kind.WIDE_MEDIASTINUM: "mediastinum",
    Kind.EFFUSION: "pleura",
    Kind.PNEUMOTHORAX: "pleura",
    Kind.THICKENING: "pleura",
    Kind.CONSOLIDATION: "lungs",
    Kind.PNEUMONIA: "lungs",
    Kind.OPACITY: "lungs",
    Kind.NODULE: "lungs",
    Kind.MASS: "lungs",
    Kind.EDEMA: "lungs",
    Kind.ATELECTASIS: "lungs",
    Kind.FRACTURE: "bones",
    Kind.PACEMAKER: "devices",
    Kind.TUBE: "devices",
    Kind.FEEDING_TUBE: "devices",
    Kind.LINE: "devices",
}

CLASS_OF: Final[dict[Kind, str]] = {
    Kind.CARDIOMEGALY: "Cardiomegaly",
    Kind.WIDE_MEDIASTINUM: "Enlarged Cardiomediastinum",
    Kind.EFFUSION: "Pleural Effusion",
    Kind.PNEUMOTHORAX: "Pneumothorax",
    Kind.THICKENING: "Pleural Other",
    Kind.CONSOLIDATION: "Consolidation",
    Kind.PNEUMONIA: "Pneumonia",
    Kind.OPACITY: "Lung Opacity",
    Kind.NODULE: "Lung Lesion",
    Kind.MASS: "Lung Lesion",
    Kind.EDEMA: "Edema",
    Kind.ATELECTASIS: "Atelectasis",
    Kind.FRACTURE: "Fracture",
    Kind.PACEMAKER: "Support Devices",
    Kind.TUBE: "Support Devices",
    Kind.FEEDING_TUBE: "Support Devices",
    Kind.LINE: "Support Devices",
}

NOUNS: Final[dict[Kind, dict[Usage, str]]] = {
    Kind.CARDIOMEGALY: {
        "us": "{grade} cardiomegaly",
        "uk": "{grade} cardiac enlargement",
        "terse": "{grade} cardiomegaly",
    },
    Kind.WIDE_MEDIASTINUM: {
        "us": "widening of the mediastinum",
        "uk": "mediastinal widening",
        "terse": "widened mediastinum",
    },
    Kind.EFFUSION: {
        "us": "{size} {side} pleural effusion",
        "uk": "{size} {side} sided pleural effusion",
        "terse": "{size} {side} effusion",
    },
    Kind.PNEUMOTHORAX: {
        "us": "{size} {side} pneumothorax",
        "uk": "{size} {side} sided pneumothorax",
        "terse": "{size} {side} pneumothorax",
    },
    Kind.THICKENING: {
        "us": "pleural thickening at the {side} apex",
        "uk": "{side} apical pleural thickening",
        "terse": "{side} pleural thickening",
    },
    Kind.CONSOLIDATION: {
        "us": "focal consolidation in the {side} {zone} lung",
        "uk": "consolidation in the {side} {zone} zone",
        "terse": "{side} {zone} lung consolidation",
    },
    Kind.PNEUMONIA: {
        "us": "consolidation with air bronchograms in the {side} {zone} lung",
        "uk": "patchy consolidation in the {side} {zone} zone",
        "terse": "{side} {zone} lung consolidation",
    },
    Kind.OPACITY: {
        "us": "hazy opacity in the {side} {zone} lung",
        "uk": "hazy shadowing in the {side} {zone} zone",
        "terse": "{side} {zone} lung opacity",
    },
    Kind.NODULE: {
        "us": "nodule in the {side} {zone} lung",
        "uk": "nodule in the {side} {zone} zone",
        "terse": "{side} {zone} lung nodule",
    },
    Kind.MASS: {
        "us": "mass in the {side} {zone} lung",
        "uk": "rounded mass in the {side} {zone} zone",
        "terse": "{side} {zone} lung mass",
    },
    Kind.EDEMA: {
        "us": "{grade} pulmonary edema",
        "uk": "{grade} pulmonary oedema",
        "terse": "{grade} edema",
    },
    Kind.ATELECTASIS: {
        "us": "linear atelectasis at the {side} lung base",
        "uk": "plate atelectasis at the {side} base",
        "terse": "{side} basilar atelectasis",
    },
    Kind.FRACTURE: {
        "us": "displaced {side} rib fracture",
        "uk": "fracture of a {side} rib",
        "terse": "{side} rib fracture",
    },
    Kind.PACEMAKER: {
        "us": "left chest pacemaker",
        "uk": "left sided pacemaker",
        "terse": "pacemaker",
    },
    Kind.TUBE: {
        "us": "endotracheal tube",
        "uk": "endotracheal tube",
        "terse": "ET tube",
    },
    Kind.FEEDING_TUBE: {
        "us": "enteric tube",
        "uk": "nasogastric tube",
        "terse": "NG tube",
    },
    Kind.LINE: {
        "us": "right central venous catheter",
        "uk": "right central line",
        "terse": "right central line",
    },
}

MASSES: Final = (
    Kind.EDEMA,
    Kind.CONSOLIDATION,
    Kind.PNEUMONIA,
    Kind.THICKENING,
    Kind.ATELECTASIS,
    Kind.CARDIOMEGALY,
    Kind.WIDE_MEDIASTINUM,
)
"""Kinds whose noun takes no article."""

NEGATIVES: Final[dict[Group, dict[Usage, tuple[str, ...]]]] = {
    "heart": {
        "us": ("The heart size is normal.", "Heart size is within normal limits."),
        "uk": ("The heart is not enlarged.", "The cardiothoracic ratio is normal."),
        "terse": ("Heart size normal.",),
    },
    "mediastinum": {
        "us": ("The mediastinal contours are normal.",),
        "uk": ("Normal mediastinal contours.",),
        "terse": ("Mediastinum normal.",),
    },
    "lungs": {
        "us": ("The lungs are clear.",),
        "uk": ("The lung fields are clear.",),
        "terse": ("Lungs clear.",),
    },
    "pleura": {
        "us": ("There is no pleural effusion or pneumothorax.",),
        "uk": ("No pleural effusion or pneumothorax.",),
        "terse": ("No effusion or pneumothorax.",),
    },
    "bones": {
        "us": ("No acute fracture is seen.",),
        "uk": ("No rib fracture is seen.",),
        "terse": ("No fracture.",),
    },
    "devices": {"us": (), "uk": (), "terse": ()},
}

SAYS: Final[dict[Group, tuple[str, ...]]] = {
    "heart": ("Cardiomegaly",),
    "mediastinum": ("Enlarged Cardiomediastinum",),
    "lungs": ("Lung Opacity",),
    "pleura": ("Pleural Effusion", "Pneumothorax"),
    "bones": ("Fracture",),
    "devices": (),
}
"""The classes that a group's negative sentence denies."""

PRECEDENCE: Final = (Status.POSITIVE, Status.UNCERTAIN, Status.NEGATIVE)
