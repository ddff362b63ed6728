"""A sum's noise is drawn while it is made, once, and never for a second release."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fedmrg_secure.core.privacy_terms import PrivacyTerms
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.private_step import PrivateSteps, PrivateTraining
from fedmrg_secure.training.private_sum import PrivateSum

WIDTH = 4000
KEY = bytes(range(32))
TERMS = PrivacyTerms(
    unit="record",
    delta=1e-5,
    population=2,
    sampling_rate=1.0,
    expected_batch=2.0,
    steps=1,
    steps_per_round=1,
    max_records=1,
    clip_norm=1.0,
)


@dataclass(frozen=True)
class _Record:
    record_id: str
    patient_id: str


def _steps(records: int) -> PrivateSteps:
    private = PrivateTraining(TERMS, 1.5, NoiseStream.insecure_from_key(KEY))
    owners = [_Record(str(each), str(each)) for each in range(records)]
    return PrivateSteps(private, owners, [{"w": nn.Parameter(torch.zeros(WIDTH))}], 8)


def _total(steps: PrivateSteps) -> PrivateSum:
    return steps.total(steps.draw(), lambda rows: {"w": torch.ones(len(rows), WIDTH)})


def test_every_release_has_noise_of_its_own() -> None:
    steps = _steps(0)
    first, second = _total(steps), _total(steps)
    drawn = [steps.release(each)["w"] for each in (first, first, second, _total(steps))]
    for index, one in enumerate(drawn):
        assert abs(one.std() / 0.75 - 1) < 0.06
        for other in drawn[:index]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(WIDTH)


def test_the_noise_ahead_is_that_of_a_branch_whatever_the_records_are() -> None:
    for records in (0, 2):
        steps = _steps(records)
        total = _total(steps)
        stream = NoiseStream.insecure_from_key(KEY)
        stream.words(records)  # who is drawn
        expected = total.release(1.5, 2.0, stream.branch())["w"]
        assert np.array_equal(steps.release(total)["w"], expected)
