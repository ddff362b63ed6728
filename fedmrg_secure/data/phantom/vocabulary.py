"""Which class a finding belongs to, its short name, and how doubt is put."""

from __future__ import annotations

from typing import Final, Literal

from fedmrg_secure.data.phantom.case import Kind

Usage = Literal["plain", "full", "british", "terse"]
"""A way to write: plain and full are American; full is the long-winded one."""

USAGES: Final[tuple[Usage, ...]] = ("plain", "full", "british", "terse")

Group = Literal["heart", "mediastinum", "lungs", "pleura", "bones", "devices"]
GROUPS: Final[tuple[Group, ...]] = (
    "heart",
    "mediastinum",
    "lungs",
    "pleura",
    "bones",
    "devices",
)

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

_GROUP_OF_CLASS: Final[dict[str, Group]] = {
    "Cardiomegaly": "heart",
    "Enlarged Cardiomediastinum": "mediastinum",
    "Pleural Effusion": "pleura",
    "Pneumothorax": "pleura",
    "Pleural Other": "pleura",
    "Fracture": "bones",
    "Support Devices": "devices",
}


def group_of(kind: Kind) -> Group:
    """The part of a report that speaks of a finding."""
    return _GROUP_OF_CLASS.get(CLASS_OF[kind], "lungs")


NOUNS: Final[dict[Kind, tuple[str, str]]] = {
    Kind.CARDIOMEGALY: ("{grade} cardiomegaly", "{grade} cardiac enlargement"),
    Kind.WIDE_MEDIASTINUM: ("mediastinal widening", "widening of the mediastinum"),
    Kind.EFFUSION: ("{size} {side} pleural effusion", "{size} {side} pleural effusion"),
    Kind.PNEUMOTHORAX: ("{size} {side} pneumothorax", "{size} {side} pneumothorax"),
    Kind.THICKENING: ("{side} pleural thickening", "{side} apical pleural thickening"),
    Kind.CONSOLIDATION: ("{side} {zone} lung consolidation", "{side} {zone} zone consolidation"),
    Kind.PNEUMONIA: ("{side} {zone} lung pneumonia", "{side} {zone} zone pneumonia"),
    Kind.OPACITY: ("{side} {zone} lung opacity", "{side} {zone} zone shadowing"),
    Kind.NODULE: ("{side} {zone} lung nodule", "{side} {zone} zone nodule"),
    Kind.MASS: ("{side} {zone} lung mass", "{side} {zone} zone mass"),
    Kind.EDEMA: ("{grade} pulmonary edema", "{grade} pulmonary oedema"),
    Kind.ATELECTASIS: ("{side} basilar atelectasis", "{side} basal atelectasis"),
    Kind.FRACTURE: ("{side} rib fracture", "{side} rib fracture"),
}
"""Short names: American, British."""

NO_ARTICLE: Final = frozenset(
    {
        Kind.EDEMA,
        Kind.CONSOLIDATION,
        Kind.PNEUMONIA,
        Kind.OPACITY,
        Kind.THICKENING,
        Kind.ATELECTASIS,
        Kind.CARDIOMEGALY,
        Kind.WIDE_MEDIASTINUM,
    }
)

DOUBTS: Final[dict[Usage, tuple[str, ...]]] = {
    "plain": ("Possible {noun}.", "{noun} is possible."),
    "full": ("There may be {noun}.", "Findings may represent {noun}."),
    "british": ("{noun} cannot be excluded.", "There is questionable {noun}."),
    "terse": ("Possible {noun}.", "Questionable {noun}."),
}

SIZES: Final = ("small", "moderate", "large")
GRADES: Final[dict[bool, tuple[str, str, str]]] = {
    False: ("mild", "moderate", "severe"),
    True: ("mild", "moderate", "gross"),
}
"""By whether the usage is British."""

GRADELY: Final = ("mildly", "moderately", "severely")
