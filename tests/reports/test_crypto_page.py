"""The page about the benchmark of encryption: whole, self-contained, and nothing is hidden."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from fedmrg_secure.reports.crypto_page import CryptoBenchmark, render_crypto, write_crypto_page
from fedmrg_secure.reports.crypto_plots import Axis, Series, log_chart

MULTIPARTY = ("ckks-multiparty-30", "ckks-multiparty-20", "ckks-multiparty-16")


def row(name: str, parameters: int, sites: int, **changes: Any) -> dict[str, Any]:
    peers = name == "tenseal-vectors"
    made = {
        "name": name,
        "scheme": name.rsplit("-", 1)[0] if name in MULTIPARTY else name,
        "parameters": parameters,
        "sites": sites,
        "threads": 1,
        "fits": True,
        "uplink_bytes_per_parameter": 57.6 if peers else 2.5,
        "downlink_bytes_per_parameter": 57.6 if peers else 2.5,
        "encrypt_mparam_s": 1.5 if peers else 61.7,
        "receive_mparam_s": 400.0,
        "add_mparam_s": 1234.0,
        "open_mparam_s": 2.0 if peers else 45.0,
        "peak_memory_mb": 200.0 + parameters / 1e6,
        "base_memory_mb": 180.0,
        "measured_parameters": parameters,
        "rms_error": 1e-7,
        "max_error": 4e-7,
    }
    if not peers:
        made |= {
            "error_bound": 4e-7 * sites,
            "clip_range": 0.1,
            "within_max_error": 4e-6 * sites <= 1e-5,
            "encrypt_times_peers": 41.1,
            "open_times_peers": 22.5,
            "uplink_times_smaller": 23.0,
        }
    return made | changes


def summary(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "rows": rows,
        "complete": True,
        "max_error": 1e-5,
        "seconds_a_row": 2.0,
        "version": "<9.9>",
        "machine": {"cores": 2, "architecture": "x86_64", "python": "3.11.0"},
    } | changes


def swept() -> list[dict[str, Any]]:
    points = [(1_000_000, 4), (100_000, 4), (50_000_000, 4), (1_000_000, 2), (1_000_000, 50)]
    names = (*MULTIPARTY, "tenseal-vectors")
    rows = [row(name, *point) for point in points for name in names]
    return [*rows, row(MULTIPARTY[1], 1_000_000, 4, threads=2, encrypt_times_one_thread=1.7)]


def render(rows: list[dict[str, Any]], **changes: Any) -> str:
    return render_crypto(CryptoBenchmark.model_validate(summary(rows, **changes)))


def test_the_page_shows_every_row_and_asks_for_nothing(tmp_path: Path) -> None:
    path = write_crypto_page(tmp_path / "new" / "crypto.html", summary(swept()))
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|<iframe|\bsrc=|\bhref=\"(?!#)|url\(|@import", page)
    assert "Content-Security-Policy" in page
    assert "&lt;9.9&gt;" in page
    assert page.count("<svg") == 7
    tables = page[page.index('id="tables"') :]
    assert len(re.findall(r"<tr class=\"(?:ours|peers|)\">", tables)) == len(swept())
    for told in ("61.7", "41.1 times the peers", "23.0 times fewer", "1.70 ×", "1,234"):
        assert told in page, told
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_widths_beyond_the_allowed_error_are_marked_not_hidden() -> None:
    page = render(swept())
    marks = page.count('title="the error bound is above max_error"')
    assert marks == sum(not made.get("within_max_error", True) for made in swept())
    chart = page[page.index("Error bound of the mean, by sites") :]
    chart = chart[: chart.index("</svg>")]
    assert chart.count('class="dot hollow"') == 2 * len(MULTIPARTY)  # 4 and 50 sites
    assert chart.count('class="dot"') == len(MULTIPARTY)  # 2 sites
    assert "max_error 1e-05" in chart


def test_a_row_that_does_not_fit_says_why_and_is_escaped() -> None:
    unfit = {
        "name": "ckks-multiparty-16",
        "scheme": "ckks-multiparty",
        "parameters": 10,
        "sites": 1000,
        "threads": 1,
        "fits": False,
        "reason": "too <many> sites",
    }
    page = render([unfit, row("tenseal-vectors", 10, 1000)])
    assert "does not fit: too &lt;many&gt; sites" in page
    assert "<svg" not in page


@pytest.mark.parametrize("rows", [[], [row("tenseal-vectors", 10, 2)], [row(MULTIPARTY[1], 10, 2)]])
def test_a_page_of_little_is_whole(rows: list[dict[str, Any]]) -> None:
    page = render(rows, complete=False)
    assert page.rstrip().endswith("</html>")
    assert "interrupted" in page
    assert 'id="plots"' not in page


def test_a_summary_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        write_crypto_page(tmp_path / "crypto.html", {"rows": []})
    assert not (tmp_path / "crypto.html").exists()


def test_a_chart_has_a_label_for_each_line_and_a_marker_for_each_point() -> None:
    series = [
        Series("a", 0, ((1.0, 10.0), (10.0, 1000.0)), frozenset({10.0})),
        Series("b", 1, ((1.0, 10.0),)),
    ]
    axis = Axis("n", "{:g}".format)
    svg = log_chart(series, axis, Axis("", "{:.1f}".format), description="<d>", limit=(50, "max"))
    root = ElementTree.fromstring(svg)
    circles = list(root.iter("circle"))
    assert len(circles) == 3
    assert [node.get("class") for node in circles] == ["dot", "dot hollow", "dot"]
    labels = [node.text for node in root.iter("text")]
    assert "1000.0 a" in labels
    assert "10.0 b" in labels
    assert {"10", "100", "1000", "n", "max"} <= set(labels)
    heights = [float(node.get("cy", "nan")) for node in circles]
    assert heights[0] == heights[2] > heights[1]
