"""Radiographs in DICOM files: pixel values to what a person would be shown.

Only the pixel module is used; nothing else of the header is kept, shown or logged.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.processing import apply_modality_lut

from fedmrg_secure.data.errors import DataError, ImageBroken, ImageUnsupported
from fedmrg_secure.data.limits import check_pixels
from fedmrg_secure.data.records import FloatImage

# pydicom's messages and warnings quote values of the header, which may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_DECODER_HINT: Final = 'install the decoders: pip install "fedmrg-secure[dicom]"'


def is_dicom(start: bytes) -> bool:
    """Whether a file's first 132 bytes are a DICOM preamble (PS3.10, 7.1)."""
    return start[128:132] == b"DICM"


def read_dicom(path: Path) -> FloatImage:
    """One grayscale frame as shown on a screen.

    Modality LUT or rescale, then the first VOI window (PS3.3 C.11.2.1.2; LINEAR, LINEAR_EXACT,
    SIGMOID) or VOI LUT; without either the frame's own range. MONOCHROME1 is inverted, padding
    (PixelPaddingValue) is black.

    Returns:
        Shape (rows, columns), float32 in [0, 1]; white is dense.

    Raises:
        ImageUnsupported: several frames, colour, no pixels, or no decoder for the compression.
        ImageTooLarge, ImageBroken: see `data.images`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(path)
    except DataError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError) as error:
        raise ImageBroken(f"{path.name} is a damaged DICOM file") from error
    except (NotImplementedError, RuntimeError) as error:
        raise ImageUnsupported(
            f"{path.name} is compressed in a way that cannot be read", hint=_DECODER_HINT
        ) from error
    except Exception as error:  # a parser of foreign bytes: whatever it raises, the file is bad
        raise ImageBroken(f"{path.name} is a damaged DICOM file") from error


def _read(path: Path) -> FloatImage:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    photometric = str(header.get("PhotometricInterpretation", ""))
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageUnsupported(
            f"{path.name} is {photometric or 'no image'}, not grayscale",
            hint="only MONOCHROME1 and MONOCHROME2 are read",
        )
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ImageUnsupported(
            f"{path.name} has several frames", hint="give each frame its own file and record"
        )
    check_pixels(path, int(header.Columns), int(header.Rows))
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array
    if stored.ndim != 2:
        raise ImageUnsupported(f"{path.name} is not one grayscale frame")
    shown = _window(apply_modality_lut(stored, dataset).astype(np.float64), dataset)
    if photometric == "MONOCHROME1":
        shown = 1 - shown
    if "PixelPaddingValue" in dataset:
        shown[_padding(stored, dataset)] = 0
    return shown.astype(np.float32)


def _window(values: npt.NDArray[np.float64], dataset: Any) -> npt.NDArray[np.float64]:
    """Values to [0, 1] by the dataset's window, lookup table or their own range."""
    if dataset.get("VOILUTSequence"):
        return _lookup(values, dataset.VOILUTSequence[0])
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if center is None or width is None:
        low, high = float(values.min()), float(values.max())
        return (values - low) / (high - low) if high > low else np.zeros_like(values)
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function == "SIGMOID":
        curve: npt.NDArray[np.float64] = 1 / (1 + np.exp(-4 * (values - center) / max(width, 1e-9)))
        return curve
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / max(width, 1e-9) + 0.5, 0, 1)
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _lookup(values: npt.NDArray[np.float64], item: Any) -> npt.NDArray[np.float64]:
    """PS3.3 C.11.2.1.1: entries, first mapped value, bits of an entry."""
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    raw = item.LUTData
    table = np.frombuffer(raw, "<u2") if isinstance(raw, bytes) else np.asarray(raw)
    index = np.clip(values.astype(np.int64) - first, 0, (entries or 65536) - 1)
    shown: npt.NDArray[np.float64] = table[index].astype(np.float64) / (2**bits - 1)
    return shown


def _padding(stored: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.bool_]:
    low = int(dataset.PixelPaddingValue)
    high = int(dataset.get("PixelPaddingRangeLimit", low))
    low, high = min(low, high), max(low, high)
    padded: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padded


def _first(value: Any) -> float | None:
    """The first of a possibly multi-valued number."""
    if value is None or value == "":
        return None
    return (
        float(value[0]) if isinstance(value, list | pydicom.multival.MultiValue) else float(value)
    )
