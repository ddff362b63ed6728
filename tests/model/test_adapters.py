from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from opacus.grad_sample import GradSampleModule
from peft import PeftModel
from torch import Tensor
from transformers import LlamaForCausalLM

from fedmrg_secure.model.adapters import (
    GENERIC,
    RECEIVED,
    SPECIALIZED,
    CoreLinear,
    ReadingPath,
)
from fedmrg_secure.model.errors import RankTooLarge
from fedmrg_secure.model.report_generator import ReportGenerator

Build = Callable[..., ReportGenerator]

FACTORIZATIONS = ("ffa", "fedsvd", "rolora", "fedsb", "powersgd")
IDS = torch.tensor([[1, 40, 50, 60, 70]])

small = {"feature_width": 16, "rank": 4}


@torch.no_grad()
def stir(generator: ReportGenerator, *adapters: str, seed: int = 0) -> None:
    """Give adapters values far from zero."""
    random = torch.Generator().manual_seed(seed)
    for adapter in adapters:
        for name, parameter in generator.adapters.factors(adapter).items():
            if name.endswith(("lora_B", "core")) and parameter.requires_grad:
                parameter.normal_(0, 0.05, generator=random)


@torch.no_grad()
def logits(generator: ReportGenerator, path: ReadingPath) -> Tensor:
    with generator.reading(path) as decoder:
        return decoder(input_ids=IDS).logits


def product(generator: ReportGenerator, adapter: str, layer: str) -> Tensor:
    """B A, or B R A, of a layer, float64."""
    factors = {
        name.removeprefix(f"{layer}."): p.detach().double()
        for name, p in generator.adapters.factors(adapter).items()
        if name.startswith(f"{layer}.")
    }
    down = factors["lora_A"]
    if "core" in factors:
        down = factors["core"] @ down
    return factors["lora_B"] @ down


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
@pytest.mark.parametrize("adapters", ["dual", "generic"])
def test_what_trains(build: Build, factorization: str, adapters: str) -> None:
    generator = build(factorization=factorization, adapters=adapters, **small)
    trained = {name for name, p in generator.named_parameters() if p.requires_grad}
    inside = {name for name in trained if name.startswith("decoder.")}
    outside = {"encoder", "projection", "diagnosis", "prompts", "projector"}
    if adapters == "dual":
        outside.add("specialized_projection")
    assert {name.split(".")[0] for name in trained - inside} == outside
    kinds = {"fedsb": {"core"}, "rolora": {"lora_A", "lora_B"}}.get(factorization, {"lora_B"})
    layers = 7 * generator.decoder.config.num_hidden_layers
    for adapter, expected in ((GENERIC, kinds), (RECEIVED, set()), (SPECIALIZED, {"A", "B"})):
        if adapter != GENERIC and adapters == "generic":
            assert not generator.adapters.factors(adapter)
            continue
        expected = {kind if "_" in kind or kind == "core" else f"lora_{kind}" for kind in expected}
        found = [n for n, p in generator.adapters.factors(adapter).items() if p.requires_grad]
        assert {name.split(".")[-1] for name in found} == expected
        assert len(found) == layers * len(expected)
    shared = generator.shared_parameters()
    assert {id(p) for p in (shared | generator.specialized_parameters()).values()} == {
        id(p) for p in generator.parameters() if p.requires_grad
    }
    assert not [name for name in shared if SPECIALIZED in name or RECEIVED in name]


def test_a_is_frozen_orthonormal_and_the_same_for_a_seed(build: Build) -> None:
    first, second, other = build(seed=1, **small), build(seed=1, **small), build(seed=2, **small)
    for adapter in (GENERIC, RECEIVED, SPECIALIZED):
        a = {n: p for n, p in first.adapters.factors(adapter).items() if n.endswith("lora_A")}
        assert len(a) == 7 * first.decoder.config.num_hidden_layers
        for name, parameter in a.items():
            rows = parameter.double() @ parameter.double().T
            assert (rows - torch.eye(4)).abs().max() < 1e-6
            assert torch.equal(parameter, second.adapters.factors(adapter)[name])
            assert not torch.equal(parameter, other.adapters.factors(adapter)[name])
    own = first.adapters.factors(SPECIALIZED)
    for name, parameter in first.adapters.factors(GENERIC).items():
        if name.endswith("lora_A"):
            assert not torch.equal(parameter, own[name]), "S would only learn what G can"


