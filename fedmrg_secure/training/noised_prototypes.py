"""Class prototypes that may leave a private site: one more noised step, over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from fedmrg_secure.data.records import Record
from fedmrg_secure.model.contrast import prototype_shares
from fedmrg_secure.model.report_generator import PROTOTYPES, ReportGenerator
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.private_step import PrivateSteps, PrivateTraining

_BOUND: Final = 1.0
"""L2 norm of what one unit adds; one record adds no more, whatever its classes."""


@torch.no_grad()
def noised_prototypes(
    generator: ReportGenerator,
    records: Sequence[Record],
    private: PrivateTraining,
    images: ImageCache,
    most_records: int,
) -> Tensor:
    """The sum of z_g by class over one draw of units, with noise, over their expected number.

    Args:
        generator: after the round's training.
        records: the site's own; none is allowed.
        private: as for the round's steps; the bound on a unit is 1 here.
        images: of the records.
        most_records: of one forward pass.

    Returns:
        Shape (C, d), float32.

    Guarantee:
        One output of the Poisson-sampled discrete Gaussian mechanism with the terms' sampling rate
        and the noise multiplier, as each step of the training is; `privacy_terms` counts it.
    """
    bound = replace(private, terms=replace(private.terms, clip_norm=_BOUND))
    part = {PROTOTYPES: nn.Parameter(torch.zeros_like(generator.anchors), requires_grad=False)}
    step = PrivateSteps(bound, records, (part,), most_records)

    def shares_of(indices: Sequence[int]) -> dict[str, Tensor]:
        batch = make_batch([records[index] for index in indices], images, generator)
        z_g, _ = generator.features(batch.images)
        return {PROTOTYPES: prototype_shares(z_g, batch.statuses)}

    released = step.release(step.total(step.draw(), shares_of))
    return torch.from_numpy(released[PROTOTYPES])
