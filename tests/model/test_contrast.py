from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.model.contrast import (
    AnchorAttention,
    head_anchors,
    prototype_shares,
    prototype_sums,
    text_anchors,
)
from fedmrg_secure.model.diagnosis import DiagnosisHead
from fedmrg_secure.model.errors import StateMismatch
from fedmrg_secure.model.report_generator import PROTOTYPES, ReportGenerator

Build = Callable[..., ReportGenerator]

small = {"feature_width": 16, "rank": 2}
statuses = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 5), st.just(6)), elements=st.integers(0, 3)
)


def _unit(*shape: int, seed: int = 0) -> Tensor:
    draws = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(draws, dim=-1)


def test_head_anchors_point_from_negative_to_positive() -> None:
    head = DiagnosisHead(7, 3)
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(0))
    anchors = head_anchors(head, 5)
    assert anchors.shape == (3, 5)
    for c in range(3):
        rows = head.linear.weight[4 * c : 4 * c + 4, :5]
        difference = rows[Status.POSITIVE] - rows[Status.NEGATIVE]
        torch.testing.assert_close(anchors[c], difference / difference.norm())
    assert not anchors.requires_grad
    torch.nn.init.zeros_(head.linear.weight)
    assert not head_anchors(head, 5).any(), "no direction is no anchor, not NaN"


def test_text_anchors_are_what_names_do_not_share() -> None:
    words = 5 + torch.randn(4, 4, 6, generator=torch.Generator().manual_seed(0))
    anchors = text_anchors(words)
    torch.testing.assert_close(anchors.norm(dim=-1), torch.ones(4))
    assert (anchors @ anchors.T - torch.eye(4)).max() < 0.9
    shifted = text_anchors(words + 3)
    torch.testing.assert_close(anchors, shifted, atol=1e-5, rtol=0)


@given(statuses, st.integers(0, 99))
def test_no_record_adds_more_than_norm_one_to_the_prototypes(table: np.ndarray, seed: int) -> None:
    """In all classes together: the sensitivity that noise is scaled to."""
    labels = torch.from_numpy(table)
    features = _unit(len(labels), 8, seed=seed)
    total = torch.zeros(6, 8)
    for row in range(len(labels)):
        one = prototype_sums(features[row : row + 1], labels[row : row + 1])
        positive = labels[row] == Status.POSITIVE
        expected = 1.0 if positive.any() else 0.0
        assert float(one.norm()) == pytest.approx(expected, abs=1e-6)
        assert not one[~positive].any()
        for c in positive.nonzero().flatten():
            share = features[row] / float(positive.sum()) ** 0.5
            torch.testing.assert_close(one[c], share)
        total += one
    torch.testing.assert_close(prototype_sums(features, labels), total)
    torch.testing.assert_close(prototype_shares(features, labels).sum(dim=0), total)


def test_attention_is_a_mean_of_anchors_by_nearness() -> None:
    anchors, z = _unit(5, 8), _unit(3, 8, seed=1)
    seen = AnchorAttention()(z, anchors)
    for row in range(3):
        weights = [np.exp(10 * float(z[row] @ anchor)) for anchor in anchors]
        expected = sum(w * a for w, a in zip(weights, anchors, strict=True)) / sum(weights)
        torch.testing.assert_close(seen[row], expected, atol=1e-5, rtol=1e-4)
    near = AnchorAttention()(anchors, anchors)
    assert ((near * anchors).sum(-1) > 0.9 * near.norm(dim=-1)).all()


