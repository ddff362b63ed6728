"""Starting values of what is trained, equal on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedmrg_secure.core.stable_random import uniform
from fedmrg_secure.core.types import Status
from fedmrg_secure.model.diagnosis import STATUS_WORDS
from fedmrg_secure.model.pretrained import PretrainedDecoder


@torch.no_grad()
def initialise(module: nn.Module, *, label: str, seed: int) -> None:
    """Draw the weights of every linear and convolutional layer; zero their biases.

    Weights are uniform with variance 1 / fan_in, so that a layer keeps the scale of its input
    (LeCun et al. 1998). Norms keep their ones and zeros.

    Args:
        module: changed in place.
        label: what it is called in the model; other labels give other weights.
        seed: of the run.
    """
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        fan_in = math.prod(layer.weight.shape[1:])
        values = uniform(
            tuple(layer.weight.shape),
            math.sqrt(3.0 / fan_in),
            label=f"start/{label}.{name}",
            seed=seed,
        )
        layer.weight.copy_(torch.from_numpy(values))
        if layer.bias is not None:
            layer.bias.zero_()


@torch.no_grad()
def prompt_start(base: PretrainedDecoder, classes: Sequence[str]) -> Tensor:
    """Starting values of the status prompts: what the decoder itself makes of the words.

    Each is the mean of the frozen input embeddings of, say, "Pneumothorax: absent", hence at the
    scale and in the space that the decoder knows.

    Args:
        base: decoder and tokenizer.
        classes: names of the C observation classes.

    Returns:
        Shape (C, 4, d_llm), float32.
    """
    embeddings = base.embeddings
    rows = []
    for ids in base.tokenizer(status_phrases(classes), add_special_tokens=False)["input_ids"]:
        total = torch.zeros(embeddings.shape[1], dtype=torch.float64)
        for token in ids:  # one addition after the other: the same rounding everywhere
            total = total + embeddings[token].double()
        rows.append((total / len(ids)).float())
    return torch.stack(rows).unflatten(0, (len(classes), len(Status)))


def embedding_scale(base: PretrainedDecoder) -> float:
    """Root mean square of the decoder's input embeddings, to the nearest power of two."""
    mean_square = float(base.embeddings.double().square().mean())
    return 2.0 ** round(math.log2(mean_square) / 2)


def status_phrases(classes: Sequence[str]) -> list[str]:
    """What each status of each class reads like, C * 4 phrases, class by class."""
    return [f"{name}: {STATUS_WORDS[status]}" for name in classes for status in Status]
