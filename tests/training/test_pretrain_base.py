from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from fedmrg_secure.data.task import public_corpus
from fedmrg_secure.model.pretrained import BUILTIN_FOLDER, BUILTIN_SHA256, builtin_tokenizer
from fedmrg_secure.training import pretrain_base


@pytest.mark.slow
def test_the_shipped_tokenizer_is_the_one_that_is_remade(tmp_path: Path) -> None:
    corpus = public_corpus(pretrain_base.CORPUS_SEED, pretrain_base.CORPUS_SIZE)
    pretrain_base.train_tokenizer(corpus, tmp_path / "tokenizer.json")
    content = (tmp_path / "tokenizer.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == BUILTIN_SHA256["tokenizer.json"]


def test_the_command_makes_a_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrain_base, "CORPUS_SIZE", 64)
    monkeypatch.setattr(pretrain_base, "VOCABULARY", 300)
    pretrain_base.main(["--out", str(tmp_path), "--steps", "3"])
    printed = capsys.readouterr().out
    for name in BUILTIN_SHA256:
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() in printed
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    tokenizer = builtin_tokenizer(tmp_path / "tokenizer.json")
    assert model.config.vocab_size == len(tokenizer) == 300
    ids = torch.tensor([tokenizer("Ω heart")["input_ids"]])
    assert torch.isfinite(model(input_ids=ids).logits).all()


def test_the_shipped_config_is_the_one_that_is_remade() -> None:
    tokenizer = builtin_tokenizer(BUILTIN_FOLDER / "tokenizer.json")
    made = pretrain_base.base_config(len(tokenizer)).to_dict()
    shipped = LlamaForCausalLM.config_class.from_json_file(str(BUILTIN_FOLDER / "config.json"))
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"):
        assert made[key] == getattr(shipped, key)
