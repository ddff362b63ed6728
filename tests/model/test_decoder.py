from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.model.decoder import ReportTokenizer, ReportTokens, VisualPrefix, report_logits
from fedmrg_secure.model.errors import ContextTooShort
from fedmrg_secure.model.pretrained import BUILTIN_FOLDER, builtin_tokenizer
from fedmrg_secure.model.report_generator import ReportGenerator

WIDTH = 96
"""Of the built-in decoder."""

TOKENIZER = ReportTokenizer(builtin_tokenizer(BUILTIN_FOLDER / "tokenizer.json"), 512)


@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=80).filter(lambda text: not any(t in text for t in ("<s>", "</s>", "<pad>")))
)
def test_any_text_survives_the_tokenizer(text: str) -> None:
    encoded = TOKENIZER.encode([text])
    assert TOKENIZER.decode([encoded.targets[0, :-1].tolist()]) == [text.strip()]
    assert encoded.targets[0, -1] == TOKENIZER.end_id


def test_padding_and_cutting() -> None:
    short = ReportTokenizer(builtin_tokenizer(BUILTIN_FOLDER / "tokenizer.json"), 6)
    encoded = short.encode(["Clear.", "The heart size is normal. The lungs are clear."])
    assert encoded.truncated == 1
    assert encoded.mask[1].tolist() == [1] * 6
    assert short.end_id not in encoded.targets[1].tolist()
    length = int(encoded.mask[0].sum())
    assert encoded.targets[0, length - 1] == short.end_id
    assert encoded.inputs[:, 0].tolist() == [short.begin_id] * 2
    assert torch.equal(encoded.inputs[1, 1:], encoded.targets[1, :-1])


def test_padding_does_not_reach_the_report(generator: ReportGenerator) -> None:
    tokens = generator.tokens.encode(["Clear.", "The heart size is normal."])
    prefix = torch.rand(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    other = torch.where(tokens.mask.bool(), tokens.inputs, 17)
    changed = ReportTokens(other, tokens.targets, tokens.mask, 0)
    with torch.no_grad():
        first = report_logits(generator.decoder, prefix, tokens)
        second = report_logits(generator.decoder, prefix, changed)
    assert first.shape[0] == int(tokens.mask.sum()) < tokens.mask.numel()
    assert not torch.equal(tokens.inputs, other)
    torch.testing.assert_close(first, second)


def test_the_report_sees_prefix_and_prompts(generator: ReportGenerator) -> None:
    tokens = generator.tokens.encode(["The heart size is normal."])
    prefix = torch.rand(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = report_logits(generator.decoder, prefix[:1], tokens)
        second = report_logits(generator.decoder, prefix[1:], tokens)
    assert (first - second).abs().max() > 1e-3


def test_tokens_are_packed_record_by_record(generator: ReportGenerator) -> None:
    texts = ["Clear.", "The heart size is normal.", "No edema."]
    tokens = generator.tokens.encode(texts)
    prefix = torch.rand(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        packed = report_logits(generator.decoder, prefix, tokens)
    assert packed.dtype == torch.float32
    start = 0
    for row, text in enumerate(texts):
        alone = generator.tokens.encode([text])
        end = start + int(alone.mask.sum())
        assert tokens.packed_targets[start:end].tolist() == alone.targets[0].tolist()
        with torch.no_grad():
            expected = report_logits(generator.decoder, prefix[row : row + 1], alone)
        torch.testing.assert_close(packed[start:end], expected)
        start = end
    assert start == len(packed)
    values = torch.arange(float(len(packed)))
    means = [chunk.mean() for chunk in values.split(tokens.mask.sum(dim=1).int().tolist())]
    torch.testing.assert_close(tokens.record_mean(values), torch.stack(means))


@pytest.mark.parametrize(("tokens", "cells"), [(9, (3, 3)), (1, (1, 1)), (12, (3, 4)), (6, (2, 3))])
def test_visual_tokens_keep_their_place(tokens: int, cells: tuple[int, int]) -> None:
    prefix = VisualPrefix(8, 16, tokens, scale=0.5)
    assert prefix.cells == cells
    patches = torch.rand(2, 36, 8)
    before = prefix(patches)
    assert before.shape == (2, tokens, 16)
    patches[:, 0] += torch.rand(8)  # the top left patch
    changed = (prefix(patches) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == [True] + [False] * (tokens - 1)


def test_a_report_longer_than_the_context_is_refused(build) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ContextTooShort, match="2048"):
        build(max_report_tokens=1024, visual_tokens=256, classes=("Edema",) * 800)
