"""The page about a sweep: every point a link, every picture with its command, nothing believed."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fedmrg_secure.benchmark.sweep_table import make_points, make_rows
from fedmrg_secure.reports.axes import byte_axis, epsilon_axis
from fedmrg_secure.reports.fields import RunFileInvalid
from fedmrg_secure.reports.sweep_data import NotASweep, read_sweep
from fedmrg_secure.reports.sweep_page import render_sweep, write_sweep_page
from tests.benchmark.sweeps import point, summary

COMMAND = "fedmrg sweep s.yaml --set 'a.b=<i>' --out out"
GRID = {
    ("inf", "8"): (None, 0.6),
    ("8", "8"): (8.0, 0.5),
    ("1", "8"): (1.0, 0.3),
    ("inf", "4"): (None, 0.55),
    ("8", "4"): (8.0, 0.4),
}


def content(ranks: tuple[str, ...] = ("8",), **changes: Any) -> dict[str, Any]:
    """What `fedmrg sweep` writes, in small; the last point lacks a run."""
    chosen = [key for key in GRID if key[1] in ranks]
    results = [
        point(
            {"epsilon": key[0]} | ({"rank": key[1]} if len(ranks) > 1 else {}),
            {
                seed: summary(GRID[key][1] + 0.02 * seed, epsilon=GRID[key][0])
                if (key, seed) != (chosen[-1], 3)
                else None
                for seed in (1, 2, 3)
            },
            epsilon=GRID[key][0],
            error="FMRG-1 <b>bad</b>",
        )
        for key in chosen
    ]
    axes: dict[str, list[str]] = {"epsilon": list(dict.fromkeys(key[0] for key in chosen))}
    if len(ranks) > 1:
        axes["rank"] = list(ranks)
    metrics = ["ce_rule_f1_macro", "bleu4"]
    return {
        "format": 1,
        "name": "s",
        "file": "s.yaml",
        "commands": [COMMAND],
        "version": "0.1.0",
        "executor": "processes",
        "runs_at_once": 2,
        "synthetic": True,
        "seeds": [1, 2, 3],
        "sites": 2,
        "axes": axes,
        "metrics": metrics,
        "centre": "all",
        "points": make_points(results, metric=metrics[0], centre="all"),
        "rows": make_rows(results, metrics=metrics, centre="all"),
        "failed": [],
    } | changes


def page(root: Path, **changes: Any) -> str:
    (root / "sweep.json").write_text(json.dumps(content(**changes)))
    return write_sweep_page(root).read_text(encoding="utf-8")


def pictures(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_every_run_of_a_picture_links_to_its_report_and_every_point_to_its_row(
    tmp_path: Path,
) -> None:
    html = page(tmp_path)
    drawn = pictures(html)
    # Two metrics at two kinds of centres, against epsilon and against bytes.
    assert len(drawn) == 8
    for picture in drawn:
        links = {link.get("href") for link in picture.iter("a")}
        reports = {link for link in links if link and link.endswith("/report.html")}
        assert reports == {
            f"runs/epsilon-{label}/seed-{seed}/report.html"
            for label in ("inf", "8", "1")
            for seed in (1, 2, 3)
            if (label, seed) != ("1", 3)
        }
        rows = {link.removeprefix("#") for link in links - reports if link}
        assert rows == {"epsilon-inf", "epsilon-8", "epsilon-1"}
        assert all(f'id="{name}"' in html for name in rows)


def test_the_command_stands_under_every_picture(tmp_path: Path) -> None:
    html = page(tmp_path)
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(figures) == 9  # with the times of one scheme
    for figure in figures:
        (under,) = re.findall(r"<figcaption>.*?<pre>(.*?)</pre>", figure, re.DOTALL)
        assert unescape(under) == COMMAND


def test_the_page_is_alone_and_asks_for_nothing(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert "<script" not in html
    assert "default-src 'none'" in html
    assert not re.search(r"(src|href)=\"(https?:|//)", html)
    assert "<b>bad</b>" not in html
    assert "FMRG-1 &lt;b&gt;bad" in html


def test_the_untrained_model_is_a_line_and_intervals_are_whiskers(tmp_path: Path) -> None:
    first = pictures(page(tmp_path))[0]
    lines = {kind: [] for kind in ("limit", "whisker")}
    for line in first.iter("line"):
        lines.setdefault(str(line.get("class")), []).append(line)
    assert len(lines["limit"]) == 1
    assert len(lines["whisker"]) == 9  # a line and two caps for each of three points
    heights = [abs(float(w.get("y1", 0)) - float(w.get("y2", 0))) for w in lines["whisker"]]
    assert sum(height > 1 for height in heights) == 3


def test_the_front_is_ringed_in_pictures_of_the_first_metric_alone(tmp_path: Path) -> None:
    rings = [
        sum(each.get("class") == "ring" for each in picture.iter())
        for picture in pictures(page(tmp_path))
    ]
    # Against epsilon all three are on the front; against bytes the best is.
    assert rings == [3, 3, 0, 0, 1, 1, 0, 0]


def test_the_share_of_the_gain_is_said_with_its_interval(tmp_path: Path) -> None:
    html = page(tmp_path)
    kept = (0.54 - 0.2) / (0.64 - 0.2)
    assert f'<div class="value">{100 * kept:.0f} %</div>' in html
    assert "gain kept at epsilon 8" in html
    assert "gain kept at epsilon 1" in html
    assert "95 % interval" in html


def test_points_of_another_rank_are_a_line_of_their_own(tmp_path: Path) -> None:
    html = page(tmp_path, ranks=("8", "4"))
    first = pictures(html)[0]
    groups = [each.get("class") for each in first.findall("{*}g") + first.findall("g")]
    assert {"tone0", "tone1"} <= set(groups)
    names = [each.text for each in first.iter("text") if each.get("class") == "name"]
    assert sorted(str(name).partition(" ")[2] for name in names) == ["rank 4", "rank 8"]


def test_a_sweep_without_privacy_has_no_picture_of_epsilon(tmp_path: Path) -> None:
    plain = content()
    (first,) = [each for each in plain["points"] if not each["private"]]
    rows = [row for row in plain["rows"] if row["point"] == first["name"]]
    html = page(tmp_path, points=[first], rows=rows)
    assert "Utility against epsilon" not in html
    assert len(pictures(html)) == 4


def test_a_sweep_of_which_nothing_is_done_says_so(tmp_path: Path) -> None:
    nothing = point({"epsilon": "8"}, {1: None}, epsilon=8)
    points = make_points([nothing], metric="bleu4", centre="all")
    html = page(tmp_path, points=points, rows=[], failed=[{"run": "r", "error": "<i>no</i>"}])
    assert "No run has been judged yet" in html
    assert "&lt;i&gt;no" in html
    assert not pictures(html)


def test_a_folder_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(NotASweep):
        read_sweep(tmp_path)
    for bad in ("javascript:alert(1)", "runs/../../x/seed-1", "/etc/seed-1", "runs/a/seed-1/.."):
        broken = content()
        broken["points"][0]["runs"][0]["folder"] = bad
        (tmp_path / "sweep.json").write_text(json.dumps(broken))
        with pytest.raises(RunFileInvalid, match=r"points\.0\.runs\.0\.folder"):
            read_sweep(tmp_path)


def test_real_patients_are_warned_of(tmp_path: Path) -> None:
    assert "must not leave the place" in page(tmp_path, synthetic=False)
    assert "must not leave the place" not in page(tmp_path)


def test_rendering_twice_gives_the_same(tmp_path: Path) -> None:
    assert page(tmp_path) == render_sweep(read_sweep(tmp_path))


def test_an_axis_of_epsilon_keeps_infinity_apart_and_in_order() -> None:
    axis = epsilon_axis([1.0, 2.0, 7.98, float("inf")], 40, 400)
    places = [axis(value) for value in (1.0, 2.0, 7.98, float("inf"))]
    assert places == sorted(places)
    assert places[0] > 40
    assert places[-1] <= 400
    assert [text for _, text in axis.ticks] == ["1", "2", "4", "8", "∞"]
    assert [text for _, text in epsilon_axis([3.0], 0, 100).ticks] == ["3"]
    assert [text for _, text in epsilon_axis([float("inf")], 0, 100).ticks] == ["∞"]


def test_an_axis_of_bytes_is_logarithmic_only_where_they_span_much() -> None:
    near, far = byte_axis(900_000, 1_000_000, 0, 100), byte_axis(1_000, 1_000_000, 0, 100)
    assert near(500_000) == pytest.approx(50)
    assert far(31_623) == pytest.approx(50, abs=1)
