from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.model.errors import StateMismatch, UnknownClass
from fedmrg_secure.model.report_generator import ReportGenerator, images_tensor

Build = Callable[..., ReportGenerator]


def test_a_shared_state_goes_round_bit_for_bit(build: Build, images: torch.Tensor) -> None:
    first, second = build(seed=1), build(seed=1)
    random = np.random.default_rng(0)
    state = {
        name: (value + random.normal(0, 0.03, value.shape)).astype(np.float32)
        for name, value in first.shared_state().items()
    }
    first.load_shared_state(state)
    second.load_shared_state(first.shared_state())
    for name, value in second.shared_state().items():
        assert value.dtype == np.float32
        assert np.array_equal(value, state[name])
    assert first.generate(images) == second.generate(images)


def test_names_are_sorted_and_hold_nothing_private(generator: ReportGenerator) -> None:
    names = list(generator.shared_state())
    assert names == sorted(names)
    assert not [name for name in names if "specialized" in name or "received" in name]
    layers = generator.decoder.config.num_hidden_layers
    assert sum("lora_B" in name for name in names) == 7 * layers
    trained = {name for name in names if not name.endswith("lora_A")}  # fedsvd refactors A
    assert trained == set(generator.shared_parameters())
    own = generator.specialized_state()
    assert list(own) == sorted(own)
    assert all(name.startswith("specialized.") for name in own)
    assert own.keys() - generator.specialized_parameters().keys() == {
        "specialized.anchors",
        "specialized.mix",
    }


def test_what_is_frozen_is_not_sent_and_is_part_of_the_base_hash(
    build: Build, generator: ReportGenerator
) -> None:
    frozen = build(freeze=("projector", "projection"))
    missing = generator.shared_state().keys() - frozen.shared_state().keys()
    assert {name.split(".")[0] for name in missing} == {"projector", "projection"}
    assert frozen.parameter_counts.shared < generator.parameter_counts.shared
    assert frozen.base_hash != generator.base_hash
    again = build(freeze=("projection", "projector"))
    assert again.base_hash == frozen.base_hash
    assert build(freeze=("projection", "projector"), seed=1).base_hash != frozen.base_hash
    assert not build(freeze=("prompts",), prompts=False).shared_state().keys() & {"prompts"}


@pytest.mark.parametrize("freeze", [(), ("encoder",)])
def test_the_shipped_encoder_is_sent_unless_it_is_frozen(
    build: Build, freeze: tuple[str, ...]
) -> None:
    model = build(encoder="builtin_pretrained", freeze=freeze, image_size=96)
    sent = [name for name in model.shared_state() if name.startswith("encoder.")]
    assert bool(sent) == (not freeze)
    assert model.encoder(torch.rand(2, 1, 96, 96)).pooled.requires_grad == (not freeze)


def test_the_state_is_a_copy(generator: ReportGenerator) -> None:
    generator.shared_state()["projector.place.weight"][:] = 7
    assert generator.shared_state()["projector.place.weight"].max() < 7


@pytest.mark.parametrize(
    "break_it",
    [
        lambda state: state.pop("projector.place.weight"),
        lambda state: state.update(extra=np.zeros(1, np.float32)),
        lambda state: state.update({"projector.place.weight": np.zeros((1, 7), np.float32)}),
        lambda state: state["projector.place.weight"].fill(np.nan),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(
    generator: ReportGenerator, break_it: Callable[[dict[str, np.ndarray]], object]
) -> None:
    before = generator.shared_state()
    state = {name: value + 1 for name, value in before.items()}
    break_it(state)
    with pytest.raises(StateMismatch):
        generator.load_shared_state(state)
    after = generator.shared_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_base_hash_covers_all_that_is_frozen(build: Build) -> None:
    reference = build().base_hash
    assert build().base_hash == reference
    variants = [
        build(seed=1),
        build(rank=4),
        build(alpha=8.0),
        build(image_size=64),
        build(visual_tokens=4),
        build(dtype="bfloat16"),
        build(anchors="text"),
        build(anchor_attention=False),
        build(factorization="ffa"),
        build(image_mean=0.5, image_deviation=0.25),
    ]
    changed = build()
    with torch.no_grad():
        next(p for n, p in changed.named_parameters() if "base_layer" in n)[0, 0] += 1e-3
    hashes = {generator.base_hash for generator in variants}
    assert len(hashes | {reference}) == len(variants) + 1


def test_counts(generator: ReportGenerator) -> None:
    counts = generator.parameter_counts
    state = {n: v for n, v in generator.shared_state().items() if not n.endswith("lora_A")}
    assert counts.shared == sum(value.size for value in state.values())
    assert counts.adapters == sum(v.size for n, v in state.items() if n.startswith("adapter."))
    assert counts.shared < counts.plain_lora < counts.total
    a = sum(p.numel() for n, p in generator.named_parameters() if ".lora_A.generic." in n)
    assert counts.plain_lora == counts.shared + a
    own = generator.specialized_parameters().values()
    assert counts.specialized == sum(parameter.numel() for parameter in own)
    assert counts.total == counts.decoder + counts.shared + a + counts.specialized


def test_diagnosis_is_a_distribution(generator: ReportGenerator, images: torch.Tensor) -> None:
    diagnosis = generator.diagnose(images)
    assert diagnosis.probabilities.shape == (4, len(CHEXPERT_CLASSES), 4)
    torch.testing.assert_close(diagnosis.probabilities.sum(-1), torch.ones(4, 14))


def test_other_classes_find_their_labels(build: Build) -> None:
    generator = build(classes=("Edema", "Fracture"))
    assert generator.class_columns == [5, 12]
    with pytest.raises(UnknownClass, match="Measles"):
        build(classes=("Measles",))


def test_what_is_trained_is_float32_over_a_bfloat16_decoder(
    build: Build, images: torch.Tensor
) -> None:
    generator = build(dtype="bfloat16")
    assert {p.dtype for p in generator.shared_parameters().values()} == {torch.float32}
    frozen = {p.dtype for n, p in generator.named_parameters() if "base_layer" in n}
    assert frozen == {torch.bfloat16}
    assert len(generator.generate(images, beams=2)) == 4


def test_images_become_a_batch() -> None:
    batch = images_tensor([np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)])
    assert batch.shape == (2, 1, 8, 8)
    assert batch[1].min() == 1
