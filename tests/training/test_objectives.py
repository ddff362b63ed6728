"""Each objective beside a slow, literal reading of the formulas of docs/method.md."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.model.decoder import ReportTokens
from fedmrg_secure.model.report_generator import GeneratorOutput
from fedmrg_secure.training.objectives import (
    ObjectiveWeights,
    contrast_loss,
    cross_entropy,
    diagnosis_loss,
    divergence,
    public_log_prior,
    record_losses,
)

CLASSES, WIDTH, VOCABULARY = 5, 6, 7
WEIGHTS = ObjectiveWeights(
    lg=0.2,
    ls=0.4,
    temperature=1.5,
    lc=4.0,
    lcon=0.3,
    tau=0.15,
    gamma=0.5,
    eta=0.1,
    share_features=True,
)
seeds = st.integers(0, 2**31 - 1)


def tokens(lengths: tuple[int, ...], random: np.random.Generator) -> ReportTokens:
    longest = max(lengths)
    targets = torch.from_numpy(random.integers(0, VOCABULARY, (len(lengths), longest)))
    mask = torch.tensor([[float(place < n) for place in range(longest)] for n in lengths])
    return ReportTokens(targets, targets, mask, truncated=0)


def normal(random: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape)).float()


def units(random: np.random.Generator, rows: int) -> Tensor:
    return functional.normalize(normal(random, rows, WIDTH), dim=-1)


def example(seed: int, *, dual: bool = True) -> tuple[GeneratorOutput, ReportTokens, Tensor]:
    random = np.random.default_rng(seed)
    reports = tokens((3, 1, 4), random)
    count = 8
    output = GeneratorOutput(
        diagnosis_logits=normal(random, 3, CLASSES, 4).requires_grad_(),
        global_feature=units(random, 3),
        local_feature=units(random, 3) if dual else None,
        generic_logits=normal(random, count, VOCABULARY).requires_grad_(),
        specialized_logits=normal(random, count, VOCABULARY).requires_grad_() if dual else None,
    )
    return output, reports, torch.from_numpy(random.integers(0, 4, (3, CLASSES)))


def literal_contrast(z: Tensor, anchors: Tensor, statuses: Tensor, tau: float) -> float:
    positive = [c for c in range(len(anchors)) if statuses[c] == Status.POSITIVE]
    away = [c for c in range(len(anchors)) if statuses[c] in (Status.NEGATIVE, Status.BLANK)]
    if not positive:
        return 0.0
    near = [math.exp(float(z @ anchors[c]) / tau) for c in range(len(anchors))]
    below = sum(near[c] for c in away)
    return -sum(math.log(near[c] / (near[c] + below)) for c in positive) / len(positive)


def rows_of(reports: ReportTokens) -> list[list[int]]:
    """Which packed rows belong to which record."""
    rows, start = [], 0
    for length in reports.mask.sum(dim=1).int().tolist():
        rows.append(list(range(start, start + length)))
        start += length
    return rows


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(0.1, 0.3))
def test_contrast_is_its_formula(seed: int, tau: float) -> None:
    random = np.random.default_rng(seed)
    z, anchors = units(random, 4), units(random, CLASSES)
    statuses = torch.from_numpy(random.integers(0, 4, (4, CLASSES)))
    found = contrast_loss(z, anchors, statuses, tau)
    for row in range(4):
        expected = literal_contrast(z[row], anchors, statuses[row], tau)
        assert float(found[row]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_contrast_ignores_uncertain_classes_and_records_without_a_finding() -> None:
    random = np.random.default_rng(0)
    z, anchors = units(random, 1), units(random, CLASSES)
    statuses = torch.tensor([[Status.POSITIVE, Status.NEGATIVE, Status.UNCERTAIN, 0, 0]])
    moved = anchors.clone()
    moved[2] = -moved[2]
    torch.testing.assert_close(
        contrast_loss(z, anchors, statuses, 0.15), contrast_loss(z, moved, statuses, 0.15)
    )
    none = torch.full((1, CLASSES), int(Status.NEGATIVE))
    z = z.requires_grad_()
    loss = contrast_loss(z, anchors, none, 0.15)
    assert float(loss) == 0
    loss.sum().backward()
    assert z.grad is not None
    assert float(z.grad.abs().max()) == 0
    alone = torch.full((1, CLASSES), int(Status.POSITIVE))  # nothing to be far from
    assert float(contrast_loss(z, anchors, alone, 0.15).detach()) == 0


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_cross_entropy_and_divergence_are_means_over_each_records_tokens(seed: int) -> None:
    output, reports, _ = example(seed)
    log_a = torch.log_softmax(output.generic_logits, dim=-1).detach()
    assert output.specialized_logits is not None
    log_b = torch.log_softmax(output.specialized_logits, dim=-1).detach()
    entropy, gap = cross_entropy(log_a, reports), divergence(log_b, log_a, reports)
    for record, rows in enumerate(rows_of(reports)):
        wanted = -np.mean([float(log_a[row, reports.packed_targets[row]]) for row in rows])
        assert float(entropy[record]) == pytest.approx(wanted, rel=1e-5)
        terms = [
            sum(
                math.exp(float(log_b[row, word])) * float(log_b[row, word] - log_a[row, word])
                for word in range(VOCABULARY)
            )
            for row in rows
        ]
        assert float(gap[record]) == pytest.approx(float(np.mean(terms)), rel=1e-4, abs=1e-6)
    assert (gap > 0).all()


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_the_whole_objective_is_its_formula(seed: int) -> None:
    output, reports, statuses = example(seed)
    random = np.random.default_rng(seed + 1)
    anchors, own, prior = units(random, CLASSES), units(random, CLASSES), normal(random, CLASSES)
    losses = record_losses(
        output, reports, statuses, WEIGHTS, anchors=anchors, local_anchors=own, log_prior=prior
    )
    assert output.specialized_logits is not None
    assert output.local_feature is not None
    a, b = output.generic_logits.detach(), output.specialized_logits.detach()
    log_a, log_b = torch.log_softmax(a, -1), torch.log_softmax(b, -1)
    soft_a, soft_b = (torch.log_softmax(each / WEIGHTS.temperature, -1) for each in (a, b))
    shifted = output.diagnosis_logits.detach().clone()
    shifted[:, :, Status.POSITIVE] += prior
    for i in range(3):
        z_g, z_s = output.global_feature[i], output.local_feature[i]
        diagnosis = -torch.log_softmax(shifted[i], -1)[range(CLASSES), statuses[i]].mean()
        contrast = (
            literal_contrast(z_g, anchors, statuses[i], WEIGHTS.tau)
            + WEIGHTS.gamma * literal_contrast(z_s, own, statuses[i], WEIGHTS.tau)
            + WEIGHTS.eta * float(z_g @ z_s) ** 2
        )
        square = WEIGHTS.temperature**2
        expected = (
            cross_entropy(log_a, reports)[i]
            + cross_entropy(log_b, reports)[i]
            + WEIGHTS.lg * square * divergence(soft_b, soft_a, reports)[i]
            + WEIGHTS.ls * square * divergence(soft_a, soft_b, reports)[i]
            + WEIGHTS.lc * diagnosis
            + WEIGHTS.lcon * contrast
        )
        assert float(losses.total[i].detach()) == pytest.approx(float(expected), rel=1e-4)


def test_what_teaches_is_not_taught() -> None:
    output, reports, statuses = example(3)
    quiet = replace(WEIGHTS, lc=0.0, lcon=0.0)
    anchors = torch.zeros(CLASSES, WIDTH)

    def gradients(weights: ObjectiveWeights) -> tuple[Tensor, Tensor]:
        losses = record_losses(
            output, reports, statuses, weights, anchors=anchors, local_anchors=anchors,
            log_prior=None,
        )  # fmt: skip
        assert output.specialized_logits is not None
        found = torch.autograd.grad(
            losses.total.sum(), [output.generic_logits, output.specialized_logits]
        )
        return found[0], found[1]

    none = gradients(replace(quiet, lg=0.0, ls=0.0))
    to_a = gradients(replace(quiet, ls=0.0))
    to_b = gradients(replace(quiet, lg=0.0))
    torch.testing.assert_close(to_a[1], none[1])
    torch.testing.assert_close(to_b[0], none[0])
    assert (to_a[0] - none[0]).abs().max() > 1e-3
    assert (to_b[1] - none[1]).abs().max() > 1e-3


def test_no_record_has_a_share_in_anothers_loss() -> None:
    output, reports, statuses = example(4)
    anchors = units(np.random.default_rng(5), CLASSES)
    losses = record_losses(
        output, reports, statuses, WEIGHTS, anchors=anchors, local_anchors=anchors, log_prior=None
    )
    (gradient,) = torch.autograd.grad(losses.total[1], output.generic_logits)
    own = rows_of(reports)[1]
    others = [row for row in range(len(gradient)) if row not in own]
    assert float(gradient[others].abs().max()) == 0
    assert float(gradient[own].abs().max()) > 0


def test_parts_that_are_off_are_zero() -> None:
    output, reports, statuses = example(6, dual=False)
    anchors = torch.zeros(CLASSES, WIDTH)
    losses = record_losses(
        output, reports, statuses, replace(WEIGHTS, lcon=0.0), anchors=anchors,
        local_anchors=anchors, log_prior=None,
    )  # fmt: skip
    for part in (losses.specialized, losses.boosting, losses.contrast):
        assert float(part.abs().max()) == 0
    torch.testing.assert_close(losses.total, losses.language + WEIGHTS.lc * losses.diagnosis)


def test_diagnosis_is_a_mean_over_classes_and_a_prior_moves_positive_alone() -> None:
    logits = torch.zeros(1, 2, 4)
    logits[0, 1, 3] = math.log(5)  # probability 5/8
    loss = diagnosis_loss(logits, torch.tensor([[0, 3]]))
    torch.testing.assert_close(loss, torch.tensor([(math.log(4) + math.log(8 / 5)) / 2]))
    prior = torch.tensor([math.log(3), 0.0])
    moved = diagnosis_loss(torch.zeros(1, 2, 4), torch.tensor([[Status.POSITIVE, 0]]), prior)
    torch.testing.assert_close(moved, torch.tensor([(math.log(2) + math.log(4)) / 2]))


def test_boosting_warms_up_and_follows_its_mode() -> None:
    def weights(round_number: int, **values: object) -> ObjectiveWeights:
        training = TrainingConfig(boost_warmup=4, boost_generic=0.2, boost_specialized=0.4)
        return ObjectiveWeights.of(training.model_copy(update=values), round_number)

    assert [weights(t).lg for t in (1, 2, 4, 9)] == pytest.approx([0.05, 0.1, 0.2, 0.2])
    assert weights(9, boosting="joint").lg == pytest.approx(0.2)
    one_way = weights(9, boosting="one_way")
    assert (one_way.lg, one_way.ls) == (0, pytest.approx(0.4))
    off = weights(9, boosting="none")
    assert (off.lg, off.ls) == (0, 0)


def test_a_public_prior_is_relative_to_an_even_one() -> None:
    rates = {"Edema": 0.5, "Pneumonia": 0.125}
    names = ["Edema", "Pneumonia", "Fracture"]
    assert set(names) < set(CHEXPERT_CLASSES)
    expected = torch.tensor([math.log(2), math.log(0.5), 0.0])
    torch.testing.assert_close(public_log_prior(rates, names), expected)
