"""How each usage states each finding. The first sentence is the habit, the second the variation.

Placeholders: ``{size}``, ``{grade}``, ``{gradely}``, ``{side}``, ``{zone}``.
"""

from __future__ import annotations

from typing import Final

from fedmrg_secure.data.phantom.case import Kind
from fedmrg_secure.data.phantom.vocabulary import Usage

POSITIVE: Final[dict[Kind, dict[Usage, tuple[str, str]]]] = {
    Kind.CARDIOMEGALY: {
        "plain": ("The heart is {gradely} enlarged.", "There is {grade} cardiomegaly."),
        "full": (
            "The cardiac silhouette is {gradely} enlarged.",
            "The size of the heart is {gradely} enlarged, indicating {grade} cardiomegaly.",
        ),
        "british": (
            "The heart is enlarged, with {grade} cardiomegaly.",
            "The cardiothoracic ratio is increased, with {grade} cardiac enlargement.",
        ),
        "terse": ("{grade} cardiomegaly.", "Heart {gradely} enlarged."),
    },
    Kind.WIDE_MEDIASTINUM: {
        "plain": ("The mediastinum is widened.", "There is mediastinal widening."),
        "full": (
            "There is widening of the superior mediastinum.",
            "The upper mediastinal contour is widened.",
        ),
        "british": (
            "The superior mediastinum is widened.",
            "There is widening of the upper mediastinum.",
        ),
        "terse": ("Mediastinum widened.", "Mediastinal widening."),
    },
    Kind.EFFUSION: {
        "plain": ("There is a {size} {side} pleural effusion.", "{size} {side} pleural effusion."),
        "full": (
            "There is a {size} pleural effusion on the {side}.",
            "A {size} {side} pleural effusion is present.",
        ),
        "british": (
            "There is a {size} {side} sided pleural effusion.",
            "Blunting of the {side} costophrenic angle due to a {size} pleural effusion.",
        ),
        "terse": ("{size} {side} effusion.", "{side} pleural effusion, {size}."),
    },
    Kind.PNEUMOTHORAX: {
        "plain": ("There is a {size} {side} pneumothorax.", "{size} {side} pneumothorax."),
        "full": (
            "There is a {size} pneumothorax on the {side}.",
            "A {size} {side} pneumothorax with a visible pleural line is present.",
        ),
        "british": (
            "There is a {size} {side} sided pneumothorax.",
            "A {side} lung edge is visible, in keeping with a {size} pneumothorax.",
        ),
        "terse": ("{size} {side} pneumothorax.", "{side} pneumothorax, {size}."),
    },
    Kind.THICKENING: {
        "plain": ("There is {side} pleural thickening.", "{side} apical pleural thickening."),
        "full": (
            "There is pleural thickening at the {side} apex.",
            "Pleural thickening is present along the {side} upper chest wall.",
        ),
        "british": (
            "There is {side} apical pleural thickening.",
            "Pleural thickening is noted at the {side} apex.",
        ),
        "terse": ("{side} pleural thickening.", "{side} apical pleural thickening."),
    },
    Kind.CONSOLIDATION: {
        "plain": (
            "There is consolidation in the {side} {zone} lung.",
            "{side} {zone} lung consolidation.",
        ),
        "full": (
            "There is a dense focal consolidation in the {side} {zone} lung.",
            "Dense airspace consolidation is present in the {side} {zone} lung.",
        ),
        "british": (
            "There is consolidation in the {side} {zone} zone.",
            "Dense consolidation is noted in the {side} {zone} zone.",
        ),
        "terse": ("{side} {zone} lung consolidation.", "Consolidation {side} {zone} lung."),
    },
    Kind.PNEUMONIA: {
        "plain": (
            "There is patchy consolidation in the {side} {zone} lung{link} pneumonia.",
            "Patchy {side} {zone} lung consolidation{link} pneumonia.",
        ),
        "full": (
            "There is patchy consolidation with air bronchograms in the {side} {zone} lung"
            "{link} pneumonia.",
            "Patchy airspace consolidation is present in the {side} {zone} lung{link} pneumonia.",
        ),
        "british": (
            "There is patchy consolidation in the {side} {zone} zone{link} pneumonia.",
            "Patchy consolidation is noted in the {side} {zone} zone{link} pneumonia.",
        ),
        "terse": (
            "Patchy {side} {zone} lung consolidation{link} pneumonia.",
            "Patchy consolidation {side} {zone} lung{link} pneumonia.",
        ),
    },
    Kind.OPACITY: {
        "plain": (
            "There is a hazy opacity in the {side} {zone} lung.",
            "Hazy {side} {zone} lung opacity.",
        ),
        "full": (
            "There is a hazy ground glass opacity in the {side} {zone} lung.",
            "A hazy opacity is present in the {side} {zone} lung.",
        ),
        "british": (
            "There is hazy shadowing in the {side} {zone} zone.",
            "Ground glass shadowing is noted in the {side} {zone} zone.",
        ),
        "terse": ("Hazy {side} {zone} lung opacity.", "Hazy opacity {side} {zone} lung."),
    },
    Kind.NODULE: {
        "plain": ("There is a nodule in the {side} {zone} lung.", "{side} {zone} lung nodule."),
        "full": (
            "There is a small rounded nodule in the {side} {zone} lung.",
            "A pulmonary nodule is present in the {side} {zone} lung.",
        ),
        "british": (
            "There is a nodule in the {side} {zone} zone.",
            "A small rounded nodule is noted in the {side} {zone} zone.",
        ),
        "terse": ("{side} {zone} lung nodule.", "Nodule {side} {zone} lung."),
    },
    Kind.MASS: {
        "plain": ("There is a mass in the {side} {zone} lung.", "{side} {zone} lung mass."),
        "full": (
            "There is a large rounded mass in the {side} {zone} lung.",
            "A pulmonary mass is present in the {side} {zone} lung.",
        ),
        "british": (
            "There is a mass in the {side} {zone} zone.",
            "A large rounded mass is noted in the {side} {zone} zone.",
        ),
        "terse": ("{side} {zone} lung mass.", "Mass {side} {zone} lung."),
    },
    Kind.EDEMA: {
        "plain": ("There is {grade} pulmonary edema.", "{grade} pulmonary edema."),
        "full": (
            "There is {grade} interstitial edema with septal lines.",
            "Perihilar haze and septal lines are present, consistent with {grade} pulmonary edema.",
        ),
        "british": (
            "There is {grade} pulmonary oedema.",
            "Septal lines are noted, in keeping with {grade} pulmonary oedema.",
        ),
        "terse": ("{grade} edema.", "{grade} pulmonary edema."),
    },
    Kind.ATELECTASIS: {
        "plain": (
            "There is linear atelectasis at the {side} lung base.",
            "{side} basilar atelectasis.",
        ),
        "full": (
            "There is linear atelectasis at the {side} base with volume loss.",
            "Band like atelectasis is present at the {side} lung base.",
        ),
        "british": (
            "There is plate atelectasis at the {side} base.",
            "Linear collapse is noted at the {side} base.",
        ),
        "terse": ("{side} basilar atelectasis.", "Linear atelectasis {side} base."),
    },
    Kind.FRACTURE: {
        "plain": ("There is a displaced {side} rib fracture.", "Displaced {side} rib fracture."),
        "full": (
            "There is a displaced fracture of a {side} lateral rib.",
            "A displaced rib fracture is present on the {side}.",
        ),
        "british": (
            "There is a displaced {side} rib fracture.",
            "A fractured rib is noted on the {side}.",
        ),
        "terse": ("{side} rib fracture.", "Displaced {side} rib fracture."),
    },
    Kind.PACEMAKER: {
        "plain": ("A left chest pacemaker is in place.", "Left chest pacemaker."),
        "full": (
            "A left chest wall pacemaker is present with its lead in the right ventricle.",
            "A pacemaker is present in the left chest.",
        ),
        "british": ("A left sided pacemaker is in situ.", "Pacemaker in situ."),
        "terse": ("Pacemaker.", "Pacemaker in place."),
    },
    Kind.TUBE: {
        "plain": ("An endotracheal tube is in place.", "Endotracheal tube in place."),
        "full": (
            "An endotracheal tube is present with its tip above the carina.",
            "The tip of the endotracheal tube lies above the carina.",
        ),
        "british": ("An endotracheal tube is in situ.", "Endotracheal tube in situ."),
        "terse": ("ET tube.", "ET tube in place."),
    },
    Kind.FEEDING_TUBE: {
        "plain": ("An enteric tube is in place.", "Enteric tube in place."),
        "full": (
            "An enteric tube is present with its tip in the stomach.",
            "The tip of the enteric tube lies in the stomach.",
        ),
        "british": ("A nasogastric tube is in situ.", "Nasogastric tube in situ."),
        "terse": ("NG tube.", "NG tube in place."),
    },
    Kind.LINE: {
        "plain": ("A right central venous catheter is in place.", "Right central catheter."),
        "full": (
            "A right central venous catheter is present with its tip in the superior vena cava.",
            "A right central venous catheter is present.",
        ),
        "british": ("A right central line is in situ.", "Central line in situ."),
        "terse": ("Right central line.", "Central line in place."),
    },
}

LINKS: Final[dict[Usage, tuple[str, str]]] = {
    "plain": (" consistent with", " which may represent"),
    "full": (", consistent with", ", which may represent"),
    "british": (" in keeping with", " which may represent"),
    "terse": (" consistent with", ", possible"),
}
"""Between consolidation and pneumonia: when certain, when not."""

BOTH_SIDES: Final[dict[Usage, tuple[str, str]]] = {
    "plain": ("There are {size} bilateral pleural effusions.", "{size} bilateral effusions."),
    "full": (
        "There are {size} pleural effusions on both sides.",
        "{size} bilateral pleural effusions are present.",
    ),
    "british": (
        "There are {size} bilateral pleural effusions.",
        "Blunting of both costophrenic angles due to {size} pleural effusions.",
    ),
    "terse": ("{size} bilateral effusions.", "Bilateral effusions, {size}."),
}
