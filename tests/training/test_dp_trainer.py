"""A private round against the plainest way to do the same, and against its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedmrg_secure.core.config import Augmentation, ModelConfig, TrainingConfig, UpdateConfig
from fedmrg_secure.core.privacy_terms import PrivacyTerms
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.dp_trainer import noised_parts, train_privately
from fedmrg_secure.training.errors import TrainingDiverged
from fedmrg_secure.training.objectives import RecordLosses
from fedmrg_secure.training.private_step import PrivateTraining
from fedmrg_secure.training.round_loss import RoundLoss
from fedmrg_secure.training.trainer import StepReport, train_locally

IMAGE_SIZE = 32
SILENT = 1e-9
"""A noise multiplier whose noise is a few grid steps: for comparing sums."""

ONE_STEP = TrainingConfig(
    local_steps=1, batch_size=3, boosting="one_way", status_mixing=0.0, log_prior="none"
)


def _generator(factorization: str = "fedsvd", **model: Any) -> ReportGenerator:
    return build_report_generator(
        ModelConfig(feature_width=16, visual_tokens=4, **model),
        UpdateConfig(factorization=factorization, rank=2),
        image_size=IMAGE_SIZE,
        seed=3,
    )


def _private(
    noise: float = SILENT,
    *,
    rate: float = 1.0,
    clip_norm: float = 0.5,
    batch: float = 8.0,
    max_records: int = 4,
    key: int = 1,
) -> PrivateTraining:
    terms = PrivacyTerms(
        unit="patient",
        delta=1e-5,
        population=16,
        sampling_rate=rate,
        expected_batch=batch,
        steps=1,
        steps_per_round=1,
        max_records=max_records,
        clip_norm=clip_norm,
    )
    return PrivateTraining(terms, noise, NoiseStream.insecure_from_key(bytes([key] * 32)))


def _sgd(generator: ReportGenerator) -> torch.optim.Optimizer:
    named = generator.shared_parameters() | generator.specialized_parameters()
    return torch.optim.SGD(list(named.values()), lr=1.0)


def _train(
    generator: ReportGenerator,
    records: Sequence[Record],
    private: PrivateTraining,
    training: TrainingConfig = ONE_STEP,
    **options: Any,
) -> dict[str, np.ndarray]:
    """The change of every tensor, shared and specialized, with plain SGD and learning rate 1."""
    before = generator.shared_state() | generator.specialized_state()
    train_privately(
        generator,
        records,
        training,
        private,
        image_size=IMAGE_SIZE,
        optimiser=_sgd(generator),
        **options,
    )
    after = generator.shared_state() | generator.specialized_state()
    return {name: after[name].astype(np.float64) - before[name] for name in before}


def _by_patient(records: Sequence[Record]) -> list[list[Record]]:
    patients: dict[str, list[Record]] = {}
    for record in records:
        patients.setdefault(record.patient_id, []).append(record)
    return list(patients.values())


def _oracle(
    generator: ReportGenerator,
    records: Sequence[Record],
    private: PrivateTraining,
    training: TrainingConfig,
) -> dict[str, np.ndarray]:
    """One record a pass with ordinary autograd, a patient's summed, clipped by hand, summed."""
    generator.train()
    loss = RoundLoss(generator, training, 1, None)
    parts = noised_parts(generator, training)
    bound = private.terms.clip_norm / math.sqrt(len(parts))
    total = {n: np.zeros(p.shape) for part in parts for n, p in part.items()}
    for patient in _by_patient(records):
        generator.zero_grad(set_to_none=True)
        for record in patient:
            batch = make_batch([record], ImageCache(IMAGE_SIZE), generator)
            loss.of(batch, np.random.default_rng(0))[0].sum().backward()
        for part in parts:
            grads = {
                n: np.zeros(p.shape) if p.grad is None else p.grad.double().numpy()
                for n, p in part.items()
            }
            norm = math.sqrt(sum(float((value**2).sum()) for value in grads.values()))
            for name, value in grads.items():
                total[name] += value * min(1.0, bound / norm)
    generator.zero_grad(set_to_none=True)
    return {name: -value / private.terms.expected_batch for name, value in total.items()}


def _twice(records: Sequence[Record], patient: str, copies: int) -> tuple[Record, ...]:
    """The records with more studies of one patient."""
    extra = [r for r in records if r.patient_id == patient] * copies
    return (
        *records,
        *(replace(record, record_id=f"{record.record_id}-{n}") for n, record in enumerate(extra)),
    )


