"""Names and small values that every room may use."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.errors import InputError

FloatVector = npt.NDArray[np.float64]
IntVector = npt.NDArray[np.int64]
ResidueVector = npt.NDArray[np.uint64]

CHEXPERT_CLASSES: Final[tuple[str, ...]] = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The 14 observation classes of CheXpert (Irvin et al. 2019), in its order."""

PRETRAINED_ENCODER_PIXELS: Final = 96
PRETRAINED_ENCODER_WIDTH: Final = 128
"""Side of the images and width of the features of the shipped pretrained encoder."""


class Status(IntEnum):
    """What a report says of one observation class."""

    BLANK = 0
    POSITIVE = 1
    NEGATIVE = 2
    UNCERTAIN = 3


class InvalidName(InputError):
    """A name of a party is not of the allowed form."""

    code: ClassVar[str] = "FMRG-1101"


_PARTY_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

COORDINATOR: Final = "coordinator"
"""The coordinator's party name; no site may bear it."""


def check_party_name(name: str) -> str:
    """Return `name` if it is a valid party name (an RFC 1123 label), else raise `InvalidName`."""
    if not _PARTY_NAME.fullmatch(name):
        raise InvalidName(
            f"{name!r} is not a valid party name",
            hint="use 1 to 63 of a-z, 0-9 and '-', not beginning or ending with '-'",
        )
    return name


def party_name(title: str) -> str:
    """The party name of a centre's title: ``"United Kingdom"`` gives ``"united-kingdom"``."""
    return check_party_name(re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"))


class Signer(Protocol):
    """Something that signs for one party (Ed25519 in `crypto.signing`)."""

    @property
    def party(self) -> str: ...

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, 64 bytes."""
        ...


class Verifier(Protocol):
    """Something that knows the parties' public keys (the roster)."""

    def verify(self, party: str, message: bytes, signature: bytes) -> None:
        """Return if `signature` is `party`'s over `message`; raise otherwise, also if unknown."""
        ...