@pytest.mark.parametrize("factorization", ["fedsvd", "fedsb"])
def test_both_paths_start_as_the_base(build: Build, factorization: str) -> None:
    generator = build(factorization=factorization, **small)
    with torch.no_grad(), generator.decoder.disable_adapter():
        base = generator.decoder(input_ids=IDS).logits
    a, b = logits(generator, ReadingPath.A), logits(generator, ReadingPath.B)
    assert torch.equal(a, base)
    assert torch.equal(b, base)


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
def test_a_path_reads_its_adapters_and_no_other(build: Build, factorization: str) -> None:
    """Against weights with the products added by hand."""
    generator = build(factorization=factorization, alpha=6.0, **small)
    stir(generator, GENERIC)
    generator.adapters.receive()
    stir(generator, GENERIC, SPECIALIZED, seed=1)  # G moves on, the received copy does not
    plain = generator.decoder.get_base_model()
    originals = {
        name: module.get_base_layer().weight.detach().clone()
        for name, module in plain.named_modules()
        if hasattr(module, "lora_A")
    }
    for path in ReadingPath:
        found = logits(generator, path)
        with torch.no_grad(), generator.decoder.disable_adapter():
            for layer, weight in originals.items():
                step = sum(product(generator, adapter, layer) for adapter in path.value)
                changed = weight.double() + 6.0 / 4 * step
                plain.get_submodule(layer).get_base_layer().weight.copy_(changed)
            expected = generator.decoder(input_ids=IDS).logits
            for layer, weight in originals.items():
                plain.get_submodule(layer).get_base_layer().weight.copy_(weight)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    difference = logits(generator, ReadingPath.A) - logits(generator, ReadingPath.B)
    assert difference.abs().max() > 1e-2


def test_reading_switches_nothing_but_what_is_read(build: Build) -> None:
    """Unlike PEFT's `set_adapter`: requires_grad, gradients and grad_sample stay, whatever ends
    the reading."""
    generator = build(**small)
    stir(generator, GENERIC, SPECIALIZED)
    before = {name: p.requires_grad for name, p in generator.named_parameters()}
    a, b = logits(generator, ReadingPath.A), logits(generator, ReadingPath.B)
    assert not torch.equal(a, b)

    def now() -> Tensor:
        with torch.no_grad():
            return generator.decoder(input_ids=IDS).logits

    assert torch.equal(now(), a), "path A is what is read when nobody asks"
    with generator.reading(ReadingPath.B):
        assert torch.equal(now(), b)
        with generator.reading(ReadingPath.A):
            assert torch.equal(now(), a)
            with generator.reading(ReadingPath.B):
                assert torch.equal(now(), b)
            assert torch.equal(now(), a)
        assert torch.equal(now(), b)
    assert torch.equal(now(), a)
    with pytest.raises(KeyError, match="inside"), generator.reading(ReadingPath.B):
        raise KeyError("inside")
    assert torch.equal(now(), a)
    assert {name: p.requires_grad for name, p in generator.named_parameters()} == before


def test_reading_keeps_per_record_gradients(build: Build) -> None:
    generator = build(**small)
    stir(generator, GENERIC, SPECIALIZED)
    sampler = GradSampleModule(generator.decoder, loss_reduction="sum")
    generic = generator.adapters.factors(GENERIC)
    own = generator.adapters.factors(SPECIALIZED)
    ids = IDS.repeat(2, 1)
    embedded = generator.decoder.get_input_embeddings()(ids)
    with generator.reading(ReadingPath.A):
        first = sampler(inputs_embeds=embedded).logits
    with generator.reading(ReadingPath.B):
        second = sampler(inputs_embeds=embedded).logits
    (first.logsumexp(-1).sum() + second.logsumexp(-1).sum()).backward()
    with generator.reading(ReadingPath.B):
        pass
    for name, parameter in (*generic.items(), *own.items()):
        assert (getattr(parameter, "grad_sample", None) is not None) == parameter.requires_grad
        if parameter.requires_grad:
            assert parameter.grad_sample.shape == (2, *parameter.shape), name
            assert parameter.grad_sample.abs().max() > 0, name
    sampler.to_standard_module()


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
def test_the_received_copy_is_g_as_it_came_and_stays(build: Build, factorization: str) -> None:
    generator = build(factorization=factorization, **small)
    stir(generator, GENERIC)
    state = generator.shared_state()
    generator.load_shared_state(state)
    generic = generator.adapters.factors(GENERIC)
    received = generator.adapters.factors(RECEIVED)
    assert received.keys() == generic.keys()
    assert all(torch.equal(received[name], generic[name]) for name in generic)
    assert not any(p.requires_grad for p in received.values())
    before = {name: p.clone() for name, p in received.items()}
    ids = IDS.repeat(2, 1)
    optimiser = torch.optim.SGD([p for p in generator.parameters() if p.requires_grad], lr=0.1)
    for path in ReadingPath:
        with generator.reading(path) as decoder:
            decoder(input_ids=ids).logits.logsumexp(-1).sum().backward()
    optimiser.step()
    assert any(not torch.equal(generic[name], before[name]) for name in generic)
    assert all(torch.equal(received[name], before[name]) for name in received)
    assert all(p.grad is None for p in received.values())


