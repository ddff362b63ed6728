"""The evaluator on run folders with real states: rows, summary, following, stopping."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.evaluation.judging import Judge, load_centres
from fedmrg_secure.federation.evaluator import evaluate_run
from fedmrg_secure.federation.states import NoTrainedState, newest_state, read_own_part
from tests.fixtures.trained_run import (
    CONFIG,
    SITES,
    build,
    set_status,
    write_state,
    write_trained_run,
)


def rows_of(root: Path, kind: str = "evaluation") -> list[dict[str, Any]]:
    lines = (root / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def summary_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    return content


def test_untrained_and_newest_state_are_judged(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path)
    (root / "summary.json").write_text('{"run": "tiny"}', encoding="utf-8")
    told: list[tuple[int, str]] = []
    result = evaluate_run(root, on_judged=lambda number, role, *_: told.append((number, role)))
    assert result is not None
    rows = rows_of(root)
    assert {(row["round"], row["final"]) for row in rows} == {
        (0, False),
        (0, True),
        (2, False),
        (2, True),
    }
    assert len(rows) == 4 * 6
    paths = {row["centre"]: row["path"] for row in rows if row["final"] and row["round"] == 2}
    assert paths == result.paths == summary_of(root)["paths"]
    assert paths[SITES[0]] == "specialized mix 0.75"
    assert {path for name, path in paths.items() if name != SITES[0]} == {"generic"}
    assert {row["path"] for row in rows if not row["final"]} == {"generic"}
    assert {row["records"] for row in rows if row["final"]} <= {1, 2, 3}
    assert told == [(n, role) for n in (0, 2) for role in ("participating", "unseen")]
    summary = summary_of(root)
    assert summary["run"] == "tiny"
    assert summary["final"] == result.final
    assert summary["final"] != summary["untrained"]
    unseen = [row["metrics"]["bleu4"] for row in rows if row["final"] and row["round"] == 2][-2:]
    assert summary["mean"]["unseen"]["bleu4"]["final"] == pytest.approx(sum(unseen) / 2)
    pooled = {(row["round"], row["role"]): row for row in rows_of(root, "pooled")}
    assert pooled[2, "unseen"]["records"] == sum(
        row["records"]
        for row in rows
        if row["final"] and row["round"] == 2 and row["role"] == "unseen"
    )
    assert summary["pooled"]["unseen"]["bleu1"] == {
        "untrained": pooled[0, "unseen"]["metrics"]["bleu1"],
        "final": pooled[2, "unseen"]["metrics"]["bleu1"],
    }
    assert len(json.loads((root / "samples" / "samples.json").read_text(encoding="utf-8"))) == 6


def test_a_participating_centre_is_judged_as_it_writes_and_by_the_generic_path(
    tmp_path: Path,
) -> None:
    root = write_trained_run(tmp_path)
    result = evaluate_run(root)
    assert result is not None
    assert set(result.generic) == {SITES[0]}  # the other site has chosen mix 0
    assert result.final[SITES[0]] != result.generic[SITES[0]]
    assert [row["centre"] for row in rows_of(root, "generic")] == [SITES[0]]
    generator = build()
    generator.load_shared_state(newest_state(root)[1])
    centres = load_centres(CONFIG.data, at_most=3)
    judge = Judge(generator, centres, image_size=CONFIG.data.image_size)
    own = {SITES[0]: read_own_part(root, SITES[0])}
    wanted = {j.centre.name: judge.score([j], 3) for j in judge.judge(3, own)}
    for name, metrics in wanted.items():
        assert result.final[name] == pytest.approx(metrics), name
    for path in root.glob("sites/*/state/private.safetensors"):
        path.unlink()
    without = evaluate_run(root)
    assert without is not None
    assert without.final[SITES[0]] == result.generic[SITES[0]]
    assert set(without.paths.values()) == {"generic"}


def test_judging_again_gives_the_same_figures(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path)
    first, second = evaluate_run(root), evaluate_run(root)
    assert first == second


def test_an_evaluation_cut_short_is_done_again(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path)
    whole = evaluate_run(root)
    lines = (root / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    cut = next(at for at, line in enumerate(lines) if '"pooled"' in line)
    (root / "metrics.jsonl").write_text("".join(lines[:cut]) + lines[cut][:20], encoding="utf-8")
    assert evaluate_run(root) == whole


def test_a_run_is_not_judged_for_good_before_sites_have_chosen_their_mix(tmp_path: Path) -> None:
    """All rounds are in, but one site still tries which mix writes best."""
    root = write_trained_run(tmp_path, rounds=CONFIG.training.rounds, status="running")
    last = root / "sites" / SITES[1] / "state" / "private.safetensors"
    kept = last.read_bytes()
    last.unlink()
    results: list[Any] = []
    follower = threading.Thread(target=lambda: results.append(evaluate_run(root, follow=True)))
    follower.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _judged(root, 4):
        time.sleep(0.1)
    follower.join(1)
    assert not results
    assert not _judged(root, 6)
    last.write_bytes(kept)
    follower.join(60)
    assert results[0].paths[SITES[0]] == "specialized mix 0.75"


def test_nothing_trained_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoTrainedState):
        evaluate_run(write_trained_run(tmp_path, rounds=0))


def test_following_judges_each_due_round_once_and_ends_with_the_run(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path, rounds=0, status="running")
    initial = build().shared_state()
    results: list[Any] = []
    follower = threading.Thread(target=lambda: results.append(evaluate_run(root, follow=True)))
    follower.start()
    for number in (1, 2, 3):
        write_state(root, number, initial)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _judged(root, 2):
        time.sleep(0.1)
    set_status(root, "finished")
    follower.join(60)
    assert results
    assert results[0].round == 3
    judged = [(row["round"], row["final"]) for row in rows_of(root) if row["role"] == "unseen"]
    assert sorted(set(judged)) == [(0, False), (0, True), (2, False), (3, False), (3, True)]
    assert len(judged) == 2 * 5


def test_following_ends_when_every_round_is_in(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path, rounds=CONFIG.training.rounds, status="running")
    told: list[int] = []
    result = evaluate_run(root, follow=True, on_judged=lambda number, *_: told.append(number))
    assert result is not None
    assert result.round == CONFIG.training.rounds
    assert told == [0, 0, 2, 2, 4, 4, 6, 6]


def test_following_again_does_not_judge_twice(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path, rounds=3)
    evaluate_run(root, follow=True)
    before = [row for row in rows_of(root) if row["round"] in (0, 2)]
    evaluate_run(root, follow=True)
    assert [row for row in rows_of(root) if row["round"] in (0, 2)] == before


def test_following_a_run_that_trained_nothing_judges_the_untrained_model(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path, rounds=0, status="failed")
    result = evaluate_run(root, follow=True)
    assert result is not None
    assert result.round == 0
    assert result.final == result.untrained


def test_it_stops_when_asked_and_leaves_whole_rows(tmp_path: Path) -> None:
    root = write_trained_run(tmp_path, rounds=0, status="running")
    calls = iter(range(100))
    assert evaluate_run(root, follow=True, stopped=lambda: next(calls) > 3) is None
    assert {row["round"] for row in rows_of(root)} == {0}
    assert not (root / "summary.json").exists()


def _judged(root: Path, number: int) -> bool:
    return (root / "metrics.jsonl").exists() and any(
        row["round"] == number for row in rows_of(root)
    )
