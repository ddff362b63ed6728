"""``fedmrg generate``: a report for an image, from a run or from its export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.data.images import read_image_file, to_square
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.federation.states import newest_state, read_own_part, state_files
from fedmrg_secure.model.report_generator import images_tensor
from tests.fixtures.trained_run import CONFIG, MIXES, SITES, build, write_trained_run


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
    assert run_command([*arguments, "--site", SITES[0]]) == 0
    captured = capsys.readouterr()
    assert "Cardiomegaly" in captured.out
    assert "specialized mix 0.75. Not for clinical use." in captured.err


def test_a_site_writes_with_its_own_part_in_the_mix_that_it_chose(
    root: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = build()
    generator.load_shared_state(newest_state(root)[1])
    image = images_tensor([to_square(read_image_file(picture), CONFIG.data.image_size)])
    plain = ["generate", str(root), "--image", str(picture), "--json"]
    for site, mix in MIXES.items():
        generator.load_specialized_state(read_own_part(root, site))
        assert run_command([*plain, "--site", site]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["report"] == generator.generate(image, mix=mix)[0]
        assert result["path"] == ("specialized mix 0.75" if mix else "generic")
    assert run_command(plain) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["report"], result["path"]) == (generator.generate(image)[0], "generic")


def test_an_exported_site_writes_as_in_its_run(
    root: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exported"
    site = ["--site", SITES[0]]
    assert run_command(["generate", str(root), "--image", str(picture), "--json", *site]) == 0
    from_run = json.loads(capsys.readouterr().out)
    assert run_command(["export", str(root), "--out", str(out), *site]) == 0
    capsys.readouterr()
    assert run_command(["generate", str(out), "--image", str(picture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == from_run
    assert run_command(["generate", str(out), "--image", str(picture), *site]) == 2


def test_a_folder_of_one_site_alone(
    root: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a site of a federation of machines has: no run.json, its own states only."""
    shutil.copytree(root / "sites" / SITES[0], tmp_path / "here")
    shutil.copy(root / "config.yaml", tmp_path / "here")
    (tmp_path / "here" / "kit").mkdir()
    kit = json.dumps({"name": SITES[0]})
    (tmp_path / "here" / "kit" / "kit.json").write_text(kit, encoding="utf-8")
    answers = []
    for folder in (root, tmp_path / "here"):
        arguments = ["generate", str(folder), "--image", str(picture), "--site", SITES[0], "--json"]
        assert run_command(arguments) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]


def test_a_site_without_an_own_part_is_told(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_trained_run(tmp_path / "run", rounds=1, own=False)
    arguments = ["generate", str(root), "--image", str(picture), "--site", SITES[0]]
    assert run_command(arguments) == 1
    assert "FMRG-6404" in capsys.readouterr().err
    assert run_command([*arguments, "--adapted", str(tmp_path)]) == 2
    assert "give one of them" in capsys.readouterr().err


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
