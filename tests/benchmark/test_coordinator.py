"""`fedmrg bench coordinator`: a real coordinator plays a whole round with simulated sites."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple

import numpy as np
import psutil
import pytest

from fedmrg_secure.benchmark import coordinator, crowd
from fedmrg_secure.benchmark.coordinator import CrowdCase, NoRoomToMeasure, measure_coordinator
from fedmrg_secure.benchmark.loopback import RoundBenchmarkFailed
from fedmrg_secure.cli.main import run_command

PHASES = (
    *("join", "announce", "commit", "certify", "upload", "include"),
    *("add", "share sums", "open", "acknowledge"),
)


def test_a_crowd_plays_a_round_and_the_sum_is_what_it_uploaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--sites", "5", "--parameters", "150_000", "--json"]
    assert run_command(["bench", "coordinator", *options]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["sites"], row["parameters"]) == (5, 150_000)
    assert tuple(row["phases"]) == PHASES
    assert row["phases"]["upload"]["bytes"] == 5 * row["upload_bytes"]
    assert row["upload_bytes"] > 150_000 * 20 / 8
    assert row["phases"]["commit"]["bytes"] == 5 * row["deposit_bytes"]
    assert row["coordinator_peak_mb"] >= row["phases"]["join"]["peak_mb"] > 10
    assert row["sum_is_exact"]


def test_a_killed_benchmark_leaves_no_coordinator_behind() -> None:
    crowd_of_many = ["bench", "coordinator", "--sites", "60", "--parameters", "1_000_000"]
    program = [sys.executable, "-m", "fedmrg_secure.cli.main", *crowd_of_many]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        assert any("commit" in line for line in bench.stderr), "it never came to its round"
        (child,) = psutil.Process(bench.pid).children()
        bench.kill()
    child.wait(timeout=60)


def test_a_wrong_sum_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = crowd.Crowd.expected_sum
    monkeypatch.setattr(
        crowd.Crowd,
        "expected_sum",
        lambda self, index: right(self, index) ^ np.uint64(index == 1),
    )
    with pytest.raises(RoundBenchmarkFailed, match="chunk 1 of the sum"):
        measure_coordinator(CrowdCase(3, 150_000, 20, 18, 2))


def test_too_small_a_disk_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(coordinator.shutil, "disk_usage", lambda _: usage(1, 1, 2**20))
    with pytest.raises(NoRoomToMeasure, match="of 3 sites take"):
        measure_coordinator(CrowdCase(3, 150_000, 20, 18, 2))