def test_adding_updates_adds_functions(build: Build) -> None:
    """With one A the mean of the products is the product of the mean."""
    generator = build(**small)
    factors = generator.adapters.factors(GENERIC)
    layer = next(name for name in factors if name.endswith("lora_A")).removesuffix(".lora_A")
    a, b = factors[f"{layer}.lora_A"], factors[f"{layer}.lora_B"]
    draws = torch.randn(5, *b.shape, dtype=torch.float64)
    products = torch.stack([draw @ a.double() for draw in draws]).mean(dim=0)
    torch.testing.assert_close(products, draws.mean(dim=0) @ a.double())


def test_a_core_stands_between_factors_of_the_weight(build: Build) -> None:
    generator = build(factorization="fedsb", **small)
    cores = [m for m in generator.decoder.modules() if isinstance(m, CoreLinear)]
    assert len(cores) == 2 * 7 * generator.decoder.config.num_hidden_layers
    plain = generator.decoder.get_base_model()
    for layer in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj"):
        weight = plain.get_submodule(layer).get_base_layer().weight.double()
        factors = generator.adapters.factors(GENERIC)
        left = factors[f"{layer}.lora_B"].double()
        right = factors[f"{layer}.lora_A"].double()
        assert (left.T @ left - torch.eye(4)).abs().max() < 1e-6
        assert (right @ right.T - torch.eye(4)).abs().max() < 1e-6
        best = torch.linalg.svdvals(weight)[:4].norm()
        assert (left.T @ weight @ right.T).norm() > 0.9 * best
        drawn = torch.randn(4, weight.shape[1], generator=torch.Generator().manual_seed(0)).double()
        random = torch.linalg.qr(drawn.T)[0]
        assert (left.T @ weight @ right.T).norm() > 1.5 * (left.T @ weight @ random).norm()


def test_a_rank_above_a_layers_width_is_refused(build: Build) -> None:
    with pytest.raises(RankTooLarge, match="129") as caught:
        build(rank=129)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("path", list(ReadingPath), ids=["generic", "specialized"])
@pytest.mark.parametrize("factorization", ["fedsvd", "fedsb"])
def test_peft_loads_what_was_saved(
    build: Build, tmp_path: Path, factorization: str, path: ReadingPath
) -> None:
    """One ordinary folder for each path: a core is folded, two adapters are stacked."""
    generator = build(factorization=factorization, alpha=6.0, **small)
    stir(generator, GENERIC)
    generator.adapters.receive()
    stir(generator, SPECIALIZED, seed=1)
    generator.save_adapter(tmp_path / "adapter", path)
    generator.save_base(tmp_path / "base")

    files = {file.name for file in (tmp_path / "adapter").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "builtin"
    assert config["r"] == 4 * len(path.value)
    assert generator.decoder.peft_config[GENERIC].r == 4, "the model's own is left alone"

    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        plain = base(input_ids=IDS).logits
        loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(input_ids=IDS).logits
    assert (plain - loaded).abs().max() > 1e-2
    torch.testing.assert_close(loaded, logits(generator, path), atol=1e-4, rtol=1e-4)
    other = next(one for one in ReadingPath if one != path)
    assert (loaded - logits(generator, other)).abs().max() > 1e-2