@pytest.mark.parametrize(
    ("factorization", "boosting", "model"),
    [
        ("fedsvd", "one_way", {}),
        ("fedsvd", "joint", {}),
        ("fedsb", "one_way", {"anchors": "text"}),
        ("powersgd", "joint", {"prompts": False}),
        ("ffa", "none", {"adapters": "generic"}),
    ],
)
def test_a_step_is_the_sum_of_patients_clipped_one_at_a_time(
    records: tuple[Record, ...], factorization: str, boosting: str, model: dict[str, Any]
) -> None:
    training = ONE_STEP.model_copy(update={"boosting": boosting})
    mine = _twice(records[:6], records[0].patient_id, 2)
    private = _private(clip_norm=9.0, max_records=20)
    expected = _oracle(_generator(factorization, **model), mine, private, training)
    found = _train(_generator(factorization, **model), mine, private, training)
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, atol=1e-4 * scale + 1e-7, err_msg=name)
    length = math.sqrt(sum(float((value**2).sum()) for value in expected.values()))
    most = len(_by_patient(mine)) * private.terms.clip_norm / private.terms.expected_batch
    assert 0.1 * most < length <= most


def test_a_patient_moves_the_sum_by_at_most_the_clip_bound(records: tuple[Record, ...]) -> None:
    """Whatever its records are, and however many; and nothing is divided by how many there are."""
    loud = ONE_STEP.model_copy(update={"diagnosis_weight": 1e5})
    patients = _by_patient(records)
    others = [record for patient in patients[1:5] for record in patient]
    joined = _twice((*others, *patients[0]), patients[0][0].patient_id, 5)
    for boosting, most in (("one_way", 4), ("joint", 4), ("one_way", 1)):
        training = loud.model_copy(update={"boosting": boosting})
        private = _private(max_records=most)
        without = _train(_generator(), others, private, training)
        with_it = _train(_generator(), joined, private, training)
        parts = noised_parts(_generator(), training)
        noised = [name for part in parts for name in part]
        apart = sum(float(((with_it[n] - without[n]) ** 2).sum()) for n in noised)
        bound = private.terms.clip_norm / private.terms.expected_batch
        assert 0.3 * bound < math.sqrt(apart) <= bound * (1 + 1e-3)


def test_a_step_that_draws_nobody_is_noise_alone(records: tuple[Record, ...]) -> None:
    generator = _generator()
    private = _private(1.5, rate=1e-12, clip_norm=2.0, batch=4.0)
    reports: list[StepReport] = []
    change = _train(generator, records, private, on_step=reports.append)
    assert [report.step for report in reports] == [1]
    assert math.isnan(reports[0].loss)
    own = generator.specialized_parameters()
    assert not any(change[name].any() for name in own)
    noised = np.concatenate([change[n].ravel() for n in generator.shared_parameters()])
    sigma = 1.5 * 2.0 / 4.0
    assert abs(noised.std() / sigma - 1) < 5 / math.sqrt(2 * noised.size)
    assert abs(noised.mean()) < 5 * sigma / math.sqrt(noised.size)
    nobody = _train(_generator(), (), _private(1.5, rate=1e-12, clip_norm=2.0, batch=4.0))
    assert {n for n in change if change[n].any()} == {n for n in nobody if nobody[n].any()}


def test_empty_steps_are_as_likely_as_they_should_be(records: tuple[Record, ...]) -> None:
    one = _by_patient(records)[0]
    reports: list[StepReport] = []
    training = ONE_STEP.model_copy(update={"local_steps": 60})
    _train(_generator(), one, _private(1.0, rate=0.5), training, on_step=reports.append)
    empty = sum(math.isnan(report.loss) for report in reports)
    assert 10 <= empty <= 50


def test_every_step_has_noise_of_its_own(records: tuple[Record, ...]) -> None:
    training = ONE_STEP.model_copy(update={"local_steps": 2})
    name = "diagnosis.linear.weight"
    first = _train(_generator(), (), _private(1.0, key=1))[name]
    both = _train(_generator(), (), _private(1.0, key=1), training)[name]
    second = both - first
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / math.sqrt(first.size)


