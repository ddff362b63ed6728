"""A sweep's file: the runs it comes to, and every mistake of it at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fedmrg_secure.benchmark.methods import METHODS
from fedmrg_secure.benchmark.sweep_file import (
    PrivateWithoutLedger,
    Sweep,
    UnknownPoint,
    choose_points,
    load_sweep,
)
from fedmrg_secure.core.errors import ErrorGroup

PRIVATE: dict[str, Any] = {
    "name": "base",
    "seed": 4,
    "data": {"source": "phantom"},
    "training": {"rounds": 3, "boosting": "one_way"},
    "privacy": {"target_epsilon": 5, "expected_batch": 16},
}
PLAIN: dict[str, Any] = {
    "name": "plain",
    "data": {"source": "phantom"},
    "training": {"rounds": 3},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "private.yaml").write_text(yaml.safe_dump(PRIVATE))
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(PLAIN))
    return tmp_path


def load(folder: Path, text: str, *overrides: str, seeds: int | None = None) -> Sweep:
    path = folder / "sweeps" / "sweep.yaml"
    path.write_text(f"name: s\nbase: ../private.yaml\n{text}")
    return load_sweep(path, overrides, seeds=seeds)


def mistakes(folder: Path, text: str, *overrides: str) -> list[tuple[str, str]]:
    """Place in the sweep's file (or another's name) and message."""
    with pytest.raises(ErrorGroup) as caught:
        load(folder, text, *overrides)
    places = [
        error.location.replace(str(folder / "sweeps/sweep.yaml:"), "").replace(str(folder), "")
        for error in caught.value.errors
    ]
    return [
        (place, error.message) for place, error in zip(places, caught.value.errors, strict=True)
    ]


def test_every_point_has_a_run_a_seed_with_a_name_and_a_seed_of_its_own(folder: Path) -> None:
    sweep = load(folder, "seeds: 2\ngrid:\n  epsilon: [inf, 2.5]\n  update.rank: [4, 8]\n")
    assert sweep.axes == {"epsilon": ("inf", "2.5"), "update.rank": ("4", "8")}
    assert [point.name for point in sweep.points] == [
        "epsilon-inf_rank-4",
        "epsilon-inf_rank-8",
        "epsilon-2.5_rank-4",
        "epsilon-2.5_rank-8",
    ]
    assert sweep.points[3].settings == {"epsilon": "2.5", "update.rank": "8"}
    runs = [config for point in sweep.points for config in point.configs]
    assert len({config.name for config in runs}) == 8
    assert [config.seed for config in sweep.points[0].configs] == [4, 5]
    assert sweep.points[3].configs[1].name == "epsilon-2.5_rank-8-seed-5"
    assert [config.update.rank for config in runs] == [4, 4, 8, 8] * 2
    private = [config.privacy.target_epsilon if config.privacy else None for config in runs]
    assert private == [None] * 4 + [2.5] * 4


def test_the_grid_comes_after_the_command_line_which_comes_after_the_file(folder: Path) -> None:
    text = "grid:\n  rank: [4]\n"
    (config,) = load(folder, text, "training.rounds=7", "update.rank=2", seeds=1).points[0].configs
    assert (config.training.rounds, config.update.rank) == (7, 4)
    assert len(load(folder, text).points[0].configs) == 3
    assert len(load(folder, text, seeds=5).points[0].configs) == 5
    assert load(folder, text, "seed=11").points[0].configs[0].seed == 11


def test_a_value_may_bring_keys_and_a_base_of_its_own(folder: Path) -> None:
    sweep = load(
        folder,
        "grid:\n  epsilon:\n"
        "    - {name: inf, base: ../plain.yaml, set: {training.local_steps: 9}}\n    - 1\n"
        "  wire: [{name: narrow, set: {secure_aggregation.wire_bits: 16}}]\n",
    )
    plain, private = (point.configs[0] for point in sweep.points)
    assert plain.privacy is None
    assert plain.training.boosting == "mutual"
    assert plain.training.local_steps == 9
    assert private.privacy is not None
    assert private.training.boosting == "one_way"
    assert plain.secure_aggregation.wire_bits == private.secure_aggregation.wire_bits == 16
    assert [point.name for point in sweep.points] == [
        "epsilon-inf_wire-narrow",
        "epsilon-1_wire-narrow",
    ]


def test_a_method_is_what_the_benchmark_of_methods_means_by_it(folder: Path) -> None:
    sweep = load(folder, "grid:\n  method: [fedavg, no-contrast]\n", "privacy=null")
    fedavg, ablated = (point.configs[0] for point in sweep.points)
    assert fedavg.model.adapters == METHODS["fedavg"].definition["model.adapters"]
    assert fedavg.update.factorization == "ffa"
    assert ablated.training.contrast_weight == 0


def test_names_that_are_too_long_for_a_run_are_cut_and_stay_apart(folder: Path) -> None:
    text = "grid:\n  axis:\n" + "".join(
        f"    - {{name: {'x' * 38}{end}, set: {{update.rank: 4}}}}\n" for end in "ab"
    )
    text += f"  other: [{{name: {'y' * 40}, set: {{training.rounds: 2}}}}]\n"
    names = [config.name for point in load(folder, text).points for config in point.configs]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 64


def test_only_leaves_the_points_that_it_names(folder: Path) -> None:
    sweep = load(folder, "grid:\n  epsilon: [inf, 2, 1]\n  rank: [4, 8]\n")
    chosen = choose_points(sweep, ["epsilon=inf,1", "rank=8"])
    assert [point.name for point in chosen] == ["epsilon-inf_rank-8", "epsilon-1_rank-8"]
    assert choose_points(sweep, []) == sweep.points
    with pytest.raises(UnknownPoint, match="no axis 'epsilo'") as caught:
        choose_points(sweep, ["epsilo=1"])
    assert caught.value.hint == "did you mean epsilon?"
    with pytest.raises(UnknownPoint, match="no value '3'"):
        choose_points(sweep, ["epsilon=1,3"])


def test_every_mistake_of_the_shape_is_told_at_once(folder: Path) -> None:
    found = mistakes(
        folder,
        "seeds: 0\ngird: {rank: [4]}\ngrid:\n  rank: []\n  epsilon: [[1]]\n"
        "  mode: [{nmae: a}, {name: b, set: 3}]\nutility: {metrics: bleu4}\n",
    )
    assert [place for place, _ in found] == [
        "3:8",
        "4:1",
        "6:9",
        "7:13",
        "8:11",
        "8:36",
        "9:20",
    ]


def test_every_mistake_of_the_grid_is_told_at_once(folder: Path) -> None:
    found = mistakes(
        folder,
        "grid:\n  epsilonn: [1]\n  rank: [4, 4]\n  seed: [1]\n  method: [fedavgg, central]\n"
        "  mode:\n    - {name: a, base: ../none.yaml, set: {name: x}}\n"
        "utility: {metrics: [blue4]}\n",
    )
    assert found == [
        ("4:3", "grid.epsilonn is no key of a configuration"),
        ("5:13", "grid.rank has 4 twice"),
        ("6:3", "a point cannot change seed: every run of a sweep has its own"),
        ("7:12", "'fedavgg' is no federated method"),
        ("7:21", "'central' is no federated method"),
        ("9:23", "there is no file ../none.yaml"),
        ("9:43", "a point cannot change name: every run of a sweep has its own"),
        ("10:21", "there is no metric 'blue4'"),
    ]


def test_a_point_that_does_not_fit_together_is_told_once_and_by_name(folder: Path) -> None:
    found = mistakes(
        folder,
        "grid:\n  rank: [0, 8, 16]\n"
        "  kind: [{name: odd, base: ../plain.yaml, set: {privacy.target_epsilon: 2}}]\n",
    )
    assert found[0][0].startswith("/plain.yaml:")
    assert found[0][1].startswith("at rank 0, kind odd: training.boosting is mutual")
    assert found[1] == ("4:10", "update.rank must be at least 1, got 0")
    assert len(found) == 2


def test_a_grid_without_an_axis_is_none(folder: Path) -> None:
    assert mistakes(folder, "grid: {}\n") == [("3:7", "grid has no axis")]


def test_two_bases_for_one_point_are_refused(folder: Path) -> None:
    value = "[{{name: {}, base: ../plain.yaml}}]"
    text = f"grid:\n  a: {value.format('p')}\n  b: {value.format('q')}\n"
    ((place, message),) = mistakes(folder, text)
    assert place == "5:7"
    assert "both bring a base" in message


def test_private_runs_on_patients_need_a_ledger_that_outlives_them(folder: Path) -> None:
    data = {"source": "manifest", "root": "x", "manifest": "m.jsonl", "participating": ["A", "B"]}
    real = {**PRIVATE, "data": data, "privacy": {**PRIVATE["privacy"], "population": 400}}
    (folder / "private.yaml").write_text(yaml.safe_dump(real))
    text = "grid:\n  epsilon: [inf, 2]\n"
    with pytest.raises(PrivateWithoutLedger, match="at epsilon 2"):
        load(folder, text)
    assert len(load(folder, text, "privacy.ledgers=ledgers").points) == 2
