"""What a site sends, without training."""

from __future__ import annotations

import json
import math

import pytest

from fedmrg_secure.benchmark.communication import (
    FACTORIZATIONS,
    communication_rows,
    shapes_under,
    uplink_of,
)
from fedmrg_secure.benchmark.tasks import load_task
from fedmrg_secure.cli.main import run_command
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator


def config_with(factorization: str) -> RunConfig:
    changes = [f"update.factorization={factorization}", "data.image_size=32"]
    return load_task("phantom", overrides=changes).base


def model_of(config: RunConfig) -> ReportGenerator:
    return build_report_generator(config.model, config.update, image_size=32, seed=config.seed)


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
def test_shapes_and_bytes_are_those_of_the_model_that_is_built_so(factorization: str) -> None:
    config = config_with(factorization)
    built = model_of(config)
    named = model_of(config_with("fedsvd")).shared_state()
    shapes = {name: value.shape for name, value in named.items()}
    own = {name: value.shape for name, value in built.shared_state().items()}
    assert dict(shapes_under(factorization, shapes, config.update)) == own
    row = next(r for r in communication_rows(config, sites=4) if r["name"] == factorization)
    sent = uplink_of(config, built, sites=4)
    assert (row["bytes"], row["values"], row["passes"]) == (
        sent.bytes_per_round,
        sent.values_per_round,
        sent.passes,
    )


def test_full_tuning_counts_the_model_without_adapters(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "communication", "--rank", "4", "--set", "data.image_size=32", "--json"]
    assert run_command(command) == 0
    captured = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(captured.out)["rows"]}
    assert list(rows)[2:] == list(FACTORIZATIONS)
    config = config_with("ffa")
    config = config.model_copy(update={"update": config.update.model_copy(update={"rank": 4})})
    generator = model_of(config)
    plain = sum(
        math.prod(p.shape)
        for name, p in generator.named_parameters()
        if ".lora_" not in name and not name.startswith("specialized_projection")
    )
    full = rows["full fine-tuning"]
    assert (full["values"], full["bytes"], full["share"]) == (plain, 4 * plain, 1.0)
    counts = generator.parameter_counts
    assert rows["plain LoRA (A and B)"]["values"] == counts.plain_lora
    assert rows["ffa"]["values"] == counts.shared
    assert rows["fedsb"]["values"] < rows["ffa"]["values"]
    assert rows["powersgd"]["bytes"] < rows["ffa"]["bytes"] / 4
    assert "computed, float32" in captured.err
