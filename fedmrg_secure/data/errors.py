"""What can be wrong with image-report pairs. Codes FMRG-2xxx."""

from __future__ import annotations

from typing import ClassVar

from fedmrg_secure.core.errors import InputError


class DataError(InputError):
    """Root of the errors of this room."""

    code: ClassVar[str] = "FMRG-2000"


class UnknownCentre(DataError):
    """A centre that the task does not have."""

    code: ClassVar[str] = "FMRG-2001"
