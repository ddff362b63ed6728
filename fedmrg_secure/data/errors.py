"""What can be wrong with image-report pairs. Codes FMRG-2xxx."""

from __future__ import annotations

from typing import ClassVar

from fedmrg_secure.core.errors import InputError


class DataError(InputError):
    """Root of the errors of this room. Messages name records, never patients."""

    code: ClassVar[str] = "FMRG-2000"


class UnknownCentre(DataError):
    """A centre that the task does not have."""

    code: ClassVar[str] = "FMRG-2001"


class CentreTooSmall(DataError):
    """A participating centre has too few patients to train and test on."""

    code: ClassVar[str] = "FMRG-2002"


class ManifestUnreadable(DataError):
    """The file or folder that lists the records is missing or not of its format."""

    code: ClassVar[str] = "FMRG-2101"


class BadRow(DataError):
    """A line or entry of a listing is no record."""

    code: ClassVar[str] = "FMRG-2102"


class MissingValue(DataError):
    """A row or entry lacks a value or has nothing in it."""

    code: ClassVar[str] = "FMRG-2103"


class DuplicateRecord(DataError):
    """Two rows have one record id."""

    code: ClassVar[str] = "FMRG-2104"


class PatientInTwoSplits(DataError):
    """A patient's records are in more than one split."""

    code: ClassVar[str] = "FMRG-2105"


class PatientInTwoCentres(DataError):
    """A patient's records are in more than one centre."""

    code: ClassVar[str] = "FMRG-2106"


class ImageOfTwoPatients(DataError):
    """Two patients have the same image file."""

    code: ClassVar[str] = "FMRG-2107"


class UnknownSplit(DataError):
    """A split that is none of train, validation, test."""

    code: ClassVar[str] = "FMRG-2108"


class CentresCollide(DataError):
    """Two centres' titles give the same party name."""

    code: ClassVar[str] = "FMRG-2109"


class MissingColumn(DataError):
    """A listing has no column that the configuration or its layout names."""

    code: ClassVar[str] = "FMRG-2110"


class ReportMissing(DataError):
    """A study's report file does not exist or is no regular file."""

    code: ClassVar[str] = "FMRG-2111"


class ReportUnreadable(DataError):
    """A report file is too large, not UTF-8, or not the plain XML it should be."""

    code: ClassVar[str] = "FMRG-2112"


class SectionMissing(DataError):
    """A report has none of the sections that are to be learned."""

    code: ClassVar[str] = "FMRG-2113"


class PartitionImpossible(DataError):
    """No partition into pseudo-centres leaves each of them enough patients."""

    code: ClassVar[str] = "FMRG-2114"


class OutsideRoot(DataError):
    """A path leads out of the data folder."""

    code: ClassVar[str] = "FMRG-2201"


class ImageMissing(DataError):
    """An image file does not exist or is no regular file."""

    code: ClassVar[str] = "FMRG-2202"


class ImageBroken(DataError):
    """An image file is truncated or damaged."""

    code: ClassVar[str] = "FMRG-2203"


class ImageTooLarge(DataError):
    """An image would take too much memory when decoded."""

    code: ClassVar[str] = "FMRG-2204"


class ImageUnsupported(DataError):
    """An image is of a kind that this package does not read."""

    code: ClassVar[str] = "FMRG-2205"
