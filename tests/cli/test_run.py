from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.cli.main import run_command

CONFIG = """\
name: ward
data: {source: manifest, root: nowhere, participating: [A, B]}
secure_aggregation: {scheme: ckks-shared, acknowledge_collusion_risk: true}
"""


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ward.yaml"
    path.write_text(CONFIG)
    return path


def test_what_cannot_run_leaves_no_folder_behind(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run_command(["run", str(config_file), "--out", "out"]) == 2
        assert f"{config_file}:2:32  FMRG-2101  " in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_dry_run_shows_the_plan_and_starts_nothing(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantom = "data={source: phantom, patients_per_centre: 10, patients_per_unseen_centre: 4}"
    assert run_command(["run", str(config_file), "--dry-run", "--json", "--set", phantom]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["sites"]) == 4
    assert "What the run will cost" in captured.err
    assert sorted(path.name for path in config_file.parent.iterdir()) == ["ward.yaml"]


def test_there_is_nothing_to_resume_in_an_empty_place(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantom = "data={source: phantom, patients_per_centre: 10, patients_per_unseen_centre: 4}"
    assert run_command(["run", str(config_file), "--resume", "--set", phantom]) == 2
    assert "FMRG-6102" in capsys.readouterr().err
