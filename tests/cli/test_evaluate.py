"""``fedmrg evaluate``: figures for people, for machines and for the runner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fedmrg_secure.cli.evaluate import _scorers
from fedmrg_secure.cli.main import run_command
from fedmrg_secure.cli.output import Output
from fedmrg_secure.evaluation import semantic
from tests.fixtures.trained_run import set_status, write_trained_run


def test_judges_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_trained_run(tmp_path / "run")
    assert run_command(["evaluate", str(root), "--semantic", "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["round"] == 2
    assert set(result["mean"]) == {"participating", "unseen"}
    for part in (*result["mean"].values(), *result["pooled"].values()):
        assert set(part["semantic_minilm"]) == {"untrained", "final"}
    assert "after round 2, unseen centres" in captured.err


def test_a_missing_encoder_is_said_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic, "PACKAGE", "no_such_package_of_sentence_encoders")
    with ExitStack() as opened:
        assert _scorers(opened, tmp_path, True, None, Output(as_json=True)) == []
    assert "semantic_minilm is left out" in capsys.readouterr().err


def test_an_interpreter_without_radeval_is_told_before_anything_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_trained_run(tmp_path / "run")
    assert run_command(["evaluate", str(root), "--clinical", sys.executable]) == 2
    captured = capsys.readouterr()
    assert "FMRG-2903" in captured.err
    assert "pip install" in captured.err
    assert not (root / "metrics.jsonl").exists()


def test_following_says_a_line_a_round_and_role(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_trained_run(tmp_path / "run")
    assert run_command(["evaluate", str(root), "--follow"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"{what}, {role} centres"
        for what in ("untrained", "after round 2")
        for role in ("participating", "unseen")
    ]
    assert all("BLEU-4 0." in line and "clinical F1 0." in line for line in lines)


@pytest.mark.parametrize("status", ["nothing", "untrained"])
def test_nothing_to_judge(tmp_path: Path, status: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path if status == "nothing" else write_trained_run(tmp_path, rounds=0)
    code = run_command(["evaluate", str(root)])
    assert code == (2 if status == "nothing" else 1)
    assert ("FMRG-6502" if status == "nothing" else "FMRG-6401") in capsys.readouterr().err


def test_a_follower_ends_on_sigterm(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path / "run", rounds=0)
    set_status(root, "running")
    process = subprocess.Popen(
        [sys.executable, "-m", "fedmrg_secure.cli.main", "evaluate", str(root), "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not (root / "metrics.jsonl").exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"stopped before the end" in errors
