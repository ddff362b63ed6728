from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.data.errors import ReportUnreadable, SectionMissing
from fedmrg_secure.data.reports import MAX_REPORT_BYTES, ReportFile, find_sections, join_sections

REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old with cough.  FINDINGS: are asked for.

 FINDINGS:

 The heart is of normal size.  There is
 no effusion: none at all.

 IMPRESSION:

 1.  Nothing acute.
"""


def test_sections_are_found_under_their_headings() -> None:
    assert find_sections(REPORT) == {
        "findings": "The heart is of normal size. There is no effusion: none at all.",
        "impression": "1. Nothing acute.",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("The lungs are clear.", {}),
        ("findings: small letters head nothing", {}),
        ("FINDINGS:\n\nIMPRESSION: Clear.", {"impression": "Clear."}),
        ("FINDINGS AND IMPRESSION: Clear.", {"findings": "Clear."}),
        ("FINDING: Clear.\r\n CONCLUSION: Well.", {"findings": "Clear.", "impression": "Well."}),
        ("FINDINGS: One.\nTECHNIQUE: x\nFINDINGS: Two.", {"findings": "One. Two."}),
        ("IMPRESSIONISM: art", {}),
    ],
)
def test_odd_reports(text: str, found: dict[str, str]) -> None:
    assert find_sections(text) == found


@given(st.text(max_size=300))
def test_any_text_gives_sections_without_loose_blanks(text: str) -> None:
    for body in find_sections(text).values():
        assert body == " ".join(body.split()) != ""


def test_the_wanted_sections_come_in_the_wanted_order() -> None:
    found = find_sections(REPORT)
    assert join_sections(found, ("impression", "findings")).startswith("1. Nothing acute.\nThe")
    assert join_sections({"impression": "Well."}, ("findings", "impression")) == "Well."
    with pytest.raises(SectionMissing, match="no findings and no impression"):
        join_sections({}, ("findings", "impression"))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\xff\xfe", ReportUnreadable),
        (b" " * (MAX_REPORT_BYTES + 1), ReportUnreadable),
        (b"IMPRESSION: Clear.", SectionMissing),
    ],
)
def test_a_bad_file_is_an_error_with_its_place(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    path = tmp_path / "s1.txt"
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        ReportFile(path, ("findings",)).read()
    assert caught.value.location == str(path)  # type: ignore[attr-defined]
