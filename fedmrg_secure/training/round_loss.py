"""One round's loss of each record: augmented, mixed, weighted, contrasted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.augmentation import augment
from fedmrg_secure.training.baselines import ModelContrast
from fedmrg_secure.training.batches import Batch
from fedmrg_secure.training.objectives import (
    ObjectiveWeights,
    RecordLosses,
    public_log_prior,
    record_losses,
)

State = Mapping[str, npt.NDArray[np.float32]]


class RoundLoss:
    """L_i of any batch in one round, additive over records.

    Args:
        generator: in the state received.
        training: the configuration's section.
        round_number: t of the boosting's warm-up, 1, 2, ...
        previous: the site's shared state after its last training, for MOON.
    """

    def __init__(
        self,
        generator: ReportGenerator,
        training: TrainingConfig,
        round_number: int,
        previous: State | None,
    ) -> None:
        self._generator, self._training = generator, training
        self._weights = ObjectiveWeights.of(training, round_number)
        self._log_prior = _log_prior(generator, training)
        self._moon = (
            ModelContrast(generator, previous, training.moon_temperature)
            if training.moon_weight
            else None
        )

    def of(self, batch: Batch, random: np.random.Generator) -> tuple[Tensor, RecordLosses]:
        """Each record's loss with all that is added to L_i, shape (batch,), and the parts of L_i.

        Args:
            batch: at least one record.
            random: augmentation and the prompts' mixing take the same number of draws from it for
                every record.
        """
        training = self._training
        images = augment(batch.images, training.augmentation, random)
        mixed = torch.from_numpy(random.random(batch.statuses.shape) < training.status_mixing)
        output = self._generator(
            images,
            batch.reports,
            batch.statuses,
            mixed,
            share_features=self._weights.share_features,
        )
        losses = record_losses(
            output,
            batch.reports,
            batch.statuses,
            self._weights,
            anchors=self._generator.anchors,
            local_anchors=self._generator.local_anchors,
            log_prior=self._log_prior,
        )
        total = losses.total
        if self._moon is not None:
            total = total + training.moon_weight * self._moon.loss(images, output.global_feature)
        return total, losses


def _log_prior(generator: ReportGenerator, training: TrainingConfig) -> Tensor | None:
    """What the round adds to the POSITIVE logits, frozen for its length."""
    if training.log_prior == "none":
        return None
    if training.log_prior == "head":
        return generator.log_prior.clone()
    names = [CHEXPERT_CLASSES[column] for column in generator.class_columns]
    return public_log_prior(training.log_prior, names)
