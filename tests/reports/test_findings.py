"""Comparing two reports sentence by sentence, with the real labeler."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.reports.findings import compare

REFERENCE = "The heart is enlarged. There is a small left pleural effusion. No pneumothorax."
GENERATED = "Cardiomegaly is present.\nThere is a right pneumothorax. No pleural effusion."


def marks(pieces: tuple) -> dict[str, str]:  # type: ignore[type-arg]
    return {piece.text: piece.mark for piece in pieces if piece.mark}


def test_agreed_missed_and_invented() -> None:
    found = compare(REFERENCE, GENERATED, label_report)
    assert found.agreed == ("Cardiomegaly",)
    assert found.missed == ("Pleural Effusion",)
    assert found.invented == ("Pneumothorax",)
    assert marks(found.reference) == {
        "The heart is enlarged.": "agreed",
        "There is a small left pleural effusion.": "missed",
    }
    assert marks(found.generated) == {
        "Cardiomegaly is present.": "agreed",
        "There is a right pneumothorax.": "invented",
    }


def test_equal_reports_agree() -> None:
    found = compare(REFERENCE, REFERENCE, label_report)
    assert found.missed == found.invented == ()


def test_an_empty_report_misses_everything() -> None:
    found = compare(REFERENCE, "", label_report)
    assert found.generated == ()
    assert "Cardiomegaly" in found.missed


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_is_lost(reference: str, generated: str) -> None:
    found = compare(reference, generated, label_report)
    assert "".join(piece.text for piece in found.reference) == reference
    assert "".join(piece.text for piece in found.generated) == generated
