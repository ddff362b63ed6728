from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from fedmrg_secure.model.generation import Hypothesis, SearchLimits, beam_search, greedy_search
from fedmrg_secure.model.report_generator import ReportGenerator


@pytest.fixture(scope="module")
def prompt(generator: ReportGenerator) -> Tensor:
    width = generator.decoder.config.hidden_size
    return 0.3 * torch.randn(6, 4, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def limits(generator: ReportGenerator) -> SearchLimits:
    return dataclasses.replace(generator.limits, min_tokens=0, max_tokens=24)


def _log_probabilities(
    generator: ReportGenerator, prompt: Tensor, tokens: tuple[int, ...]
) -> Tensor:
    """Of every next token after prompt, begin and tokens, without a cache; (tokens + 1, V)."""
    embed = generator.decoder.get_input_embeddings()
    ids = torch.tensor([[generator.limits.begin_id, *tokens]])
    inputs = torch.cat([prompt[None], embed(ids)], dim=1)
    with torch.no_grad():
        logits = generator.decoder(inputs_embeds=inputs, use_cache=False).logits[0]
    return torch.log_softmax(logits[prompt.shape[0] :], dim=-1)


def _score(generator: ReportGenerator, prompt: Tensor, found: Hypothesis, longest: int) -> float:
    ended = (*found.tokens, generator.limits.end_id)
    steps = ended if len(found.tokens) < longest else found.tokens
    table = _log_probabilities(generator, prompt, found.tokens)
    return sum(float(table[i, token]) for i, token in enumerate(steps)) / len(steps)


def test_greedy_takes_the_likeliest_token(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits
) -> None:
    for row, found in zip(prompt, greedy_search(generator.decoder, prompt, limits), strict=True):
        table = _log_probabilities(generator, row, found.tokens)
        table[:, limits.begin_id] = -torch.inf
        best = table.argmax(dim=-1).tolist()
        assert tuple(best[: len(found.tokens)]) == found.tokens
        if len(found.tokens) < limits.max_tokens:
            assert best[len(found.tokens)] == limits.end_id


@pytest.mark.parametrize("beams", [1, 3])
def test_scores_are_mean_log_probabilities(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits, beams: int
) -> None:
    for row, found in zip(
        prompt, beam_search(generator.decoder, prompt, limits, beams), strict=True
    ):
        expected = _score(generator, row, found, limits.max_tokens)
        assert found.score == pytest.approx(expected, abs=1e-4)


def test_one_beam_is_greedy(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits
) -> None:
    greedy = greedy_search(generator.decoder, prompt, limits)
    beam = beam_search(generator.decoder, prompt, limits, 1)
    assert [found.tokens for found in greedy] == [found.tokens for found in beam]


def test_beams_find_likelier_reports(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits
) -> None:
    greedy = greedy_search(generator.decoder, prompt, limits)
    beam = beam_search(generator.decoder, prompt, limits, 4)
    assert sum(f.score for f in beam) >= sum(f.score for f in greedy)


def test_searches_repeat_themselves(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits
) -> None:
    for beams in (1, 3):
        assert beam_search(generator.decoder, prompt, limits, beams) == beam_search(
            generator.decoder, prompt, limits, beams
        )


@pytest.mark.parametrize("beams", [1, 2])
def test_limits_hold(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits, beams: int
) -> None:
    exact = dataclasses.replace(limits, min_tokens=9, max_tokens=9)
    for found in beam_search(generator.decoder, prompt, exact, beams):
        assert len(found.tokens) == 9
    for found in greedy_search(generator.decoder, prompt, exact):
        assert len(found.tokens) == 9
        assert limits.begin_id not in found.tokens
