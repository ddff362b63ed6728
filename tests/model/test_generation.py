from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fedmrg_secure.model.adapters import ReadingPath
from fedmrg_secure.model.generation import (
    Hypothesis,
    SearchLimits,
    Voice,
    beam_search,
    greedy_search,
)
from fedmrg_secure.model.report_generator import ReportGenerator


@pytest.fixture(scope="module")
def prompt(generator: ReportGenerator) -> Tensor:
    width = generator.decoder.config.hidden_size
    return 0.3 * torch.randn(6, 4, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def voices(generator: ReportGenerator) -> list[Voice]:
    return _voices(generator, 0.0)


def _voices(generator: ReportGenerator, mix: float) -> list[Voice]:
    """Path A and path B by weight."""
    return [
        Voice(lambda path=path: generator.reading(path), weight)  # type: ignore[misc]
        for path, weight in ((ReadingPath.A, 1 - mix), (ReadingPath.B, mix))
        if weight
    ]


@pytest.fixture
def limits(generator: ReportGenerator) -> SearchLimits:
    return dataclasses.replace(generator.limits, min_tokens=0, max_tokens=24)


def _log_probabilities(
    generator: ReportGenerator,
    prompt: Tensor,
    tokens: tuple[int, ...],
    voices: Sequence[Voice],
) -> Tensor:
    """Of every next token after prompt, begin and tokens, without a cache; (tokens + 1, V)."""
    embed = generator.decoder.get_input_embeddings()
    ids = torch.tensor([[generator.limits.begin_id, *tokens]])
    inputs = torch.cat([prompt[None], embed(ids)], dim=1)
    logits = 0
    for voice in voices:
        with torch.no_grad(), voice.reading() as decoder:
            logits += voice.weight * decoder(inputs_embeds=inputs, use_cache=False).logits[0]
    return torch.log_softmax(logits[prompt.shape[0] :], dim=-1)


def _score(
    generator: ReportGenerator,
    prompt: Tensor,
    found: Hypothesis,
    longest: int,
    voices: Sequence[Voice],
) -> float:
    ended = (*found.tokens, generator.limits.end_id)
    steps = ended if len(found.tokens) < longest else found.tokens
    table = _log_probabilities(generator, prompt, found.tokens, voices)
    return sum(float(table[i, token]) for i, token in enumerate(steps)) / len(steps)


def test_greedy_takes_the_likeliest_token(
    generator: ReportGenerator, voices: list[Voice], prompt: Tensor, limits: SearchLimits
) -> None:
    for row, found in zip(prompt, greedy_search(voices, prompt, limits), strict=True):
        table = _log_probabilities(generator, row, found.tokens, voices)
        table[:, limits.begin_id] = -torch.inf
        best = table.argmax(dim=-1).tolist()
        assert tuple(best[: len(found.tokens)]) == found.tokens
        if len(found.tokens) < limits.max_tokens:
            assert best[len(found.tokens)] == limits.end_id


@pytest.mark.parametrize("beams", [1, 3])
def test_scores_are_mean_log_probabilities(
    generator: ReportGenerator,
    voices: list[Voice],
    prompt: Tensor,
    limits: SearchLimits,
    beams: int,
) -> None:
    for row, found in zip(prompt, beam_search(voices, prompt, limits, beams), strict=True):
        expected = _score(generator, row, found, limits.max_tokens, voices)
        assert found.score == pytest.approx(expected, abs=1e-4)


def test_one_beam_is_greedy(
    generator: ReportGenerator, voices: list[Voice], prompt: Tensor, limits: SearchLimits
) -> None:
    greedy = greedy_search(voices, prompt, limits)
    beam = beam_search(voices, prompt, limits, 1)
    assert [found.tokens for found in greedy] == [found.tokens for found in beam]


def test_beams_find_likelier_reports(
    generator: ReportGenerator, voices: list[Voice], prompt: Tensor, limits: SearchLimits
) -> None:
    greedy = greedy_search(voices, prompt, limits)
    beam = beam_search(voices, prompt, limits, 4)
    assert sum(f.score for f in beam) >= sum(f.score for f in greedy)


def test_searches_repeat_themselves(
    generator: ReportGenerator, voices: list[Voice], prompt: Tensor, limits: SearchLimits
) -> None:
    for beams in (1, 3):
        assert beam_search(voices, prompt, limits, beams) == beam_search(
            voices, prompt, limits, beams
        )


@pytest.mark.parametrize("beams", [1, 2])
def test_limits_hold(
    generator: ReportGenerator,
    voices: list[Voice],
    prompt: Tensor,
    limits: SearchLimits,
    beams: int,
) -> None:
    exact = dataclasses.replace(limits, min_tokens=9, max_tokens=9)
    for found in beam_search(voices, prompt, exact, beams):
        assert len(found.tokens) == 9
    for found in greedy_search(voices, prompt, exact):
        assert len(found.tokens) == 9
        assert limits.begin_id not in found.tokens


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("mix", [0.4, 1.0])
def test_two_paths_speak_with_one_voice(
    generator: ReportGenerator, prompt: Tensor, limits: SearchLimits, beams: int, mix: float
) -> None:
    """The mix is of logits, token by token, each path with a cache of its own."""
    before = generator.specialized_state()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in generator.specialized_parameters().items():
            if name.endswith(".lora_B"):
                parameter.normal_(0, 0.1, generator=random)
    try:
        voices = _voices(generator, mix)
        mixed = beam_search(voices, prompt, limits, beams)
        for row, found in zip(prompt, mixed, strict=True):
            expected = _score(generator, row, found, limits.max_tokens, voices)
            assert found.score == pytest.approx(expected, abs=1e-4)
        alone = beam_search(_voices(generator, 0.0), prompt, limits, beams)
        assert [one.tokens for one in mixed] != [one.tokens for one in alone]
    finally:
        generator.load_specialized_state(before)