def test_in_one_way_what_is_shared_never_learns_of_the_specialized_part(
    records: tuple[Record, ...],
) -> None:
    """To the last bit, over steps, with the real optimiser: S may be trained without noise."""
    training = ONE_STEP.model_copy(update={"local_steps": 3, "boost_warmup": 1})
    ends = []
    for seed in (1, 2):
        generator = _generator()
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in generator.specialized_parameters().values():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=random))
            generator.local_anchors.copy_(
                torch.nn.functional.normalize(
                    torch.randn(generator.local_anchors.shape, generator=random), dim=-1
                )
            )
        train_privately(
            generator, records, training, _private(0.5, rate=0.4), image_size=IMAGE_SIZE
        )
        ends.append((generator.shared_state(), generator.specialized_state()))
    (shared, own), (shared_again, own_again) = ends
    assert all(np.array_equal(shared[name], shared_again[name]) for name in shared)
    assert any(not np.array_equal(own[name], own_again[name]) for name in own)


def test_in_one_way_the_specialized_part_learns_as_without_privacy(
    records: tuple[Record, ...],
) -> None:
    """Of the same records, if all of them are in the batch: it stays, so it has no noise."""
    training = ONE_STEP.model_copy(update={"batch_size": len(records), "gradient_clip_norm": 1e9})
    generator = _generator()
    before = generator.specialized_state()
    optimiser = _sgd(generator)
    train_locally(generator, records, training, image_size=IMAGE_SIZE, seed=1, optimiser=optimiser)
    plain = generator.specialized_state()
    small = training.model_copy(update={"batch_size": 3})
    found = _train(_generator(), records, _private(2.0), small)
    for name in generator.specialized_parameters():
        expected = plain[name].astype(np.float64) - before[name]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, atol=1e-3 * scale + 1e-7, err_msg=name)


def test_batches_of_any_size_go_through_in_pieces(records: tuple[Record, ...]) -> None:
    ends = []
    for batch_size in (2, 40):
        training = ONE_STEP.model_copy(update={"batch_size": batch_size})
        ends.append(_train(_generator(), records, _private(), training))
    for name in _generator().shared_parameters():
        scale = np.abs(ends[0][name]).max()
        np.testing.assert_allclose(ends[0][name], ends[1][name], atol=1e-3 * scale + 1e-7)


def test_nobody_can_tell_how_a_record_is_augmented(records: tuple[Record, ...]) -> None:
    """The draws come from the secret stream: equal keys repeat them, others do not."""
    training = ONE_STEP.model_copy(update={"augmentation": Augmentation(shift=0.2, rotation=20)})
    one, same, other = (
        _train(_generator(), records[:2], _private(key=k), training) for k in (1, 1, 2)
    )
    name = "encoder.pool.weight"
    assert np.array_equal(one[name], same[name])
    assert np.abs(one[name] - other[name]).max() > 0.01 * np.abs(one[name]).max()


def test_a_record_without_a_finite_loss_stops_nothing(
    records: tuple[Record, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell that there is such a record."""
    real = RoundLoss.of

    def broken(*arguments: Any) -> tuple[torch.Tensor, RecordLosses]:
        total, losses = real(*arguments)
        return total * torch.tensor([float("nan"), *[1.0] * (len(total) - 1)]), losses

    expected = _train(_generator(), (), _private())
    monkeypatch.setattr(RoundLoss, "of", broken)
    found = _train(_generator(), records[:1], _private())
    for name, value in found.items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_noise_that_drowns_the_model_is_named(records: tuple[Record, ...]) -> None:
    generator = _generator()
    with pytest.raises(TrainingDiverged, match="step 1"):
        _train(generator, (), _private(200.0, clip_norm=1e38))
    assert not hasattr(next(iter(generator.shared_parameters().values())), "grad_sample")


def test_nothing_of_opacus_is_left_behind(records: tuple[Record, ...]) -> None:
    generator = _generator()
    names = {id(m): set(vars(m)) for m in generator.modules()}
    _train(generator, records[:3], _private())
    assert all(set(vars(m)) == names[id(m)] for m in generator.modules())
    assert not any(m._forward_hooks or m._backward_hooks for m in generator.modules())
    for parameter in generator.parameters():
        assert not [a for a in ("grad_sample", "_forward_counter") if hasattr(parameter, a)]
    train_locally(generator, records, ONE_STEP, image_size=IMAGE_SIZE, seed=1)
