from __future__ import annotations

import torch

from fedmrg_secure.core.types import Status
from fedmrg_secure.model.diagnosis import Diagnosis, DiagnosisHead, StatusPrompts


def test_every_pair_of_class_and_status_has_its_own_prompt() -> None:
    start = torch.arange(3 * 4 * 2, dtype=torch.float32).reshape(3, 4, 2)
    prompts = StatusPrompts(start)
    chosen = prompts(torch.tensor([[0, 1, 2], [3, 3, 3]]))
    assert torch.equal(chosen[0], torch.stack([start[0, 0], start[1, 1], start[2, 2]]))
    assert torch.equal(chosen[1], start[:, 3])


def test_the_head_gives_four_logits_a_class() -> None:
    assert DiagnosisHead(8, 5)(torch.rand(2, 8)).shape == (2, 5, len(Status))


def test_statuses_are_the_likeliest() -> None:
    probabilities = torch.tensor([[[0.1, 0.6, 0.2, 0.1], [0.0, 0.1, 0.1, 0.8]]])
    assert Diagnosis(probabilities).statuses.tolist() == [[Status.POSITIVE, Status.UNCERTAIN]]
