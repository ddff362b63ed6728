"""The run's folder: made once, found again, never mixed up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.federation.run_folder import (
    NothingToResume,
    ResumeMismatch,
    RunFolder,
    RunFolderInUse,
    create_run_folder,
    reopen_run_folder,
)

CONFIG = RunConfig.model_validate(
    {
        "name": "demo",
        "data": {"source": "phantom"},
        "secure_aggregation": {"scheme": "ckks-shared", "acknowledge_collusion_risk": True},
    }
)


def test_runs_of_one_name_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    roots = [create_run_folder(CONFIG, None, command="x").root for _ in range(3)]
    assert [str(root) for root in roots] == ["runs/demo", "runs/demo-2", "runs/demo-3"]


def test_a_folder_with_something_in_it_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(RunFolderInUse, match="not empty"):
        create_run_folder(CONFIG, tmp_path, command="x")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_resume_finds_the_newest_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = create_run_folder(CONFIG, None, command="x")
    second = create_run_folder(CONFIG, None, command="x")
    assert reopen_run_folder(CONFIG, None).root == second.root
    second.update_manifest(status="finished")
    assert reopen_run_folder(CONFIG, None).root == first.root
    with pytest.raises(NothingToResume, match="has finished"):
        reopen_run_folder(CONFIG, second.root)


def test_a_run_that_was_trained_and_not_judged_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = create_run_folder(CONFIG, None, command="x")
    folder.update_manifest(status="finished", trained="2026-11-26T22:24:30Z")
    folder.summary.write_text('{"mean": {}}')
    assert reopen_run_folder(CONFIG, None).root == folder.root
    folder.summary.write_text('{"mean": {}, "status": "finished"}')
    with pytest.raises(NothingToResume, match="has finished"):
        reopen_run_folder(CONFIG, folder.root)


def test_resume_without_a_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NothingToResume, match="no interrupted run"):
        reopen_run_folder(CONFIG, None)


def test_resume_with_another_configuration_is_refused(tmp_path: Path) -> None:
    create_run_folder(CONFIG, tmp_path / "run", command="x")
    other = CONFIG.model_copy(update={"seed": 99})
    with pytest.raises(ResumeMismatch, match="differs"):
        reopen_run_folder(other, tmp_path / "run")


def test_metrics_survive_a_torn_last_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_metrics({"kind": "round", "round": 1})
    with folder.metrics.open("a") as file:
        file.write('{"kind": "rou')
    assert folder.read_metrics() == [{"kind": "round", "round": 1}]
    folder.append_metrics({"kind": "round", "round": 2})
    assert [row["round"] for row in folder.read_metrics()] == [1, 2]


def test_the_manifest_keeps_what_was_said_before(tmp_path: Path) -> None:
    folder = create_run_folder(CONFIG, tmp_path / "run", command="fedmrg run x.yaml")
    folder.update_manifest(status="running")
    content = json.loads(folder.manifest.read_text())
    assert content["status"] == "running"
    assert content["command"] == "fedmrg run x.yaml"
    assert "torch" in content["versions"]
