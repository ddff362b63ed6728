from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from fedmrg_secure.model.adapters import trainable_factors
from fedmrg_secure.model.errors import RankTooLarge
from fedmrg_secure.model.report_generator import ReportGenerator

Build = Callable[..., ReportGenerator]


def test_only_b_and_the_dense_parts_train(generator: ReportGenerator) -> None:
    for name, parameter in generator.named_parameters():
        dense = name.split(".")[0] in ("encoder", "diagnosis", "prompts", "projector")
        assert parameter.requires_grad == (dense or ".lora_B." in name), name


def test_a_is_frozen_orthonormal_and_the_same_for_a_seed(build: Build) -> None:
    first, second, other = build(seed=1), build(seed=1), build(seed=2)
    a = {n: p for n, p in first.named_parameters() if ".lora_A." in n}
    assert len(a) == 7 * first.decoder.config.num_hidden_layers
    for name, parameter in a.items():
        product = parameter.double() @ parameter.double().T
        assert (product - torch.eye(8)).abs().max() < 1e-6
        assert torch.equal(parameter, dict(second.named_parameters())[name])
        assert not torch.equal(parameter, dict(other.named_parameters())[name])


def test_the_adapter_starts_as_the_base(generator: ReportGenerator) -> None:
    ids = torch.tensor([[1, 40, 50, 60]])
    with torch.no_grad(), generator.decoder.disable_adapter():
        base = generator.decoder(input_ids=ids).logits
    with torch.no_grad():
        adapted = generator.decoder(input_ids=ids).logits
    assert all(not parameter.any() for parameter in trainable_factors(generator.decoder).values())
    assert torch.equal(base, adapted)


def test_adding_updates_adds_functions(build: Build) -> None:
    """With one A the mean of the products is the product of the mean."""
    generator = build()
    layer, b = next(iter(trainable_factors(generator.decoder).items()))
    a = dict(generator.named_parameters())[
        f"decoder.base_model.model.{layer}.lora_A.generic.weight"
    ]
    draws = torch.randn(5, *b.shape, dtype=torch.float64)
    products = torch.stack([draw @ a.double() for draw in draws]).mean(dim=0)
    torch.testing.assert_close(products, draws.mean(dim=0) @ a.double())


def test_a_rank_above_a_layers_width_is_refused(build: Build) -> None:
    with pytest.raises(RankTooLarge, match="129") as caught:
        build(rank=129)
    assert caught.value.exit_code == 2


def test_peft_loads_what_was_saved(build: Build, tmp_path: Path) -> None:
    generator = build()
    state = generator.shared_state()
    random = np.random.default_rng(0)
    for name in state:
        if name.startswith("adapter."):
            state[name] = random.normal(0, 0.05, state[name].shape).astype(np.float32)
    generator.load_shared_state(state)
    generator.save_adapter(tmp_path / "adapter")
    generator.save_base(tmp_path / "base")

    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "builtin"

    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    ids = torch.tensor([[1, 40, 50, 60, 70]])
    with torch.no_grad():
        plain = base(input_ids=ids).logits
        loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(input_ids=ids).logits
        expected = generator.decoder(input_ids=ids).logits
    assert (plain - loaded).abs().max() > 1e-2
    torch.testing.assert_close(loaded, expected, atol=1e-5, rtol=1e-5)
