"""Makes the built-in decoder base from public phantom reports: `make base-model`.

A frozen language model must know language before adapters can steer it. The base is a small Llama
with a byte-level BPE tokenizer, trained on `data.task.public_corpus`: reports of phantoms that no
centre of the benchmark holds, in no centre's style. Like a large instruction-tuned model it has
learned to follow a list of findings: most reports are preceded by the statuses that the rule-based
labeler reads in them, in the form of the diagnosis prompts, and by noise in place of the visual
prefix, so that a prefix it cannot read yet does not derail it. It has seen no image.

Weights are stored as float16, which float32 represents exactly.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.data.task import public_corpus
from fedmrg_secure.model.decoder import ReportTokenizer
from fedmrg_secure.model.initialisation import status_phrases
from fedmrg_secure.model.pretrained import BEGIN, BUILTIN_FOLDER, END, PAD, builtin_tokenizer
from fedmrg_secure.training.pretraining import minimise

CORPUS_SEED: Final = 1
CORPUS_SIZE: Final = 20_000
VOCABULARY: Final = 2048
CONTEXT: Final = 2048
LONGEST_REPORT: Final = 160
BATCH_SIZE: Final = 32
PEAK_LEARNING_RATE: Final = 3e-3
WARMUP_STEPS: Final = 100
PROMPTED: Final = 0.8
"""Share of batches that begin with status prompts; the rest is plain text."""
LONGEST_NOISE: Final = 16


def train_tokenizer(corpus: Sequence[str], file: Path) -> None:
    """Train a byte-level BPE tokenizer and write its `tokenizer.json`.

    Any text can be encoded: what was never seen falls back to bytes.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.save(str(file))


def base_config(vocabulary: int) -> LlamaConfig:
    """The built-in base's architecture: about 0.3 million parameters."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def pretrain(
    corpus: Sequence[str], backend: PreTrainedTokenizerFast, steps: int
) -> LlamaForCausalLM:
    """Train a fresh base on a corpus, one pass after the other."""
    torch.manual_seed(CORPUS_SEED)
    tokenizer = ReportTokenizer(backend, LONGEST_REPORT)
    phrases = backend(status_phrases(CHEXPERT_CLASSES), add_special_tokens=False)["input_ids"]
    statuses = torch.tensor([[int(status) for status in label_report(text)] for text in corpus])
    model = LlamaForCausalLM(base_config(len(backend)))
    order = torch.randperm(len(corpus))

    def loss_of(step: int) -> Tensor:
        chosen = order[torch.arange(step * BATCH_SIZE, (step + 1) * BATCH_SIZE) % len(corpus)]
        prefix = _prefix(model, phrases, statuses[chosen])
        return _loss(model, tokenizer, [corpus[place] for place in chosen.tolist()], prefix)

    minimise(
        loss_of,
        list(model.parameters()),
        steps,
        peak=PEAK_LEARNING_RATE,
        warmup=WARMUP_STEPS,
        weight_decay=0.01,
        unit="nats/token",
    )
    return model


def save_base(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config and weights; output and input embeddings are one tensor, stored once."""
    weights = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = model.config.to_dict() | {"architectures": ["LlamaForCausalLM"]}
    for volatile in ("transformers_version", "_name_or_path"):
        config.pop(volatile, None)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the base and print the SHA-256 that `model.pretrained` pins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BUILTIN_FOLDER)
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    corpus = public_corpus(CORPUS_SEED, CORPUS_SIZE)
    train_tokenizer(corpus, options.out / "tokenizer.json")
    backend = builtin_tokenizer(options.out / "tokenizer.json")
    save_base(pretrain(corpus, backend, options.steps), options.out)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        digest = hashlib.sha256((options.out / name).read_bytes()).hexdigest()
        print(f'    "{name}": "{digest}",')  # noqa: T201


def _prefix(model: LlamaForCausalLM, phrases: list[list[int]], statuses: Tensor) -> Tensor:
    """Noise in place of the visual prefix, then prompts; (batch, 0 to 16 + C, d), often empty."""
    embed = cast(nn.Embedding, model.get_input_embeddings())
    batch, classes = statuses.shape
    width = embed.weight.shape[1]
    if torch.rand(()) > PROMPTED:
        return torch.zeros(batch, 0, width)
    means = torch.stack([embed(torch.tensor(ids)).mean(dim=0) for ids in phrases])
    prompts = means[statuses + torch.arange(classes) * len(Status)]  # (batch, C, d)
    length = int(torch.randint(LONGEST_NOISE + 1, ()))
    scale = embed.weight.detach().square().mean().sqrt()
    return torch.cat([scale * torch.randn(batch, length, width), prompts], dim=1)


def _loss(
    model: LlamaForCausalLM, tokenizer: ReportTokenizer, reports: Sequence[str], prefix: Tensor
) -> Tensor:
    tokens = tokenizer.encode(reports)
    inputs = torch.cat([prefix, model.get_input_embeddings()(tokens.inputs)], dim=1)
    length = tokens.inputs.shape[1]
    logits = model(inputs_embeds=inputs, use_cache=False, logits_to_keep=length).logits
    losses = functional.cross_entropy(logits.transpose(1, 2), tokens.targets, reduction="none")
    return ((losses * tokens.mask).sum(dim=1) / tokens.mask.sum(dim=1)).mean()


if __name__ == "__main__":
    main()
