"""``fedmrg adapt``: an unseen centre gets an adapter of its own, and writes with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.core.yaml_source import dump_run_config
from fedmrg_secure.data.task import load_centre
from tests.fixtures.trained_run import CONFIG, SITES, UNSEEN, write_trained_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_run(tmp_path_factory.mktemp("adapt") / "run")


def states(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_new_centre_adapts_and_writes_with_its_own_part(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = states(root), tmp_path / "adapted"
    arguments = ["adapt", str(root), "--centre", UNSEEN, "--out", str(out), "--steps", "8"]
    assert run_command([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert states(root) == before
    assert result["path"] == f"specialized mix {result['chosen']['mix']:g}"
    assert result["chosen"]["loss"] < result["tried"][0]["loss"]
    assert sum(result["patients"].values()) == CONFIG.data.patients_per_unseen_centre
    assert "the shared model: validation loss" in captured.err
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "adaptation.json",
        "adapter_config.json",
        "adapter_model.safetensors",
        "private.safetensors",
    }
    assert run_command(arguments) == 2
    assert "FMRG-6421" in capsys.readouterr().err

    record = load_centre(CONFIG.data, UNSEEN).test[0]
    picture = tmp_path / "chest.png"
    Image.fromarray(np.round(record.load_image(32) * 255).astype(np.uint8)).save(picture)
    generate = ["generate", str(root), "--image", str(picture), "--json"]
    assert run_command([*generate, "--adapted", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == result["path"]
    exported = tmp_path / "exported"
    assert run_command(["export", str(root), "--out", str(exported)]) == 0
    capsys.readouterr()
    generate[1] = str(exported)
    assert run_command([*generate, "--adapted", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == result["path"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--centre", SITES[0]], "FMRG-6432"),
        (["--centre", "nowhere"], "FMRG-2001"),
        (["--centre", UNSEEN, "--data", "absent"], "FMRG-6431"),
    ],
)
def test_a_centre_that_cannot_adapt_is_told(
    root: Path,
    tmp_path: Path,
    options: list[str],
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["adapt", str(root), "--out", str(tmp_path / "out"), *options]) == 2
    assert code in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_with_the_generic_adapter_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "run"
    root.mkdir()
    generic = CONFIG.model.model_copy(update={"adapters": "generic"})
    text = dump_run_config(CONFIG.model_copy(update={"model": generic}))
    (root / "config.yaml").write_text(text, encoding="utf-8")
    (root / "run.json").write_text("{}", encoding="utf-8")
    assert run_command(["adapt", str(root), "--centre", UNSEEN, "--out", str(tmp_path / "o")]) == 2
    assert "FMRG-6411" in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["adapt", str(tmp_path), "--centre", "x", "--out", str(tmp_path / "o")]) == 2
    assert "FMRG-6405" in capsys.readouterr().err
