"""`fedmrg sweep` from the command line, with real federations in real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from fedmrg_secure.benchmark.executors import RayNotInstalled, run_by_ray
from fedmrg_secure.cli.main import run_command
from tests.federation.runs import PLAINTEXT, SMALL, await_value

POINTS = ("rank-4", "rank-2")


def sweep_file(folder: Path, **changes: Any) -> Path:
    """A sweep of two tiny federations without encryption, of one seed each."""
    base = {
        **SMALL,
        "training": {"rounds": 2, "local_steps": 1, "batch_size": 4},
        "secure_aggregation": PLAINTEXT,
        # Nothing here is about time: a busy machine may take what it needs.
        "federation": {"min_sites": 4, "site_timeout_s": 120, "join_deadline_s": 900},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump({**base, **changes}))
    path = folder / "sweep.yaml"
    path.write_text("name: tiny\nbase: base.yaml\nseeds: 1\njobs: 1\ngrid: {rank: [4, 2]}\n")
    return path


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Point -> what is known of its run."""
    return {
        path.parent.name: json.loads(path.read_text()) for path in out.glob("runs/*/seed-5.json")
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_sweep_goes_on_and_ends_in_a_page_of_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = sweep_file(tmp_path), tmp_path / "out"
    line = [sys.executable, "-m", "fedmrg_secure.cli.main", "sweep", str(config), "--out", str(out)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    begun = out / "runs/rank-4/seed-5"
    await_value(lambda: (begun / "metrics.jsonl").exists() or None, timeout_s=600)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive, "a run outlived its sweep"
    assert not (begun / "report.html").exists()
    assert {name: each["attempts"] for name, each in records(out).items()} == {"rank-4": 1}

    assert run_command(["sweep", str(config), "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert "2 runs of 2 points, 0 of them done before" in captured.err
    assert "2/2 rank-2-seed-5 is done" in captured.err
    assert {name: each["attempts"] for name, each in records(out).items()} == {
        "rank-4": 2,
        "rank-2": 1,
    }
    first, second = summary["points"]
    assert first["uplink_bytes"] > second["uplink_bytes"] > 0
    assert (first["wall_s"], second["wall_seeds"]) == (None, 1), "the clock stood still once"
    assert {row["point"] for row in summary["rows"]} == set(POINTS)
    for row in summary["rows"]:
        role = {"adaptability": "participating", "generalizability": "unseen"}[row["table"]]
        told = json.loads((out / "runs" / row["point"] / "seed-5/summary.json").read_text())
        assert row["mean"] == told["mean"][role][row["metric"]]["final"]
        assert row["untrained"] == told["mean"][role][row["metric"]]["untrained"]
    page = Path(summary["page"]).read_text("utf-8")
    links = set(re.findall(r'href="([^#"][^"]*)"', page))
    assert links == {f"runs/{point}/seed-5/report.html" for point in POINTS}
    assert all((out / link).is_file() for link in links)

    before = {path: path.stat().st_mtime_ns for path in out.rglob("summary.json")}
    assert run_command(["sweep", str(config), "--out", str(out), "--only", "rank=2", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [point["name"] for point in again["points"]] == ["rank-2"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("summary.json")} == before
    changed = ["sweep", str(config), "--out", str(out), "--set", "training.local_steps=2"]
    assert run_command(changed) == 2
    said = capsys.readouterr().err
    assert "FMRG-8226" in said
    assert "training.local_steps was 1, is 2" in said
    assert run_command([*changed, "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [run["state"] for run in planned["runs"]] == ["changed", "changed"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("summary.json")} == before


@pytest.mark.slow
def test_failed_runs_are_shown_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = sweep_file(tmp_path), tmp_path / "out"
    broken = ["--set", "model.decoder=/nowhere/at-all"]
    assert run_command(["sweep", str(config), "--out", str(out), "--json", *broken]) == 1
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert [each["run"] for each in summary["failed"]] == ["rank-4-seed-5", "rank-2-seed-5"]
    assert all("FMRG-3001" in each["error"] for each in summary["failed"])
    assert "FMRG-8228" in captured.err
    page = Path(summary["page"]).read_text("utf-8")
    assert "2 runs failed" in page
    assert "report.html" not in page


def test_the_plan_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = sweep_file(tmp_path), tmp_path / "out"
    assert run_command(["sweep", str(config), "--out", str(out), "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "rank-4-seed-5" in shown
    assert "2 to do" in shown
    assert not out.exists()
    config.write_text(config.read_text() + "utility: {centre: no-such-place}\n")
    assert run_command(["sweep", str(config), "--out", str(out), "--plan"]) == 2
    assert "FMRG-8227" in capsys.readouterr().err


def test_ray_is_asked_for_only_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RayNotInstalled) as caught:
        run_by_ray([], replace=False, at_once=1, processes=4, on_progress=lambda *_: None)
    assert "fedmrg-secure[ray]" in caught.value.hint


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ray_does_the_same_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    config, out = sweep_file(tmp_path), tmp_path / "out"
    line = ["sweep", str(config), "--out", str(out), "--executor", "ray", "--json"]
    assert run_command([*line, "--only", "rank=2"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["executor"] == "ray"
    assert summary["points"][0]["runs"][0]["done"]
    assert (out / "runs/rank-2/seed-5/report.html").is_file()
    broken = [*line, "--only", "rank=4", "--set", "model.decoder=/nowhere/at-all"]
    assert run_command(broken) == 1
    (failed,) = json.loads(capsys.readouterr().out)["failed"]
    assert "FMRG-3001" in failed["error"]