@pytest.mark.parametrize("kind", ["head", "text", "prototype"])
@pytest.mark.parametrize("attention", [True, False])
def test_every_kind_of_anchor_builds_and_diagnoses(
    build: Build, images: Tensor, kind: str, attention: bool
) -> None:
    generator = build(anchors=kind, anchor_attention=attention, **small)
    width = 96 if kind == "text" else 16
    assert generator.anchors.shape == (len(CHEXPERT_CLASSES), width)
    assert generator.diagnosis.linear.in_features == 16 + (width if attention else 0)
    assert (PROTOTYPES in generator.shared_state()) == (kind == "prototype")
    z_g, z_s = generator.features(images)
    assert z_g.shape == (4, width)
    torch.testing.assert_close(z_g.norm(dim=-1), torch.ones(4))
    assert z_s is not None
    assert z_s.shape == (4, 16)
    assert torch.isfinite(generator.diagnose(images).probabilities).all()


def test_anchors_and_prior_follow_the_shared_state_alone(build: Build) -> None:
    """Two sites with the same public state have the same anchors, whatever they trained."""
    first, second = build(**small), build(**small)
    state = first.shared_state()
    random = np.random.default_rng(0)
    for name in ("diagnosis.linear.weight", "diagnosis.linear.bias"):
        state[name] = random.normal(size=state[name].shape).astype(np.float32)
    before = first.anchors.clone()
    with torch.no_grad():
        first.diagnosis.linear.weight.add_(1)
    assert torch.equal(first.anchors, before), "frozen until the next state comes"
    for generator in (first, second):
        generator.load_shared_state(state)
    assert torch.equal(first.anchors, second.anchors)
    assert torch.equal(first.anchors, head_anchors(first.diagnosis, 16))
    assert not torch.equal(first.anchors, before)
    biases = torch.from_numpy(state["diagnosis.linear.bias"]).view(-1, 4)
    rates = torch.softmax(biases, dim=-1)[:, Status.POSITIVE]
    torch.testing.assert_close(first.log_prior, (rates / 0.25).log())


def test_prototypes_are_loaded_as_anchors(build: Build) -> None:
    generator = build(anchors="prototype", **small)
    assert not generator.anchors.any()
    state = generator.shared_state()
    state[PROTOTYPES] = _unit(14, 16).numpy()
    generator.load_shared_state(state)
    assert np.array_equal(generator.anchors.numpy(), state[PROTOTYPES])
    assert np.array_equal(generator.shared_state()[PROTOTYPES], state[PROTOTYPES])


def test_a_specialized_state_goes_round_and_starts_over(build: Build, images: Tensor) -> None:
    generator = build(**small)
    start = generator.specialized_state()
    random = np.random.default_rng(0)
    state = {n: random.normal(0, 0.1, v.shape).astype(np.float32) for n, v in start.items()}
    shared = generator.shared_state()
    generator.load_specialized_state(state)
    again = generator.specialized_state()
    assert all(np.array_equal(again[name], state[name]) for name in state)
    assert np.array_equal(generator.local_anchors.numpy(), state["specialized.anchors"])
    assert generator.mix.numpy() == state["specialized.mix"]
    after = generator.shared_state()
    assert all(np.array_equal(after[name], shared[name]) for name in shared)
    assert generator.generate(images[:1], beams=1) != generator.generate(
        images[:1], beams=1, mix=1.0
    )
    generator.load_specialized_state(None)
    again = generator.specialized_state()
    assert all(np.array_equal(again[name], start[name]) for name in start)
    assert generator.generate(images[:1], mix=1.0) == generator.generate(images[:1])
    for broken in ({}, {**state, "specialized.more": state["specialized.mix"]}):
        with pytest.raises(StateMismatch):
            generator.load_specialized_state(broken)


def test_without_a_specialized_part_there_is_none_to_load(build: Build, images: Tensor) -> None:
    generator = build(adapters="generic", **small)
    assert generator.specialized_state() == {}
    generator.load_specialized_state(None)
    generator.load_specialized_state({})
    with pytest.raises(StateMismatch):
        generator.load_specialized_state({"specialized.mix": np.ones(1, np.float32)})
    with pytest.raises(ValueError, match="mix"):
        generator.generate(images, mix=0.5)
    assert generator.features(images)[1] is None
