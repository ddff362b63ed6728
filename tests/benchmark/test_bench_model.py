"""`fedmrg bench model` from the command line, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedmrg_secure.benchmark.pool import JobFailed, run_jobs
from fedmrg_secure.cli.main import run_command
from tests.benchmark.test_job_process import TINY, tiny_job

ROW = {
    "task", "method", "table", "centre", "metric", "mean", "std", "seeds", "p_value_vs_fedavg",
    "uplink_bytes", "wall_s",
}  # fmt: skip


def command(out: Path, *more: str, methods: str = "fedavg,fedmrg", seeds: int = 2) -> list[str]:
    sets = [word for change in TINY for word in ("--set", change)]
    return [
        "bench", "model", "--task", "phantom", "--methods", methods, "--seeds", str(seeds),
        "--out", str(out), "--jobs", "2", "--resamples", "50", "--json", *sets, *more,
    ]  # fmt: skip


def results_in(out: Path) -> dict[str, int]:
    """Name of each finished job -> when its file was written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "jobs").glob("*.json")}


def test_a_killed_benchmark_goes_on_where_it_was_and_ends_in_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench"
    line = [sys.executable, "-m", "fedmrg_secure.cli.main", *command(out, "--jobs", "1")]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("1/4" in said for said in process.stderr)
    children = _wait_for_children(process.pid)
    process.kill()
    process.communicate()
    _wait_until_gone(children)
    before = results_in(out)
    assert 1 <= len(before) < 4

    assert run_command(command(out)) == 0
    captured = capsys.readouterr()
    after = results_in(out)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert f"4 trainings, {len(before)} of them done before" in captured.err
    assert "4/4 " in captured.err
    summary = json.loads(captured.out)
    assert all(set(row) == ROW for row in summary["rows"])
    found = {(row["method"], row["table"]) for row in summary["rows"]}
    tables = ("adaptability", "generalizability")
    assert found == {(method, table) for method in ("fedavg", "fedmrg") for table in tables}
    assert {row["seeds"] for row in summary["rows"]} == {2}
    levels = [r["p_value_vs_fedavg"] for r in summary["rows"] if r["method"] == "fedmrg"]
    assert any(level is not None and 0 < level <= 1 for level in levels)
    assert all(row["uplink_bytes"] > 0 for row in summary["rows"])
    assert "adaptability" in captured.err
    page = Path(summary["page"]).read_text("utf-8")
    assert "<script" not in page
    assert "fedmrg" in page

    assert run_command(command(out, methods="fedavg", seeds=1)) == 0
    again = json.loads(capsys.readouterr().out)
    assert results_in(out) == after
    assert {row["method"] for row in again["rows"]} == {"fedavg"}
    assert {row["p_value_vs_fedavg"] for row in again["rows"]} == {None}


@pytest.mark.slow
def test_an_interrupted_benchmark_ends_its_processes(tmp_path: Path) -> None:
    out = tmp_path / "bench"
    line = [sys.executable, "-m", "fedmrg_secure.cli.main", *command(out)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = _wait_for_children(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    _wait_until_gone(children)


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    from fedmrg_secure.benchmark.jobs import ResultFolder

    job = tiny_job("fedmrg", "model.decoder=/nowhere/at-all")
    told: list[Any] = []
    with pytest.raises(JobFailed, match="fedmrg-seed1 ended with exit code 2"):
        run_jobs(
            [job], ResultFolder(tmp_path), at_once=1, on_progress=lambda *news: told.append(news)
        )
    assert told == []


def test_mistakes_start_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench"
    assert run_command(command(out, methods="fedavg,fedavgg")) == 2
    assert "did you mean fedavg" in capsys.readouterr().err
    assert run_command(["bench", "model", "--task", "lungs", "--out", str(out)]) == 2
    assert "FMRG-8212" in capsys.readouterr().err
    assert not out.exists()


def _wait_for_children(pid: int) -> list[int]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := [child.pid for child in psutil.Process(pid).children(recursive=True)]:
            return found
        time.sleep(0.1)
    raise AssertionError("no job was started")


def _wait_until_gone(pids: list[int]) -> None:
    """Every process ends within some seconds of its parent."""
    deadline = time.monotonic() + 60
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a job outlived its benchmark"
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
