"""Charts: valid SVG, roles told apart without colour, values where they belong."""

from __future__ import annotations

from xml.etree import ElementTree

from fedmrg_secure.reports.plots import Curve, dumbbell, line_chart, sparkline

CURVES = (
    Curve("Bad <Name>", "participating", ((0, 0.1), (1, 0.3))),
    Curve("participating", "participating", ((0, 0.1), (1, 0.3)), mean=True),
    Curve("unseen", "unseen", ((0, 0.0), (1, 0.2)), mean=True),
)


def test_a_chart_is_valid_and_escapes_names() -> None:
    chart = line_chart(CURVES, description="BLEU-4 by round")
    root = ElementTree.fromstring(chart)
    titles = [title.text for title in root.iter("title")]
    assert "BLEU-4 by round" in titles
    assert any("Bad <Name>" in (title or "") for title in titles)


def test_roles_differ_by_marker() -> None:
    root = ElementTree.fromstring(line_chart(CURVES, description="d"))
    assert {circle.get("class") for circle in root.iter("circle")} == {"filled participating"}
    assert {shape.get("class") for shape in root.iter("polygon")} == {"filled unseen"}


def test_higher_values_are_higher() -> None:
    root = ElementTree.fromstring(line_chart(CURVES, description="d"))
    first, last = [float(circle.get("cy", "")) for circle in root.iter("circle")]
    assert last < first


def test_a_sparkline_falls_with_its_values_and_takes_one_point() -> None:
    root = ElementTree.fromstring(sparkline(((1, 3.0), (2, 1.0))))
    (path,) = root.iter("path")
    start, end = [float(p.split()[1]) for p in path.get("d", "")[1:].split(" L")]
    assert start < end  # pixels grow downwards
    ElementTree.fromstring(sparkline(((1, 0.0),)))


def test_the_last_value_of_a_mean_is_written() -> None:
    texts = [
        t.text for t in ElementTree.fromstring(line_chart(CURVES, description="d")).iter("text")
    ]
    assert "0.300" in texts
    assert "0.200" in texts


def test_a_single_point_is_drawn() -> None:
    chart = line_chart([Curve("one", "unseen", ((0, 0.0),), mean=True)], description="d")
    assert ElementTree.fromstring(chart).find(".//polygon") is not None


def test_dumbbell_runs_from_hollow_to_filled() -> None:
    root = ElementTree.fromstring(dumbbell(0.0, 0.5, "participating", 0.5))
    hollow, filled = root.findall("circle")
    assert (hollow.get("cx"), filled.get("cx")) == ("8", "152")
    assert "hollow" in (hollow.get("class") or "")


def test_dumbbell_of_missing_values() -> None:
    assert ElementTree.fromstring(dumbbell(None, None, "unseen", 1)).findall("polygon") == []
    assert len(ElementTree.fromstring(dumbbell(0.2, None, "unseen", 1)).findall("polygon")) == 1
