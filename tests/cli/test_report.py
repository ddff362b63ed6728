"""``fedmrg report``: the page and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.cli.main import run_command
from tests.fixtures.run_folder import write_run


def test_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_run(tmp_path / "run")
    assert run_command(["report", str(root), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert Path(result["report"]).read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")
    assert result["bytes"] < 2_000_000


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(tmp_path)]) == 2
    assert "FMRG-6502" in capsys.readouterr().err
