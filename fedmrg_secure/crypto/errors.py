"""What can be wrong with parameters, frames, keys and opened sums."""

from __future__ import annotations

from typing import ClassVar

from fedmrg_secure.core.errors import FedmrgError, InputError


class UnsafeParameters(InputError):
    """Parameters outside the HE standard's table, or not ones this software makes."""

    code: ClassVar[str] = "FMRG-4101"


class CapacityExceeded(InputError):
    """Sites, precision or weights do not fit into the modulus with the noise margin."""

    code: ClassVar[str] = "FMRG-4102"


class ErrorBoundExceeded(InputError):
    """The fixed-point grid is coarser than the error the user allows."""

    code: ClassVar[str] = "FMRG-4103"


class FrameLengthWrong(FedmrgError):
    """A frame is shorter or longer than its header demands."""

    code: ClassVar[str] = "FMRG-4201"


class FrameNotOurs(FedmrgError):
    """Bytes that are no frame of this version."""

    code: ClassVar[str] = "FMRG-4202"


class FrameMismatch(FedmrgError):
    """A frame of another scheme, session, round, sender or place in the sequence."""

    code: ClassVar[str] = "FMRG-4203"


class ResidueOutOfRange(FedmrgError):
    """A residue is at or above the modulus, or padding bits are set."""

    code: ClassVar[str] = "FMRG-4204"


class ValuesOutOfRange(FedmrgError):
    """Integers that the noise budget does not provide for: nothing was encrypted."""

    code: ClassVar[str] = "FMRG-4301"


class OpeningRefused(FedmrgError):
    """An opened sum is not what honest encryption under this key can give."""

    code: ClassVar[str] = "FMRG-4302"


class KeyUnusable(FedmrgError):
    """Key bytes of another length, version or parameter set."""

    code: ClassVar[str] = "FMRG-4303"


class SealUnavailable(FedmrgError):
    """TenSEAL's SEAL interface does not work on this machine."""

    code: ClassVar[str] = "FMRG-4304"


class ShareInvalid(FedmrgError):
    """Bytes that are no share of a round's key."""

    code: ClassVar[str] = "FMRG-4305"


class SharesInconsistent(FedmrgError):
    """Shares that do not lie on one polynomial, too few or of one holder twice."""

    code: ClassVar[str] = "FMRG-4306"


class KeySpent(FedmrgError):
    """A round's key was asked to encrypt what it must not: other values, or another round's."""

    code: ClassVar[str] = "FMRG-4307"
