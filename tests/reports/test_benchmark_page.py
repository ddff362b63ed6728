"""The page about a benchmark: whole, self-contained, and nothing of it is believed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.reports.benchmark_data import NotABenchmark, read_benchmark
from fedmrg_secure.reports.benchmark_page import render_benchmark, write_benchmark_page
from fedmrg_secure.reports.benchmark_plots import Line, Spread, byte_chart, spread_chart
from fedmrg_secure.reports.fields import RunFileInvalid

METHODS = {"local": "local", "fedavg": "federated", "fedmrg": "federated"}


def row(method: str, table: str, centre: str, metric: str, mean: float) -> dict[str, Any]:
    level = {"fedavg": None, "fedmrg": 0.002, "local": 0.4}[method]
    return {
        "task": "phantom",
        "method": method,
        "table": table,
        "centre": centre,
        "metric": metric,
        "mean": mean,
        "std": 0.01,
        "seeds": 3,
        "p_value_vs_fedavg": level,
        "uplink_bytes": 10,
        "wall_s": 2.0,
    }


def content(**changes: Any) -> dict[str, Any]:
    """What `fedmrg bench model` writes, in small."""
    sent = {"name": "ffa", "computed": False, "passes": 1, "values": 10, "bytes": 60, "share": 0.1}
    centres = [("north", "adaptability", "participating"), ("west", "generalizability", "unseen")]
    points = [
        {"round": n, "uplink_bytes": 100 * n, "participating": {"bleu4": 0.1 * n}, "unseen": {}}
        for n in (1, 2)
    ]
    return {
        "format": 1,
        "task": "phantom",
        "split": "test",
        "commands": ["fedmrg bench model --task phantom"],
        "versions": {"torch": "2.13"},
        "seeds": [1, 2, 3],
        "resamples": 1000,
        "reference": "fedavg",
        "synthetic": True,
        "training_records": {"north": 8},
        "centres": [
            {"name": name, "title": f"<{name}>", "role": role, "records": 4}
            for name, _, role in centres
        ],
        "methods": [
            {
                "name": name,
                "summary": f"what {name} is",
                "scope": scope,
                "definition": {"training.boosting": "none"},
                "tuned": {"training.learning_rate": 0.001},
                "factorization": "ffa",
                "rank": 8,
                "rounds": 2,
                "uplink_bytes": 0 if scope == "local" else 200,
                "wall_s": [2.0, 3.0, 4.0],
            }
            for name, scope in METHODS.items()
        ],
        "rows": [
            row(method, table, centre, metric, 0.1 * (place + 1))
            for place, method in enumerate(METHODS)
            for name, table, _ in centres
            for centre in (name, "all")
            for metric in ("bleu4", "ce_rule_f1_macro")
        ],
        "communication": [sent, {**sent, "name": "full", "computed": True, "bytes": 600}],
        "reaching": [
            {
                "method": "fedmrg",
                "computed": False,
                "role": "unseen",
                "metric": "bleu4",
                "target": 0.2,
                "round": None,
                "uplink_bytes": None,
            }
        ],
        "curves": {"fedavg": [points, points], "fedmrg": [points]},
        "samples": [
            {
                "centre": "west",
                "title": "<west>",
                "role": "unseen",
                "record": "r-1",
                "reference": "There is a pleural effusion.",
                "written": {"fedmrg": "There is <b>cardiomegaly</b>."},
            }
        ],
    } | changes


def write(root: Path, **changes: Any) -> Path:
    root.mkdir(exist_ok=True)
    (root / "benchmark.json").write_text(json.dumps(content(**changes)), encoding="utf-8")
    return root


def page_of(root: Path) -> str:
    return write_benchmark_page(root).read_text(encoding="utf-8")


def test_the_page_has_both_tables_plots_curves_and_notes(tmp_path: Path) -> None:
    page = page_of(write(tmp_path / "b"))
    for text in ("Adaptability", "Generalizability", "0.300", "0.200", "▲", "p = 0.002", "never"):
        assert text in page
    charts = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)
    assert len(charts) == 4 + 1  # two metrics in two tables; one curve has points
    for chart in charts:
        ElementTree.fromstring(chart)
    assert "Fewer than three seeds" not in page
    assert "reports of patients" not in page


def test_the_page_asks_for_nothing_and_escapes_everything(tmp_path: Path) -> None:
    page = page_of(write(tmp_path / "b"))
    assert "&lt;b&gt;cardiomegaly" in page
    assert "<west>" not in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "default-src 'none'" in page


def test_only_federated_methods_are_marked_as_best(tmp_path: Path) -> None:
    rows = [
        {**each, "mean": 0.9} if each["method"] == "local" else each for each in content()["rows"]
    ]
    page = page_of(write(tmp_path / "b", rows=rows))
    assert re.findall(r'class="best">([\d.]+)<', page) == ["0.300"] * 4


def test_patients_few_seeds_and_validation_are_said(tmp_path: Path) -> None:
    page = page_of(write(tmp_path / "b", synthetic=False, seeds=[1], split="validation"))
    for text in ("reports of patients", "Fewer than three seeds", "for choosing settings"):
        assert text in page


def test_a_benchmark_without_reference_unseen_centres_and_curves(tmp_path: Path) -> None:
    whole = content()
    rows = [
        {**each, "p_value_vs_fedavg": None}
        for each in whole["rows"]
        if each["method"] == "local" and each["table"] == "adaptability"
    ]
    changes = {
        "rows": rows,
        "reference": None,
        "curves": {},
        "reaching": [],
        "samples": [],
        "methods": whole["methods"][:1],
        "centres": whole["centres"][:1],
    }
    page = page_of(write(tmp_path / "b", **changes))
    assert "Score against bytes" not in page
    assert "Generalizability" not in page


def test_files_that_are_not_a_benchmark(tmp_path: Path) -> None:
    with pytest.raises(NotABenchmark):
        read_benchmark(tmp_path)
    write(tmp_path / "b", seeds="many")
    with pytest.raises(RunFileInvalid, match="seeds"):
        read_benchmark(tmp_path / "b")
    write(tmp_path / "b", format=2)
    with pytest.raises(RunFileInvalid, match="format"):
        read_benchmark(tmp_path / "b")


def test_a_page_needs_no_file(tmp_path: Path) -> None:
    benchmark = read_benchmark(write(tmp_path / "b"))
    assert render_benchmark(benchmark, label_report).lstrip().startswith("<!doctype html>")


def test_spread_is_drawn_around_the_mean_and_never_below_zero() -> None:
    rows = [Spread("a", 0.4, 0.1, "ours", "n"), Spread("b", 0.05, 0.2, "apart", "n")]
    root = ElementTree.fromstring(spread_chart(rows, description="d"))
    whiskers = [line for line in root.iter("line") if line.get("class") == "whisker"]
    ends = [(float(w.get("x1", "")), float(w.get("x2", ""))) for w in whiskers]
    dot = float(next(root.iter("circle")).get("cx", ""))
    assert sum(ends[0]) / 2 == pytest.approx(dot, abs=0.01)
    assert ends[1][0] == 148.0
    assert len(list(root.iter("polygon"))) == 1


def test_more_bytes_are_further_right() -> None:
    lines = [Line("one", ((1_000, 0.1), (1_000_000, 0.2))), Line("two", ((1_000, 0.2),))]
    root = ElementTree.fromstring(byte_chart(lines, description="d"))
    first, second, other = [float(c.get("cx", "")) for c in root.iter("circle")]
    assert first == other < second


def test_bytes_within_a_small_span_start_at_zero() -> None:
    root = ElementTree.fromstring(
        byte_chart([Line("one", ((10_000_000, 0.1), (40_000_000, 0.2)))], description="d")
    )
    texts = [text.text for text in root.iter("text")]
    assert {"0 B", "20 MB", "40 MB"} <= set(texts)
