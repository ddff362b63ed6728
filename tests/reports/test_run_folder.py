"""Reading a run's folder: whole, begun, damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.reports.run_folder import NotARunFolder, read_run
from tests.fixtures.run_folder import ROUNDS, write_run, write_start


def test_a_whole_run(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    assert run.manifest.status == "finished"
    assert len(run.sites) == 4
    assert len(run.unseen) == 2
    assert len(run.rounds) == 4 * ROUNDS
    assert {row.round for row in run.evaluations} == set(range(ROUNDS + 1))
    assert run.summary.communication is not None
    assert run.summary.communication.parameters_total == 2_400_000
    assert {head.party for head in run.summary.logs} == {"coordinator", *run.sites}
    assert [sample.image_png[:4] for sample in run.samples] == [b"\x89PNG"] * 2
    assert run.problems == ()
    assert run.rounds_done == ROUNDS
    assert {row.path for row in run.evaluations} == {"generic", "specialized mix 0.75"}
    assert [row.centre for row in run.generic] == list(run.sites)
    assert run.samples[0].path == "specialized mix 0.75"
    assert run.samples[0].generic


def test_a_training_round_of_two_passes_counts_once(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    summary = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    (root / "summary.json").write_text(json.dumps(summary | {"passes": 2}), encoding="utf-8")
    assert read_run(root).rounds_done == ROUNDS // 2


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    write_start(tmp_path)
    run = read_run(tmp_path)
    assert (run.rounds, run.evaluations, run.samples, run.problems) == ((), (), (), ())
    assert run.summary.communication is None


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(NotARunFolder, match=r"run\.json"):
        read_run(tmp_path)


def test_an_invalid_configuration_is_told(tmp_path: Path) -> None:
    write_start(tmp_path)
    (tmp_path / "config.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(FedmrgError):
        read_run(tmp_path)


def test_of_equal_rows_the_last_counts(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    lines = (root / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    first["loss"] = 0.125
    with (root / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(first) + "\n")
    run = read_run(root)
    assert len(run.rounds) == 4 * ROUNDS
    assert run.rounds[0].loss == 0.125


def test_damaged_lines_are_left_out_and_named(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    with (root / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind":"round","round":-1,"site":"x"}\n{"kind":"other"}\n{"kind":"rou')
    run = read_run(root)
    assert len(run.rounds) == 4 * ROUNDS
    assert len(run.problems) == 3
    assert all("metrics.jsonl, line" in problem for problem in run.problems)


@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "samples/samples.json"])
def test_an_unreadable_part_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    root = write_run(tmp_path)
    (root / name).write_bytes(b"\xff\xfe broken")
    problems = read_run(root).problems
    assert len(problems) == 1
    assert Path(name).name in problems[0]


@pytest.mark.parametrize(
    "image", ["../outside.png", "../run.json", "/etc/hostname", "absent.png", "samples.json", "."]
)
def test_an_image_outside_or_of_another_kind_is_refused(tmp_path: Path, image: str) -> None:
    root = write_run(tmp_path)
    shutil.copy(next((root / "samples").glob("*.png")), root / "outside.png")
    path = root / "samples" / "samples.json"
    samples = json.loads(path.read_text(encoding="utf-8"))
    samples[0]["image"] = image
    path.write_text(json.dumps(samples), encoding="utf-8")
    run = read_run(root)
    assert run.samples == ()
    assert len(run.problems) == 1


def test_a_linked_image_is_refused(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    picture = next((root / "samples").glob("*.png"))
    target = picture.rename(tmp_path / "elsewhere.png")
    picture.symlink_to(target)
    assert read_run(root).samples == ()


def test_a_loss_that_is_not_finite_is_no_loss(tmp_path: Path) -> None:
    write_start(tmp_path)
    row = '{"kind":"round","round":1,"site":"x","loss":NaN,"seconds":{"train":Infinity,"open":1}}\n'
    (tmp_path / "metrics.jsonl").write_text(row, encoding="utf-8")
    run = read_run(tmp_path)
    assert run.rounds[0].loss is None
    assert run.rounds[0].seconds == {"open": 1.0}
    assert run.problems == ()


def test_an_error_with_code_and_message(tmp_path: Path) -> None:
    write_start(tmp_path, status="failed")
    path = tmp_path / "run.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["error"] = {"code": "FMRG-6301", "message": "too few sites", "hint": ""}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_run(tmp_path).manifest.error == "FMRG-6301 too few sites"
