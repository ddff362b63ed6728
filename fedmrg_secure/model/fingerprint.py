"""Hashes of what all sites must share before they can add updates."""

from __future__ import annotations

import hashlib
from typing import Final

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from fedmrg_secure.core.canonical import hash_json, tagged_hash
from fedmrg_secure.core.config import ModelConfig, UpdateConfig

ARCHITECTURE_VERSION: Final = 2
"""Raised when the meaning of equal weights changes (another layer order, another pooling)."""


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Hash of the tokenizer's vocabulary, merges and special tokens, hex."""
    specials = f"{tokenizer.bos_token_id} {tokenizer.eos_token_id}"
    backend = tokenizer.backend_tokenizer.to_str()
    return tagged_hash("fedmrg/tokenizer/v1", backend.encode(), specials.encode()).hex()


def base_fingerprint(
    module: nn.Module,
    tokenizer_hash: str,
    *,
    model: ModelConfig,
    update: UpdateConfig,
    image_size: int,
) -> str:
    """Hash of all that is frozen: weights, the adapters' A, tokenizer and architecture; hex.

    Two models with equal hash and equal shared state compute the same function.
    """
    architecture = hash_json(
        "fedmrg/architecture/v1",
        {
            "version": ARCHITECTURE_VERSION,
            "encoder": model.encoder,
            "feature_width": model.feature_width,
            "freeze": sorted(set(model.freeze)),
            "image_constants": [repr(model.image_mean), repr(model.image_deviation)],
            "anchors": model.anchors,
            "anchor_attention": model.anchor_attention,
            "prompts": model.prompts,
            "classes": list(model.classes),
            "visual_tokens": model.visual_tokens,
            "max_report_tokens": model.max_report_tokens,
            "min_report_tokens": model.min_report_tokens,
            "dtype": model.dtype,
            "factorization": update.factorization,
            "rank": update.rank,
            "alpha": repr(update.alpha),
            "image_size": image_size,
        },
    )
    weights = _frozen_digest(module)
    return tagged_hash("fedmrg/base/v1", weights, bytes.fromhex(tokenizer_hash), architecture).hex()


def _frozen_digest(module: nn.Module) -> bytes:
    digest = hashlib.sha256()
    frozen: dict[str, Tensor] = {
        name: p for name, p in module.named_parameters() if not p.requires_grad
    }
    # What is kept in checkpoints: a BatchNorm's statistics, not a constant of the code.
    kept = module.state_dict().keys()
    frozen |= {name: buffer for name, buffer in module.named_buffers() if name in kept}
    for name, value in sorted(frozen.items()):
        tensor = value.detach().cpu().contiguous()
        header = f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        digest.update(len(header).to_bytes(8, "big"))
        digest.update(header)
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.digest()
