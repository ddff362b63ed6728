"""A private step beside a plain one: the same records, the steps of training, and what is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fedmrg_secure.benchmark.dp_step import KINDS, Case, StepPair, measure_steps
from fedmrg_secure.benchmark.tasks import load_task
from fedmrg_secure.cli.main import run_command
from fedmrg_secure.training.phases import Phase

SMALL = ("data.image_size=32", "model.feature_width=16", "update.rank=2")
PRIVATE_PHASES: tuple[Phase, ...] = ("load", "gradients", "clip", "noise", "optimiser")


def case(*changes: str, batch: int = 3) -> Case:
    return Case(load_task("phantom", overrides=[*SMALL, *changes]).base, batch, 2)


def test_steps_are_measured_in_turns_and_by_part() -> None:
    turns: list[int] = []
    row = measure_steps(case(), turns.append)
    assert turns == [0, 1, 2]
    assert 0 < row["noised_values"] < row["trained_values"]
    assert list(row["private"]["phases"]) == list(PRIVATE_PHASES)
    assert set(row["plain"]["phases"]) == set(PRIVATE_PHASES) - {"noise"}
    for kind in KINDS:
        assert row[kind]["cpu_s"] > 0
        assert all(seconds > 0 for seconds in row[kind]["phases"].values())
        assert max(row[kind]["phases"].values()) <= row[kind]["wall_s"]
    assert row["wall_times_plain"] > 0
    assert row["cpu_times_plain"] > 0


@pytest.mark.parametrize(
    ("changes", "boosting", "noised"),
    [
        ((), "one_way", "shared"),
        (("training.boosting=joint",), "joint", "all"),
        (("model.adapters=generic", "training.boosting=none"), "none", "all"),
        (("model.dtype=bfloat16",), "one_way", "shared"),
    ],
)
def test_the_private_step_is_that_of_a_private_run(
    changes: tuple[str, ...], boosting: str, noised: str
) -> None:
    measured = case(*changes)
    assert measured.training.boosting == boosting
    assert Case.from_json(measured.to_json()) == measured
    pair = StepPair(measured)
    assert {p.dtype for p in pair.generator.parameters()} == {torch.float32}
    shared = {n: p for n, p in pair.generator.shared_parameters().items() if p.requires_grad}
    count = sum(p.numel() for p in shared.values())
    assert pair.noised_values == (count if noised == "shared" else pair.trained_values)
    before = pair.generator.shared_state()
    pair.step("private")
    gradient = torch.cat([p.grad.flatten() for p in shared.values() if p.grad is not None])
    assert gradient.numel() == count
    # C / batch of noise on each coordinate, beside which the records' part is small.
    assert abs(float(gradient.std()) * measured.batch - 1) < 0.1
    pair.step("plain")
    plain = torch.cat([p.grad.flatten() for p in shared.values() if p.grad is not None])
    assert float(plain.norm()) <= measured.training.gradient_clip_norm * 1.001
    after = pair.generator.shared_state()
    assert max(float(np.abs(after[n] - before[n]).max()) for n in before) < 1e-6


def test_a_step_has_as_many_patients_as_records() -> None:
    for batch in (1, 40):
        records = StepPair(case(batch=batch))._records
        assert len({record.patient_id for record in records}) == len(records) == batch


@pytest.mark.slow
def test_the_command_measures_the_built_in_model(capsys: pytest.CaptureFixture[str]) -> None:
    settings = [part for change in SMALL for part in ("--set", change)]
    command = ["bench", "dp", "--batch", "2", "--steps", "2", *settings]
    assert run_command([*command, "--json"]) == 0
    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert (row["batch"], row["steps"], row["threads"]) == (2, 2, 1)
    assert (row["decoder"], row["boosting"], row["factorization"]) == (
        "builtin",
        "one_way",
        "fedsvd",
    )
    for kind in KINDS:
        assert 0 < row[kind]["loaded_mb"] <= row[kind]["peak_mb"]
    ratio = row["private"]["peak_mb"] / row["plain"]["peak_mb"]
    assert row["memory_times_plain"] == pytest.approx(ratio)
    assert "a step of 2 records, builtin" in captured.err
    assert "trained values get noise" in captured.err


def test_what_cannot_be_trained_privately_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "dp", "--decoder", "no/such", "--steps", "1", "--json"]
    assert run_command(command) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"].startswith("FMRG-")
