"""How each usage says that something is not there, and which classes a sentence denies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedmrg_secure.data.phantom.vocabulary import Group, Usage


@dataclass(frozen=True, slots=True)
class Negative:
    """A sentence that denies `classes`; used only when none of them is found."""

    text: str
    classes: tuple[str, ...]


_HEART = ("Cardiomegaly",)
_MEDIASTINUM = ("Enlarged Cardiomediastinum",)
_OPACITY = ("Lung Opacity",)
_CONSOLIDATION = ("Consolidation",)
_EDEMA = ("Edema",)
_LESION = ("Lung Lesion",)
_EFFUSION = ("Pleural Effusion",)
_PNEUMOTHORAX = ("Pneumothorax",)
_FRACTURE = ("Fracture",)

NEGATIVES: Final[dict[Group, dict[Usage, tuple[Negative, ...]]]] = {
    "heart": {
        "plain": (Negative("The heart size is normal.", _HEART),),
        "full": (Negative("The heart is normal in size.", _HEART),),
        "british": (Negative("The heart is not enlarged.", _HEART),),
        "terse": (Negative("Heart size normal.", _HEART),),
    },
    "mediastinum": {
        "plain": (Negative("The mediastinal contours are normal.", _MEDIASTINUM),),
        "full": (Negative("The mediastinal contours are within normal limits.", _MEDIASTINUM),),
        "british": (Negative("Normal mediastinal outline.", _MEDIASTINUM),),
        "terse": (Negative("Mediastinum normal.", _MEDIASTINUM),),
    },
    "lungs": {
        "plain": (
            Negative("No focal consolidation.", _CONSOLIDATION),
            Negative("No pulmonary edema.", _EDEMA),
        ),
        "full": (
            Negative("There is no focal consolidation.", _CONSOLIDATION),
            Negative("No suspicious pulmonary nodule or mass is seen.", _LESION),
        ),
        "british": (
            Negative("There is no consolidation.", _CONSOLIDATION),
            Negative("There is no evidence of pulmonary oedema.", _EDEMA),
        ),
        "terse": (Negative("No consolidation or edema.", _CONSOLIDATION + _EDEMA),),
    },
    "pleura": {
        "plain": (
            Negative("No pleural effusion or pneumothorax.", _EFFUSION + _PNEUMOTHORAX),
            Negative("No pleural effusion.", _EFFUSION),
            Negative("No pneumothorax.", _PNEUMOTHORAX),
        ),
        "full": (
            Negative("There is no pleural effusion or pneumothorax.", _EFFUSION + _PNEUMOTHORAX),
            Negative("There is no pleural effusion.", _EFFUSION),
            Negative("There is no pneumothorax.", _PNEUMOTHORAX),
        ),
        "british": (
            Negative("No evidence of pneumothorax or pleural effusion.", _EFFUSION + _PNEUMOTHORAX),
            Negative("No evidence of pleural effusion.", _EFFUSION),
            Negative("No evidence of pneumothorax.", _PNEUMOTHORAX),
        ),
        "terse": (
            Negative("No effusion or pneumothorax.", _EFFUSION + _PNEUMOTHORAX),
            Negative("No effusion.", _EFFUSION),
            Negative("No pneumothorax.", _PNEUMOTHORAX),
        ),
    },
    "bones": {
        "plain": (Negative("No acute fracture.", _FRACTURE),),
        "full": (Negative("No acute rib fracture is identified.", _FRACTURE),),
        "british": (Negative("No rib fracture is demonstrated.", _FRACTURE),),
        "terse": (Negative("No fracture.", _FRACTURE),),
    },
    "devices": {"plain": (), "full": (), "british": (), "terse": ()},
}
"""In order; a sentence whose classes were denied before is left out."""

CLEAR: Final[dict[Usage, Negative]] = {
    "plain": Negative("The lungs are clear.", _OPACITY),
    "full": Negative("The lungs are clear and well expanded.", _OPACITY),
    "british": Negative("The lung fields are clear.", _OPACITY),
    "terse": Negative("Lungs clear.", _OPACITY),
}
"""Said first of lungs in which nothing was found."""

ALL_WELL: Final[dict[Usage, str]] = {
    "plain": "No acute cardiopulmonary process.",
    "full": "No acute cardiopulmonary disease is identified.",
    "british": "Normal chest radiograph.",
    "terse": "Normal chest.",
}

ADVICE: Final[dict[str, tuple[str, str]]] = {
    "Lung Lesion": ("CT is recommended.", "CT is advised."),
    "Pneumonia": ("Follow up is recommended.", "Follow up is advised."),
    "Pneumothorax": ("Clinical correlation is recommended.", "Clinical review is advised."),
}
"""What a conclusion adds, American and British; it states no class."""
