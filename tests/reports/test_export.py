"""Exporting: PEFT loads the adapter, our loader the whole, both equal to the run's model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedmrg_secure.data.task import load_centre
from fedmrg_secure.federation.states import newest_state, read_own_part
from fedmrg_secure.model.adapters import ReadingPath
from fedmrg_secure.model.errors import StateMismatch
from fedmrg_secure.model.report_generator import build_report_generator, images_tensor
from fedmrg_secure.reports.export import (
    ExportBroken,
    OutputNotEmpty,
    export_run,
    is_export,
    load_export,
)
from fedmrg_secure.reports.run_folder import read_run
from tests.fixtures.trained_run import CONFIG, SITES, build, write_trained_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_trained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(root: Path) -> Path:
    number, state = newest_state(root)
    export_run(read_run(root), state, root.parent / "out" / "model", after_round=number)
    return root.parent / "out" / "model"


def test_the_whole_model_comes_back(root: Path, exported: Path) -> None:
    assert is_export(exported)
    assert not is_export(root)
    model = load_export(exported)
    original = build()
    original.load_shared_state(newest_state(root)[1])
    records = load_centre(CONFIG.data, "cedar-valley-clinic").test[:3]
    images = images_tensor([record.load_image(model.image_size) for record in records])
    assert model.after_round == 2
    assert model.generator.generate(images) == original.generate(images)
    assert torch.equal(
        model.generator.diagnose(images).probabilities, original.diagnose(images).probabilities
    )


def test_peft_loads_the_adapter_on_the_exported_base(root: Path, exported: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(exported / "base")
    adapted = PeftModel.from_pretrained(base, str(exported)).eval()
    tokens = AutoTokenizer.from_pretrained(exported / "base")("The heart", return_tensors="pt")
    original = build()
    with torch.no_grad():
        plain = original.decoder(input_ids=tokens.input_ids).logits
        original.load_shared_state(newest_state(root)[1])
        wanted = original.decoder(input_ids=tokens.input_ids).logits
        found = adapted(input_ids=tokens.input_ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain, wanted, atol=1e-3)


@pytest.fixture(scope="module")
def exported_site(root: Path) -> Path:
    number, state = newest_state(root)
    out = root.parent / "out" / "site"
    own = read_own_part(root, SITES[0])
    export_run(read_run(root), state, out, after_round=number, site=SITES[0], own=own)
    return out


def test_a_sites_adapter_is_path_b_for_any_peft_program(root: Path, exported_site: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(exported_site / "base")
    tokens = torch.tensor([[1, 40, 50, 60, 70]])
    original = build()
    original.load_shared_state(newest_state(root)[1])
    original.load_specialized_state(read_own_part(root, SITES[0]))
    with torch.no_grad():
        found = PeftModel.from_pretrained(base, str(exported_site)).eval()(input_ids=tokens).logits
        with original.reading(ReadingPath.B) as decoder:
            wanted = decoder(input_ids=tokens).logits
        with original.reading(ReadingPath.A) as decoder:
            generic = decoder(input_ids=tokens).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(generic, wanted, atol=1e-3)
    config = json.loads((exported_site / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"]) == (2 * CONFIG.update.rank, 2 * CONFIG.update.alpha)


def test_a_sites_model_comes_back_with_its_mix(root: Path, exported_site: Path) -> None:
    model = load_export(exported_site)
    assert (model.site, model.mix) == (SITES[0], 0.75)
    own = read_own_part(root, SITES[0])
    found = model.generator.specialized_state()
    assert all((found[name] == value).all() for name, value in own.items())
    assert "holds a site's own part" in (exported_site / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("factorization", ["fedsb", "rolora"])
def test_every_factorisation_is_exported_as_it_reads(tmp_path: Path, factorization: str) -> None:
    """A core between frozen factors is no part of PEFT: it is multiplied into A."""
    update = CONFIG.update.model_copy(update={"factorization": factorization})
    generator = build_report_generator(CONFIG.model, update, image_size=32, seed=3)
    random = np.random.default_rng(1)
    for state, load in (
        (generator.shared_state(), generator.load_shared_state),
        (generator.specialized_state(), generator.load_specialized_state),
    ):
        load({n: v + random.normal(0, 0.02, v.shape).astype(np.float32) for n, v in state.items()})
    generator.save_base(tmp_path / "base")
    tokens = torch.tensor([[1, 40, 50, 60, 70]])
    for path in ReadingPath:
        generator.save_adapter(tmp_path / path.name, path)
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        adapted = PeftModel.from_pretrained(base, str(tmp_path / path.name)).eval()
        with torch.no_grad(), generator.reading(path) as decoder:
            wanted = decoder(input_ids=tokens).logits
            found = adapted(input_ids=tokens).logits
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_folder_that_holds_something_is_not_touched(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    number, state = newest_state(root)
    with pytest.raises(OutputNotEmpty):
        export_run(read_run(root), state, tmp_path, after_round=number)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_foreign_state_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    with pytest.raises(StateMismatch):
        export_run(read_run(root), {}, tmp_path / "out", after_round=1)
    assert not (tmp_path / "out").exists()


def test_a_run_on_another_base_is_not_exported(root: Path, tmp_path: Path) -> None:
    run = replace(read_run(root), session={"base_hash": "00" * 32})
    with pytest.raises(ExportBroken, match="frozen model"):
        export_run(run, newest_state(root)[1], tmp_path / "out", after_round=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", "other/1"), ("base_hash", "00" * 32), ("model", {"wrong": 1})],
)
def test_another_description_is_refused(
    exported: Path, tmp_path: Path, key: str, value: object
) -> None:
    copy = _copy(exported, tmp_path)
    path = copy / "report_generator.json"
    content = json.loads(path.read_text(encoding="utf-8")) | {key: value}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ExportBroken):
        load_export(copy)


@pytest.mark.parametrize("name", ["report_generator.safetensors", "adapter_model.safetensors"])
def test_damaged_weights_are_refused(exported: Path, tmp_path: Path, name: str) -> None:
    copy = _copy(exported, tmp_path)
    (copy / name).write_bytes((copy / name).read_bytes()[:-5])
    with pytest.raises(ExportBroken, match=name):
        load_export(copy)


def _copy(exported: Path, tmp_path: Path) -> Path:
    for path in exported.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path
