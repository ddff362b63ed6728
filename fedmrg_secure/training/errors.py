"""What can go wrong in training."""

from __future__ import annotations

from typing import ClassVar

from fedmrg_secure.core.errors import FedmrgError, InputError


class TrainingDiverged(FedmrgError):
    """A loss or a gradient is no longer finite."""

    code: ClassVar[str] = "FMRG-3101"


class NothingLearned(FedmrgError):
    """A round of training left every shared value as it was."""

    code: ClassVar[str] = "FMRG-3102"


class NoTrainingRecords(InputError):
    """A site has nothing to train on."""

    code: ClassVar[str] = "FMRG-3103"
