"""Methods differ from each other in what they say and in nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmrg_secure.benchmark import tuned
from fedmrg_secure.benchmark.jobs import Job, make_jobs
from fedmrg_secure.benchmark.methods import GROUPS, METHODS, UnknownMethod, choose_methods
from fedmrg_secure.benchmark.tasks import TASKS, NoLedgerHere, UnknownTask, load_task
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.config_checks import check_config
from fedmrg_secure.core.errors import ErrorGroup


def config_of(method: str, *overrides: str) -> RunConfig:
    return load_task("phantom", overrides=overrides).config(METHODS[method], 1, sites=4)


def changed(first: RunConfig, second: RunConfig) -> set[str]:
    """Dotted keys in which two configurations differ."""
    found = set()
    for section in ("data", "model", "training", "update", "federation", "evaluation"):
        one, other = (getattr(each, section).model_dump() for each in (first, second))
        found |= {f"{section}.{key}" for key in one if one[key] != other[key]}
    return found


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fits_the_phantom_task(method: str) -> None:
    config = config_of(method)
    assert not check_config(config)
    assert config.data == load_task("phantom").base.data


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("no-contrast", {"training.contrast_weight"}),
        ("no-prompts", {"model.prompts"}),
        ("no-boosting", {"training.boosting"}),
        ("no-anchor-attention", {"model.anchor_attention"}),
        ("rank-2", {"update.rank"}),
        ("fedmrg-powersgd", {"update.factorization"}),
    ],
)
def test_an_ablation_takes_out_one_part(method: str, parts: set[str]) -> None:
    assert changed(config_of("fedmrg"), config_of(method)) == parts


def test_baselines_are_fedavg_and_their_own_term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "TUNED", {})
    plain = config_of("fedavg")
    assert changed(plain, config_of("fedprox")) == {"training.proximal_weight"}
    assert changed(plain, config_of("moon")) == {"training.moon_weight"}
    assert changed(plain, config_of("dual")) == {"model.adapters"}
    not_sent = {"update.clip_norm", "update.precision_bits"}
    assert changed(plain, config_of("local")) == not_sent
    central = config_of("central")
    assert changed(plain, central) == not_sent | {"training.local_steps"}
    assert central.training.local_steps == 4 * plain.training.local_steps
    assert plain.model.adapters == "generic"
    assert (plain.training.boosting, plain.training.contrast_weight) == ("none", 0.0)


def test_the_command_line_tunes_a_method_but_cannot_change_what_it_is() -> None:
    config = config_of("moon", "training.moon_weight=5", "training.boosting=mutual")
    assert (config.training.moon_weight, config.training.boosting) == (5.0, "none")
    assert config_of("rank-4", "update.rank=16").update.rank == 4


def test_a_tuned_value_is_used_by_the_method_and_its_ablations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {"phantom": {"fedmrg": {"training.learning_rate": 0.007}}}
    monkeypatch.setattr(tuned, "TUNED", table)
    assert config_of("no-boosting").training.learning_rate == 0.007
    assert config_of("fedavg").training.learning_rate != 0.007
    again = config_of("fedmrg", "training.learning_rate=1e-3")
    assert again.training.learning_rate == 1e-3


def test_the_table_of_tuned_values_names_tasks_methods_and_keys() -> None:
    for task, methods in tuned.TUNED.items():
        assert task in TASKS
        for method in methods:
            assert METHODS[method].tuning == method
            config_of(method, *(f"{key}={value}" for key, value in methods[method].items()))


def test_groups_are_spelt_out_once_and_in_order() -> None:
    names = [method.name for method in choose_methods(["fedmrg", "baselines", "fedavg"])]
    assert names == list(GROUPS["baselines"])
    with pytest.raises(UnknownMethod) as raised:
        choose_methods(["fedavgg"])
    assert "fedavg" in raised.value.hint


def test_every_built_in_task_loads_and_takes_a_folder(tmp_path: Path) -> None:
    for name in TASKS:
        folder = None if name == "phantom" else tmp_path / "it's: a #folder"
        task = load_task(name, data=folder)
        assert task.base.name == name
        if folder:
            assert getattr(task.base.data, "root", None) == folder
    with pytest.raises(UnknownTask):
        load_task("chest")
    with pytest.raises(ErrorGroup):
        load_task("phantom", overrides=["training.roundz=2"])


def test_a_run_configuration_is_a_task(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = Path(__file__).parents[2].joinpath("configs/quickstart.yaml").read_text("utf-8")
    file.write_text(text, encoding="utf-8")
    task = load_task(None, config=file)
    assert task.name == "quickstart"
    assert task.config(METHODS["fedmrg"], 7, sites=4).seed == 7


def test_equal_jobs_are_known_and_others_told_apart() -> None:
    def jobs(*overrides: str) -> dict[str, Job]:
        task = load_task("phantom", overrides=overrides)
        methods = choose_methods(["fedmrg", "rank-8", "rank-4", "fedavg"])
        made = make_jobs(task, methods, seeds=2, sites=4, split="test", curve_every=0)
        return {job.name: job for job in made}

    found = jobs("update.rank=8")
    assert list(found)[:2] == ["fedavg-seed1", "fedmrg-seed1"]
    assert found["fedmrg-seed1"].training == found["rank-8-seed1"].training
    assert len({job.digest for job in found.values()}) == 8
    trainings = {job.training for job in found.values()}
    assert len(trainings) == 6
    assert jobs("update.rank=8", "training.rounds=3")["fedavg-seed1"].training not in trainings
    job = found["rank-4-seed2"]
    assert Job.from_json(job.to_json()) == job


def test_patients_data_is_not_trained_on_privately_without_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ward.yaml"
    path.write_text(
        "name: ward\n"
        f"data: {{source: manifest, root: {tmp_path}, participating: [Spain, Italy]}}\n"
        "training: {boosting: one_way}\n"
        "privacy: {target_epsilon: 4, population: 100}\n"
    )
    with pytest.raises(NoLedgerHere, match="charges no ledger"):
        load_task(None, config=path)
    own = ["training.boosting=one_way", "privacy.target_epsilon=4"]
    assert load_task("phantom", overrides=own).base.privacy is not None
