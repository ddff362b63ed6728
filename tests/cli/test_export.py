"""``fedmrg export``: what it writes and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.cli.main import run_command
from tests.fixtures.trained_run import SITES, build, write_state, write_trained_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_run(tmp_path_factory.mktemp("export") / "run", rounds=1)


def test_names_every_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "exported"
    arguments = ["export", str(root), "--out", str(out), "--json"]
    assert run_command(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["round"], result["site"]) == (1, None)
    assert set(result["files"]) >= {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "base/model.safetensors",
        "report_generator.json",
        "report_generator.safetensors",
    }
    assert all((out / name).is_file() for name in result["files"])


def test_a_sites_model_has_its_own_part(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(root), "--out", str(tmp_path / "out"), "--json", "--site"]
    assert run_command([*arguments, SITES[0]]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["site"] == SITES[0]
    assert "specialized.safetensors" in result["files"]
    assert run_command([*arguments, "nobody"]) == 1
    assert "FMRG-6404" in capsys.readouterr().err


def test_does_not_write_over(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").touch()
    assert run_command(["export", str(root), "--out", str(tmp_path)]) == 2
    assert "FMRG-6503" in capsys.readouterr().err


def test_nothing_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_trained_run(tmp_path / "run", rounds=0)
    assert run_command(["export", str(root), "--out", str(tmp_path / "out")]) == 1
    assert "FMRG-6401" in capsys.readouterr().err
    write_state(root, 0, build().shared_state())
    assert run_command(["export", str(root), "--out", str(tmp_path / "out")]) == 1
    assert "has not ended a round" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
