"""The runs of a sweep: what is done, half done or of another configuration, and one that fails."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from fedmrg_secure.benchmark import sweep_runs
from fedmrg_secure.benchmark.children import Children
from fedmrg_secure.benchmark.executors import run_by_processes
from fedmrg_secure.benchmark.jobs import write_json
from fedmrg_secure.benchmark.sweep_runs import (
    SweepRun,
    differences,
    perform,
    read_record,
    state_of,
)
from fedmrg_secure.core.config import RunConfig

NOWHERE = {
    "name": "nowhere",
    "data": {
        "source": "manifest",
        "root": "/nowhere",
        "manifest": "m.jsonl",
        "participating": ["A", "B"],
        "unseen": [],
    },
}


def a_run(root: Path, name: str = "nowhere", rounds: int = 2) -> SweepRun:
    content = {**NOWHERE, "name": name, "training": {"rounds": rounds}}
    return SweepRun("point", RunConfig.model_validate(content), root / "runs/point" / name)


def record(run: SweepRun, attempts: int = 1) -> None:
    config = run.config.model_dump(mode="json")
    known = {"digest": run.digest, "config": config, "attempts": attempts, "error": ""}
    write_json(run.record_file, known)


def test_a_run_is_done_only_when_it_is_judged_and_of_this_configuration(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    assert state_of(run) == "new"
    record(run)
    assert state_of(run) == "begun"
    run.folder.mkdir(parents=True)
    (run.folder / "summary.json").write_text('{"mean": {}}')
    assert state_of(run) == "begun"
    (run.folder / "summary.json").write_text('{"mean": {}, "status": "finished"}')
    assert state_of(run) == "done"
    other = a_run(tmp_path, rounds=3)
    assert state_of(other) == "changed"
    assert differences(other) == ["training.rounds was 2, is 3"]
    run.record_file.write_text('{"digest": ')
    assert read_record(run) is None


def test_a_private_half_run_goes_on_only_where_its_ledger_is_kept() -> None:
    def private(**more: object) -> SweepRun:
        content = {
            "name": "p",
            "data": {"source": "phantom"},
            "training": {"boosting": "one_way"},
            "privacy": {"target_epsilon": 8, **more},
        }
        return SweepRun("p", RunConfig.model_validate(content), Path("p"))

    assert not private().can_go_on
    assert private(ledgers="ledgers").can_go_on
    assert a_run(Path()).can_go_on


def test_a_run_that_fails_says_why_and_leaves_the_others_alone(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, "first"), a_run(tmp_path, "second")]
    told: list[tuple[str, float, str]] = []
    outcomes = run_by_processes(
        runs, replace=False, at_once=1, on_progress=lambda *news: told.append(news)
    )
    assert [outcome.name for outcome in outcomes] == ["first", "second"]
    for run, outcome in zip(runs, outcomes, strict=True):
        assert "FMRG-2" in outcome.error
        assert "/nowhere" in outcome.error
        assert "Traceback" not in outcome.error
        assert state_of(run) == "begun"
        known = read_record(run)
        assert known is not None
        assert known.error == outcome.error
    assert [news for news in told if news[1] == 1.0] == [
        ("first", 1.0, "failed"),
        ("second", 1.0, "failed"),
    ]


def test_what_lies_in_the_way_is_not_removed(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "letter.txt").write_text("mine")
    outcome = perform(run, replace=True, children=Children(), on_line=lambda *_: None)
    assert outcome.error
    assert (run.folder / "letter.txt").read_text() == "mine"


def test_two_sweeps_do_not_work_on_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_runs, "_LOCK_PATIENCE_S", 0.3)
    run = a_run(tmp_path)
    run.lock_file.parent.mkdir(parents=True)
    descriptor = os.open(run.lock_file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        outcome = perform(run, replace=False, children=Children(), on_line=lambda *_: None)
    finally:
        os.close(descriptor)
    assert "FMRG-8223" in outcome.error
    assert not run.record_file.exists()


def test_a_child_holds_what_it_inherits_and_its_last_words_are_kept(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "print(os.path.samestat(os.fstat(int(sys.argv[1])), os.stat(sys.argv[2])))\n"
        "print('\\n'.join(map(str, range(100))), file=sys.stderr)\n"
        "sys.exit(3)"
    )
    path = tmp_path / "held"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    lines: list[str] = []
    end = Children().run(
        ["-c", script, str(descriptor), str(path)], lines.append, keep_open=(descriptor,)
    )
    os.close(descriptor)
    assert lines == ["True"]
    assert (end.code, end.stopped) == (3, False)
    assert end.said.splitlines()[-1] == "99"
    assert len(end.said.splitlines()) < 100
