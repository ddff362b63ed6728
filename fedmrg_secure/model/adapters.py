"""Low-rank adapters whose updates add exactly.

`ffa` (FFA-LoRA, arXiv 2403.12313): in W + (alpha / r) B A the matrix A is frozen and equal at all
sites, only B is trained and sent. The mean of the products B_k A is then the product of the mean:
adding encrypted Bs loses nothing.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Final

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from fedmrg_secure.model.errors import RankTooLarge
from fedmrg_secure.model.stable_random import orthonormal_rows

GENERIC: Final = "generic"
"""The adapter that is trained together and shared."""

_FACTOR = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<factor>[AB])\.generic\.weight")


def add_generic_adapter(
    decoder: PreTrainedModel, *, rank: int, alpha: float, seed: int
) -> PeftModel:
    """Put the generic adapter on every linear layer of a decoder but its output layer.

    A gets orthonormal rows drawn from `seed`, the same on every machine, and is frozen; B starts
    at zero, is float32 whatever the decoder's dtype, and is the only part that trains.

    Raises:
        RankTooLarge: a layer is narrower than `rank`.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT only divides it by r
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type=TaskType.CAUSAL_LM,
        init_lora_weights=True,
    )
    with warnings.catch_warnings():
        # PEFT reads a property that transformers is about to rename.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", append=False)
        adapted = get_peft_model(decoder, config, adapter_name=GENERIC)
    for layer, a in _factors(adapted, "A").items():
        if rank > a.shape[1]:
            raise RankTooLarge(
                f"update.rank is {rank} but layer {layer} has only {a.shape[1]} inputs",
                hint=f"choose a rank of at most {a.shape[1]}",
            )
        rows = orthonormal_rows(rank, a.shape[1], label=f"ffa/{layer}", seed=seed)
        with torch.no_grad():
            a.copy_(torch.from_numpy(rows))
        a.requires_grad_(False)
    return adapted


def trainable_factors(adapted: PeftModel) -> dict[str, nn.Parameter]:
    """The B matrices by layer name, each (d_out, rank)."""
    return _factors(adapted, "B")


def plain_lora_count(adapted: PeftModel) -> int:
    """Number of values ordinary LoRA would send: A and B of every layer."""
    return sum(p.numel() for factor in "AB" for p in _factors(adapted, factor).values())


def save_peft_folder(adapted: PeftModel, folder: Path, *, base_name: str) -> None:
    """Write the generic adapter as an ordinary PEFT folder (config and safetensors).

    Args:
        adapted: the decoder with the adapter on.
        folder: created when absent; holds `adapter_config.json` and `adapter_model.safetensors`.
        base_name: what the config names as the base model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = adapted.peft_config[GENERIC]
    before = config.base_model_name_or_path
    config.base_model_name_or_path = base_name
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            # PEFT writes an adapter that is not called "default" into a folder of its own name.
            # Left on "auto" it would ask the hub whether the base's vocabulary was changed.
            adapted.save_pretrained(
                scratch,
                selected_adapters=[GENERIC],
                safe_serialization=True,
                save_embedding_layers=False,
            )
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                shutil.move(Path(scratch) / GENERIC / file, folder / file)
    finally:
        config.base_model_name_or_path = before


def _factors(adapted: PeftModel, factor: str) -> dict[str, nn.Parameter]:
    found = {}
    for name, parameter in adapted.named_parameters():
        match = _FACTOR.fullmatch(name)
        if match and match["factor"] == factor:
            found[match["layer"]] = parameter
    return dict(sorted(found.items()))
