"""The report decoder: a frozen causal LM behind a visual prefix and diagnosis prompts.

The sequence is [visual prefix][status prompts][begin][report][end]; the language loss sees the
report and its end only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from fedmrg_secure.model.errors import ContextTooShort
from fedmrg_secure.model.pretrained import PretrainedDecoder


@dataclass(frozen=True, slots=True)
class ReportTokens:
    """Reports as token ids, padded on the right.

    Attributes:
        inputs: begin token and report, shape (batch, T), int64.
        targets: report and end token, shape (batch, T), int64.
        mask: 1 where a target counts, shape (batch, T), float32; every row has a 1.
        truncated: number of reports that were cut to the maximum length (no end token then).
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    truncated: int

    @property
    def packed_targets(self) -> Tensor:
        """The targets that count, record by record, shape (N,), int64."""
        return self.targets[self.mask.bool()]

    def record_mean(self, values: Tensor) -> Tensor:
        """The mean of each record over its tokens, shape (batch,), of values of shape (N,)."""
        rows = self.mask.nonzero()[:, 0]  # (N,)
        totals = values.new_zeros(len(self.mask)).index_add(0, rows, values)
        return totals / self.mask.sum(dim=1)


class VisualPrefix(nn.Module):
    """Projector of patch features to the decoder's input space.

    The grid of patches is averaged over rows x columns cells, one cell a visual token, so that a
    token keeps its place in the chest.

    Args:
        width: d of the patch features.
        decoder_width: d_llm.
        tokens: V, length of the prefix.
        scale: root mean square of what the decoder is used to as input.
    """

    places: Tensor

    def __init__(self, width: int, decoder_width: int, tokens: int, *, scale: float) -> None:
        super().__init__()
        rows = max(n for n in range(1, int(tokens**0.5) + 1) if tokens % n == 0)
        self.cells = (rows, tokens // rows)
        self._scale = scale
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, decoder_width)
        # An embedding, looked up for every record: per-record gradients need a batch dimension.
        self.place = nn.Embedding(tokens, decoder_width, _weight=torch.zeros(tokens, decoder_width))
        self.register_buffer("places", torch.arange(tokens), persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Prefix (batch, V, d_llm) of patch features (batch, side * side, d)."""
        side = round(patches.shape[1] ** 0.5)
        grid = patches.transpose(1, 2).unflatten(-1, (side, side))  # (batch, d, side, side)
        cells = nn.functional.adaptive_avg_pool2d(grid, self.cells)  # (batch, d, rows, columns)
        tokens = self.linear(self.norm(cells.flatten(2).transpose(1, 2)))
        places = self.place(self.places.expand(len(tokens), -1))  # (batch, V, d_llm)
        return self._scale * (tokens + places)


class ReportTokenizer:
    """Reports to token ids and back, with the decoder's own tokenizer.

    Args:
        tokenizer: of the decoder.
        max_tokens: longest report in tokens, the end token included.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self.end_id = int(tokenizer.eos_token_id)
        begin = tokenizer.bos_token_id
        self.begin_id = self.end_id if begin is None else int(begin)

    def encode(self, reports: Sequence[str]) -> ReportTokens:
        """Token ids of a batch of reports; longer ones are cut and counted."""
        rows = self._tokenizer(list(reports), add_special_tokens=False)["input_ids"]
        rows = [[*row, self.end_id] for row in rows]
        truncated = sum(len(row) > self._max_tokens for row in rows)
        rows = [row[: self._max_tokens] for row in rows]
        longest = max(map(len, rows))
        inputs = torch.full((len(rows), longest), self.end_id)
        targets = torch.full((len(rows), longest), self.end_id)
        mask = torch.zeros(len(rows), longest)
        for index, row in enumerate(rows):
            inputs[index, : len(row)] = torch.tensor([self.begin_id, *row[:-1]])
            targets[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        return ReportTokens(inputs, targets, mask, truncated)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of token ids without begin and end."""
        texts = (self._tokenizer.decode(list(row), skip_special_tokens=True) for row in rows)
        return [cast(str, text).strip() for text in texts]


def report_logits(decoder: PeftModel, prefix: Tensor, tokens: ReportTokens) -> Tensor:
    """Logits of every report token that counts, shape (N, vocabulary), float32, record by record.

    N is the number of ones in `tokens.mask`. Right padding needs no attention mask: attention is
    causal and padded targets do not count.

    Args:
        decoder: the adapted causal LM.
        prefix: visual prefix and status prompts, shape (batch, P, d_llm).
        tokens: the reports.
    """
    embed = decoder.get_input_embeddings()
    weight_dtype = embed.weight.dtype
    inputs = torch.cat([prefix.to(weight_dtype), embed(tokens.inputs)], dim=1)  # (batch, P+T, d)
    output = decoder(inputs_embeds=inputs, use_cache=False, logits_to_keep=tokens.inputs.shape[1])
    return output.logits[tokens.mask.bool()].float()


def check_context(decoder: PretrainedDecoder, positions: int) -> None:
    """Return if the decoder's context has room for `positions` tokens.

    Raises:
        ContextTooShort: it has not.
    """
    limit = getattr(decoder.model.config, "max_position_embeddings", None)
    if limit is not None and positions > limit:
        raise ContextTooShort(
            f"prefix, prompts and report need {positions} positions, {decoder.name} has {limit}",
            hint="lower model.max_report_tokens or model.visual_tokens",
        )
