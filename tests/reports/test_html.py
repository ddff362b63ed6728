"""The page: self-contained, escaped, honest about what is missing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.reports.html import render_report, write_report
from fedmrg_secure.reports.logs import LogCheck, check_logs
from fedmrg_secure.reports.run_folder import read_run
from tests.fixtures.run_folder import write_run, write_samples, write_start

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects tags and attributes, and refuses what is not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(root: Path) -> str:
    return render_report(read_run(root), label_report, check_logs(root))


def test_a_whole_run_is_told(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path))
    Page(page)
    for text in (
        "4 sites trained one report generator together",
        "at 2 centres that never took part",
        "Moorland Royal Hospital",
        "2 min 12 s",
        "812 kB",
        "fedmrg log verify",
        "0f" * 32,
        "fedmrg run configs/quickstart.yaml",
        "Coordinator with any one site",
        "All records as one set",
        "Adaptability: participating centres",
        "Generalizability: unseen centres",
        "own, mix 0.75",
        "by the centre&#39;s own adapter, mix 0.75",
        "By the generic path",
        "FedSVD",
        "A site's specialized adapter".replace("'", "&#39;"),
        "CE(A), nats a token",
    ):
        assert text in page, text
    assert "patient images" not in page
    assert "Not encrypted" not in page


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path))
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert "link" not in parsed.tags
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in parsed.addresses)
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}"]
)
def test_texts_of_a_run_are_escaped(tmp_path: Path, evil: str) -> None:
    root = write_run(tmp_path, status="failed")
    write_samples(root, reference=f"Severe cardiomegaly {evil}. {evil}")
    rows = (root / "metrics.jsonl").read_text(encoding="utf-8")
    rows = rows.replace('"title": "Moorland Royal Hospital"', f'"title": {json.dumps(evil)}')
    (root / "metrics.jsonl").write_text(rows, encoding="utf-8")
    manifest = json.loads((root / "run.json").read_text(encoding="utf-8"))
    manifest |= {"name": evil, "command": evil, "error": evil, "versions": {evil: evil}}
    (root / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    page = page_of(root)
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert "<script" not in page
    assert len([tag for tag in parsed.tags if tag == "img"]) == 2
    assert "49" not in re.findall(r"run (\S+)</span>", page)


def test_plaintext_is_loud(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, scheme="insecure-plaintext"))
    Page(page)
    assert "Not encrypted." in page
    assert "Adds updates that it can read." in page
    assert "what it could not open" not in page


def test_a_run_with_the_generic_adapter_alone_has_one_path(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    text = (root / "config.yaml").read_text(encoding="utf-8")
    (root / "config.yaml").write_text(
        text.replace("adapters: dual", "adapters: generic"), encoding="utf-8"
    )
    rows = (root / "metrics.jsonl").read_text(encoding="utf-8")
    rows = rows.replace("specialized mix 0.75", "generic").replace(
        '"kind": "generic"', '"kind": "x"'
    )
    (root / "metrics.jsonl").write_text(rows, encoding="utf-8")
    page = page_of(root)
    Page(page)
    assert "one, generic: shared by all sites" in page
    for text in ("Written by", "keeps a specialized adapter", "own, mix", "specialized adapter of"):
        assert text not in page, text


def test_pages_with_patients_say_so(tmp_path: Path) -> None:
    assert "This page contains patient images" in page_of(write_run(tmp_path, manifest=True))


def test_a_failed_run_is_not_praised(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, status="failed"))
    assert "did not finish" in page
    assert "trained one report generator together, and" not in page


@pytest.mark.parametrize(
    "missing", ["metrics.jsonl", "summary.json", "coordinator/session.json", "samples/samples.json"]
)
def test_missing_parts_give_a_page(tmp_path: Path, missing: str) -> None:
    root = write_run(tmp_path)
    (root / missing).unlink()
    Page(page_of(root))


def test_a_run_that_has_only_begun_gives_a_page(tmp_path: Path) -> None:
    write_start(tmp_path)
    page = page_of(tmp_path)
    Page(page)
    assert "has not been judged" in page
    assert "This run is running." in page


def test_only_the_untrained_model_judged(tmp_path: Path) -> None:
    root = write_run(tmp_path, status="running")
    rows = (root / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if json.loads(row)["round"] == 0]
    (root / "metrics.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    page = page_of(root)
    Page(page)
    assert "Only the untrained model has been judged so far." in page


def test_damage_is_shown(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    (root / "summary.json").write_text("{", encoding="utf-8")
    page = page_of(root)
    assert "could not be read whole" in page
    assert "summary.json is left out" in page


def test_a_bad_log_is_loud(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    page = render_report(run, label_report, LogCheck("bad", problem="entry 3 of <site>"))
    Page(page)
    assert "A log of this run is not whole." in page
    assert "entry 3 of &lt;site&gt;" in page
    whole = render_report(run, label_report, LogCheck("whole", run.summary.logs))
    assert "all 5 logs are whole and agree" in whole


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    target = write_report(root)
    assert target == root / "report.html"
    assert target.read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")
    assert not list(root.glob("*.part"))


def test_many_examples_are_folded(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    path = root / "samples" / "samples.json"
    samples = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(samples * 7), encoding="utf-8")
    page = page_of(root)
    parsed = Page(page)
    assert parsed.tags.count("img") == 14
    assert "2 more examples" in page


def test_a_run_with_round_keys_is_not_said_to_accept_collusion(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, scheme="ckks-multiparty"))
    assert "acknowledge_collusion_risk" not in page
    assert "Sites co-sign who is in a sum" in page
