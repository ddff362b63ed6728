"""Greedy and beam search over a decoder whose prompt is a sequence of embeddings.

All prompts of a batch have the same length, so there is no padding and no attention mask. Both
searches are deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from peft import PeftModel
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

CausalLM = PreTrainedModel | PeftModel


@dataclass(frozen=True, slots=True)
class Voice:
    """One way of reading the decoder and its share in the mixed logits.

    Attributes:
        reading: gives the decoder as this way reads it, for the length of a forward pass.
        weight: of its logits; all weights of a search sum to 1.
    """

    reading: Callable[[], AbstractContextManager[CausalLM]]
    weight: float


_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """When a search may and must end.

    Attributes:
        begin_id: token that starts every report.
        end_id: token that ends a report.
        min_tokens: a report has at least so many tokens before its end.
        max_tokens: a report without end is cut here.
    """

    begin_id: int
    end_id: int
    min_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A generated report.

    Attributes:
        tokens: ids without begin and end.
        score: mean log-probability of its tokens, the end included, <= 0.
    """

    tokens: tuple[int, ...]
    score: float


@torch.no_grad()
def greedy_search(
    voices: Sequence[Voice], prompt: Tensor, limits: SearchLimits
) -> list[Hypothesis]:
    """The likeliest token at every step.

    Args:
        voices: whose weighted logits are searched, at least one.
        prompt: embeddings, shape (batch, P, d_llm).
        limits: when to end.

    Returns:
        One hypothesis a prompt, in order.
    """
    steps = _Steps(voices, prompt, limits)
    batch = prompt.shape[0]
    rows: list[list[int]] = [[] for _ in range(batch)]
    totals = torch.zeros(batch)
    lengths = torch.zeros(batch)
    running = torch.ones(batch, dtype=torch.bool)
    log_probabilities = steps.first()
    for step in range(limits.max_tokens):
        best, token = steps.allowed(log_probabilities, step).max(dim=-1)  # (batch,)
        totals += torch.where(running, best, 0.0)
        lengths += running
        running &= token != limits.end_id
        for index in running.nonzero().flatten().tolist():
            rows[index].append(int(token[index]))
        if step + 1 == limits.max_tokens or not running.any():
            break
        log_probabilities = steps.next(token)
    scores = (totals / lengths).tolist()
    return [Hypothesis(tuple(row), score) for row, score in zip(rows, scores, strict=True)]


@torch.no_grad()
def beam_search(
    voices: Sequence[Voice], prompt: Tensor, limits: SearchLimits, beams: int
) -> list[Hypothesis]:
    """Beam search with length-normalised scores; ends when `beams` reports have ended.

    Args:
        voices: whose weighted logits are searched, at least one.
        prompt: embeddings, shape (batch, P, d_llm).
        limits: when to end.
        beams: K >= 1, hypotheses kept alive for each prompt.

    Returns:
        The best hypothesis of each prompt, in order.
    """
    batch = prompt.shape[0]
    steps = _Steps(voices, prompt, limits)
    log_probabilities = steps.first().repeat_interleave(beams, dim=0)  # (batch * K, vocabulary)
    steps.reorder(torch.arange(batch).repeat_interleave(beams))
    searches = [_Beams(beams, limits.end_id) for _ in range(batch)]
    # At the start all beams of a prompt are the same: only the first one may grow.
    totals = torch.full((batch, beams), _NEVER)
    totals[:, 0] = 0.0
    for step in range(limits.max_tokens):
        vocabulary = log_probabilities.shape[-1]
        grown = steps.allowed(log_probabilities, step).view(batch, beams, vocabulary)
        candidates = (grown + totals[..., None]).flatten(1)  # (batch, K * vocabulary)
        values, places = candidates.topk(min(2 * beams, candidates.shape[1]), dim=-1)
        origins, tokens = [], []
        for index, search in enumerate(searches):
            kept = search.grow(values[index].tolist(), places[index].tolist(), vocabulary)
            totals[index] = torch.tensor([total for total, _, _ in kept])
            origins += [index * beams + beam for _, beam, _ in kept]
            tokens += [token for _, _, token in kept]
        if step + 1 == limits.max_tokens or all(search.done for search in searches):
            break
        steps.reorder(torch.tensor(origins))
        log_probabilities = steps.next(torch.tensor(tokens))
    return [search.best() for search in searches]


@dataclass(slots=True)
class _Beams:
    """Live and ended hypotheses of one prompt."""

    width: int
    end_id: int
    live: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    ended: list[Hypothesis] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.live = [(0.0, ())] * self.width

    @property
    def done(self) -> bool:
        return len(self.ended) >= self.width

    def grow(
        self, values: list[float], places: list[int], vocabulary: int
    ) -> list[tuple[float, int, int]]:
        """Take the best candidates; returns (total, origin beam, token) of each live beam."""
        kept: list[tuple[float, int, int]] = []
        for rank, (total, place) in enumerate(zip(values, places, strict=True)):
            beam, token = divmod(place, vocabulary)
            tokens = self.live[beam][1]
            if token == self.end_id:
                if rank < self.width and not self.done and total > _NEVER:
                    self.ended.append(Hypothesis(tokens, total / (len(tokens) + 1)))
            elif len(kept) < self.width:
                kept.append((total, beam, token))
        kept += [(_NEVER, 0, self.end_id)] * (self.width - len(kept))
        self.live = [(total, (*self.live[beam][1], token)) for total, beam, token in kept]
        return kept

    def best(self) -> Hypothesis:
        unfinished = (
            Hypothesis(tokens, total / len(tokens))
            for total, tokens in self.live
            if total > _NEVER and not self.done
        )
        return max((*self.ended, *unfinished), key=lambda hypothesis: hypothesis.score)


class _Steps:
    """The decoder, one token at a time, with a cache of keys and values for each voice."""

    def __init__(self, voices: Sequence[Voice], prompt: Tensor, limits: SearchLimits) -> None:
        self._voices = [(voice, DynamicCache()) for voice in voices]
        with voices[0].reading() as decoder:
            self._embed = decoder.get_input_embeddings()
        self._limits = limits
        begin = self._embed(torch.full((prompt.shape[0], 1), limits.begin_id))
        self._prompt = torch.cat([prompt.to(begin.dtype), begin], dim=1)

    def first(self) -> Tensor:
        """Log-probabilities of the first token, shape (batch, vocabulary)."""
        return self._forward(self._prompt)

    def next(self, tokens: Tensor) -> Tensor:
        """Log-probabilities after these tokens, shape (rows, vocabulary)."""
        return self._forward(self._embed(tokens[:, None]))

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from what row `rows[i]` was."""
        for _, cache in self._voices:
            cache.reorder_cache(rows)  # type: ignore[arg-type]  # a LongTensor is a Tensor

    def allowed(self, log_probabilities: Tensor, step: int) -> Tensor:
        """The same with tokens ruled out that the limits forbid at this step."""
        if step < self._limits.min_tokens:
            log_probabilities[:, self._limits.end_id] = _NEVER
        if self._limits.begin_id != self._limits.end_id:
            log_probabilities[:, self._limits.begin_id] = _NEVER
        return log_probabilities

    def _forward(self, embeddings: Tensor) -> Tensor:
        total: Tensor | None = None
        for voice, cache in self._voices:
            with voice.reading() as decoder:
                output = decoder(
                    inputs_embeds=embeddings,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            logits = voice.weight * output.logits[:, -1].float()  # (rows, vocabulary)
            total = logits if total is None else total + logits
        assert total is not None, "a search has at least one voice"
        return torch.log_softmax(total, dim=-1)
