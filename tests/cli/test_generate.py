"""``fedmrg generate``: a report for an image, from a run or from its export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.federation.states import state_files
from tests.fixtures.trained_run import CONFIG, SITES, write_trained_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_run(tmp_path_factory.mktemp("generate") / "run")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    record = load_centre(CONFIG.data, SITES[0]).test[0]
    pixels = np.round(record.load_image(64) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "chest.png")
    return tmp_path / "chest.png"


def test_a_report_from_the_run_and_from_its_export(
    root: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exported"
    assert run_command(["generate", str(root), "--image", str(picture), "--json"]) == 0
    from_run = json.loads(capsys.readouterr().out)
    assert run_command(["export", str(root), "--out", str(out), "--json"]) == 0
    assert "README.md" in json.loads(capsys.readouterr().out)["files"]
    assert run_command(["generate", str(out), "--image", str(picture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == from_run
    assert set(from_run["diagnosis"]) == set(CONFIG.model.classes)
    assert sum(from_run["diagnosis"]["Edema"]["probabilities"].values()) == pytest.approx(
        1, abs=1e-5
    )


def test_words_for_people(root: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", str(root), "--image", str(picture), "--beams", "2"]
    assert run_command([*arguments, "--site", SITES[1]]) == 0
    captured = capsys.readouterr()
    assert "Cardiomegaly" in captured.out
    assert "Not for clinical use." in captured.err


def test_a_dicom_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = get_testdata_file("CT_small.dcm")
    assert run_command(["generate", str(root), "--image", str(image), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == "CT_small.dcm"


def test_a_truncated_image_is_a_clear_error(
    root: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture.write_bytes(picture.read_bytes()[:-200])
    assert run_command(["generate", str(root), "--image", str(picture)]) == 2
    assert "truncated or damaged" in capsys.readouterr().err


def test_an_absent_image_and_an_unknown_site(
    root: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["generate", str(root), "--image", "absent.png"]) == 2
    assert run_command(["generate", str(root), "--image", str(picture), "--site", "nobody"]) == 1
    assert SITES[0] in capsys.readouterr().err


def test_a_broken_state_is_told(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_trained_run(tmp_path / "run", rounds=1)
    state_files(root)[1].write_bytes(b"short")
    assert run_command(["generate", str(root), "--image", str(picture)]) == 1
    assert "FMRG-6402" in capsys.readouterr().err
