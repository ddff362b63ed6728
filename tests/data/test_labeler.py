from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.labeler import label_report, split_sentences

P, N, U = Status.POSITIVE, Status.NEGATIVE, Status.UNCERTAIN


def labels(text: str) -> dict[str, Status]:
    """All classes that are stated, No Finding aside."""
    found = zip(CHEXPERT_CLASSES, label_report(text), strict=True)
    return {name: s for name, s in found if s is not Status.BLANK and name != "No Finding"}


CASES: list[tuple[str, dict[str, Status]]] = [
    # mentions, American and British
    ("There is a small left pleural effusion.", {"Pleural Effusion": P}),
    ("Moderate pulmonary oedema.", {"Edema": P}),
    ("Mild interstitial edema.", {"Edema": P}),
    ("Hazy shadowing in the left lower zone.", {"Lung Opacity": P}),
    ("Linear collapse at the right base.", {"Atelectasis": P}),
    ("A 3.5 cm mass in the right upper lobe.", {"Lung Lesion": P}),
    ("Displaced fracture of the left sixth rib.", {"Fracture": P}),
    ("Left apical pleural thickening.", {"Pleural Other": P}),
    ("The ET tube lies above the carina.", {"Support Devices": P}),
    ("Right PICC line.", {"Support Devices": P}),
    ("Port with its tip in the lower SVC.", {"Support Devices": P}),
    ("Suture material and surgical clips in the left apex.", {"Support Devices": P}),
    ("Spinal stimulator. EKG leads.", {"Support Devices": P}),
    ("No pleural air collections.", {"Pneumothorax": N}),
    ("Large left hydropneumothorax.", {"Pneumothorax": P, "Pleural Effusion": P}),
    ("Chronic interstitial lung disease.", {"Lung Opacity": P}),
    ("Central vascular prominence.", {"Edema": P}),
    ("Fissural thickening.", {"Pleural Other": P}),
    # silhouettes
    ("The heart is enlarged.", {"Cardiomegaly": P}),
    ("The heart is not enlarged.", {"Cardiomegaly": N}),
    ("Heart size is within normal limits.", {"Cardiomegaly": N}),
    ("The heart is at the upper limits of normal in size.", {"Cardiomegaly": N}),
    ("Borderline cardiomegaly.", {"Cardiomegaly": U}),
    ("No cardiomegaly.", {"Cardiomegaly": N}),
    ("The cardiothoracic ratio is increased.", {"Cardiomegaly": P}),
    ("The mediastinum is widened.", {"Enlarged Cardiomediastinum": P}),
    ("Unremarkable mediastinal contours.", {"Enlarged Cardiomediastinum": N}),
    (
        "Heart size and mediastinal contours are within normal limits.",
        {"Cardiomegaly": N, "Enlarged Cardiomediastinum": N},
    ),
    (
        "The heart, mediastinum, and lungs are normal.",
        {"Cardiomegaly": N, "Enlarged Cardiomediastinum": N},
    ),
    (
        "Heart size is normal and the mediastinum is widened.",
        {"Cardiomegaly": N, "Enlarged Cardiomediastinum": P},
    ),
    (
        "The heart is mildly enlarged, mediastinum normal.",
        {"Cardiomegaly": P, "Enlarged Cardiomediastinum": N},
    ),
    (
        "Mediastinum is normal with large calcified mediastinal granulomas.",
        {"Enlarged Cardiomediastinum": N, "Lung Lesion": P},
    ),
    ("Calcified mediastinal and right hilar lymph nodes.", {}),
    ("The mediastinum shows increased interstitial markings behind it.", {"Lung Opacity": P}),
    # negation and its scope
    (
        "No pneumothorax, pleural effusion, or consolidation.",
        {"Pneumothorax": N, "Pleural Effusion": N, "Consolidation": N},
    ),
    (
        "No pneumothorax, small left effusion.",
        {"Pneumothorax": N, "Pleural Effusion": P},
    ),
    (
        "There is no pneumothorax but there is an effusion.",
        {"Pneumothorax": N, "Pleural Effusion": P},
    ),
    (
        "Stable cardiomegaly without effusion or edema.",
        {"Cardiomegaly": P, "Pleural Effusion": N, "Edema": N},
    ),
    ("Effusion is not seen.", {"Pleural Effusion": N}),
    ("The left effusion has resolved.", {"Pleural Effusion": N}),
    ("The lungs are clear.", {"Lung Opacity": N}),
    ("The lungs are not clear.", {}),
    ("No definite consolidation.", {"Consolidation": N}),
    # a negative word that denies nothing, and NegEx's "no new"
    ("No change in the small left effusion.", {"Pleural Effusion": P}),
    ("No significant interval change in consolidation.", {"Consolidation": P}),
    ("No new consolidation.", {"Consolidation": N}),
    # uncertainty, before and after
    ("Cannot exclude pneumonia.", {"Pneumonia": U}),
    ("Pneumonia cannot be excluded.", {"Pneumonia": U}),
    ("Pneumonia cannot be entirely ruled out.", {"Pneumonia": U}),
    (
        "Opacity may represent atelectasis or pneumonia.",
        {"Lung Opacity": P, "Atelectasis": U, "Pneumonia": U},
    ),
    ("Atelectasis versus pneumonia.", {"Atelectasis": U, "Pneumonia": U}),
    ("Findings suspicious for edema.", {"Edema": U}),
    ("Pulmonary oedema is unlikely.", {"Edema": U}),
    ("Questionable left rib fracture.", {"Fracture": U}),
    # what only looks like a mention
    ("Small pericardial effusion.", {}),
    ("COVID-19 infection was confirmed.", {}),
    ("Please note that fractures may not be demonstrated.", {}),
    ("Catheter fracture at the first rib.", {"Support Devices": P}),
    ("If there is concern for fracture consider rib series.", {}),
    ("Sequelae of prior granulomatous infection.", {}),
    # several sentences: positive before uncertain before negative
    ("No effusion on the right. Small left effusion.", {"Pleural Effusion": P}),
    ("Possible edema. No edema.", {"Edema": U}),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_a_text_states_what_it_says(text: str, expected: dict[str, Status]) -> None:
    assert labels(text) == expected
    assert labels(text.upper()) == expected


def test_no_finding_is_what_is_left_when_nothing_is_found() -> None:
    assert label_report("Normal chest.")[0] is P
    assert label_report("No effusion. Pacemaker in place.")[0] is P
    assert label_report("Possible effusion.")[0] is Status.BLANK
    assert label_report("Rib fracture.")[0] is Status.BLANK


@pytest.mark.parametrize("text", ["", "  \n", ". . ,"])
def test_a_text_without_words_states_nothing(text: str) -> None:
    assert set(label_report(text)) == {Status.BLANK}


def test_headings_end_a_sentence_and_numbers_do_not() -> None:
    text = "FINDINGS: No nodule. IMPRESSION: A 3.5 cm mass."
    assert split_sentences(text) == ["no nodule", "a 3.5 cm mass"]
    assert labels("Conclusion: No effusion. Impression: Edema") == {
        "Pleural Effusion": N,
        "Edema": P,
    }


def test_a_blank_that_is_missing_after_a_sentence_changes_nothing() -> None:
    assert split_sentences("No edema.There is a mass. 3.5 cm.") == [
        "no edema",
        "there is a mass",
        "3.5 cm",
    ]


@given(st.text(max_size=300))
def test_any_text_gets_fourteen_statuses(text: str) -> None:
    assert len(label_report(text)) == len(CHEXPERT_CLASSES)


def test_a_long_text_takes_no_quadratic_time() -> None:
    label_report("no effusion, " * 4000)
