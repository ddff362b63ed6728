from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fedmrg_secure.model import pretrained
from fedmrg_secure.model.errors import AssetTampered, DecoderUnavailable, HubAccessOff
from fedmrg_secure.model.pretrained import BUILTIN_FOLDER, load_decoder
from fedmrg_secure.model.report_generator import ReportGenerator


def _load(name: str, *, allow_hub: bool = False) -> pretrained.PretrainedDecoder:
    return load_decoder(name, allow_hub=allow_hub, dtype=torch.float32)


def test_the_shipped_base_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in BUILTIN_FOLDER.iterdir()}
    assert files.keys() == {*pretrained.BUILTIN_SHA256, pretrained.ENCODER_FILE}
    assert sum(files.values()) < 5_000_000
    model = _load("builtin").model
    stored = load_file(BUILTIN_FOLDER / "model.safetensors")
    for name, tensor in model.state_dict().items():
        source = "model.embed_tokens.weight" if name == "lm_head.weight" else name
        assert torch.equal(tensor, stored[source].float())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_base_speaks() -> None:
    base = _load("builtin")
    ids = torch.tensor([[base.tokenizer.bos_token_id]])
    text = base.tokenizer.decode(base.model.generate(ids, max_new_tokens=60, do_sample=False)[0])
    assert "normal" in text or "clear" in text


def test_a_hub_id_is_refused_while_the_hub_is_off() -> None:
    with pytest.raises(HubAccessOff, match="org/model") as caught:
        _load("org/model")
    assert "allow_hub" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["no-such-decoder", "/no/such/folder", "../up"])
def test_an_unknown_decoder_is_refused(name: str) -> None:
    with pytest.raises(DecoderUnavailable):
        _load(name)


def test_a_tampered_asset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUILTIN_FOLDER, tmp_path / "base")
    monkeypatch.setattr(pretrained, "BUILTIN_FOLDER", tmp_path / "base")
    _load("builtin")
    weights = tmp_path / "base" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(AssetTampered, match=r"model\.safetensors"):
        _load("builtin")
    weights.unlink()
    with pytest.raises(AssetTampered, match="missing"):
        _load("builtin")


def test_a_tampered_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUILTIN_FOLDER, tmp_path / "base")
    monkeypatch.setattr(pretrained, "BUILTIN_FOLDER", tmp_path / "base")
    pretrained.builtin_encoder_weights()
    file = tmp_path / "base" / pretrained.ENCODER_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(AssetTampered, match=r"encoder\.safetensors"):
        pretrained.builtin_encoder_weights()


def test_a_folder_is_a_decoder(
    build: Callable[..., ReportGenerator], tmp_path: Path, images: torch.Tensor
) -> None:
    first = build()
    first.save_base(tmp_path / "base")
    second = build(decoder=str(tmp_path / "base"))
    assert second.tokenizer_hash == first.tokenizer_hash
    assert second.base_hash == first.base_hash
    assert second.generate(images) == first.generate(images)


def test_pickled_weights_are_refused(build: Callable[..., ReportGenerator], tmp_path: Path) -> None:
    build().save_base(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(DecoderUnavailable, match="safetensors"):
        _load(str(tmp_path))


def test_weights_that_are_not_there_are_not_drawn_at_random(
    build: Callable[..., ReportGenerator], tmp_path: Path
) -> None:
    build().save_base(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layers.1.mlp" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DecoderUnavailable, match=r"lacks 3 tensors.*layers\.1\.mlp"):
        _load(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DecoderUnavailable):
        _load(str(tmp_path))


def test_smollm2_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DecoderUnavailable) as caught:
        _load("smollm2")
    assert "pip install" in caught.value.hint
