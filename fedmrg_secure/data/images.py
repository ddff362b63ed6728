"""Image files as grayscale arrays: PNG, JPEG and DICOM.

The rule for shape: nothing is cropped and nothing is stretched. An image is padded with black to
a centred square, then resampled with an antialiasing filter.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from fedmrg_secure.data.dicom import is_dicom, read_dicom
from fedmrg_secure.data.errors import (
    DataError,
    ImageBroken,
    ImageMissing,
    ImageTooLarge,
    ImageUnsupported,
)
from fedmrg_secure.data.limits import check_file_size, check_pixels
from fedmrg_secure.data.records import FloatImage

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_SIXTEEN_BIT: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class FileImage:
    """The image of a record that lies in a file.

    Attributes:
        path: the file, resolved.
        location: where the manifest names it, as ``file:line``.
    """

    path: Path
    location: str

    def load(self, image_size: int) -> FloatImage:
        """The image as a square, shape (image_size, image_size), float32 in [0, 1].

        Raises:
            DataError: with the manifest's line, if the file cannot be read.
        """
        return to_square(self.read(), image_size)

    def read(self) -> FloatImage:
        """The image as it is, shape (height, width); raises as `load` does."""
        try:
            return read_image_file(self.path)
        except DataError as error:
            error.location = self.location
            raise


def read_image_file(path: Path) -> FloatImage:
    """A PNG, JPEG or DICOM file, told apart by content, not by name.

    Colour becomes luma (ITU-R 601), transparency black, an EXIF orientation is applied. 16-bit
    samples are divided by 65535. DICOM: see `data.dicom`.

    Returns:
        Shape (height, width), float32 in [0, 1]; white is dense.

    Raises:
        ImageMissing: no such regular file.
        ImageBroken: truncated or damaged.
        ImageTooLarge: more pixels than `limits.MAX_PIXELS`.
        ImageUnsupported: another format, or several frames.
    """
    if not path.is_file():
        raise ImageMissing(f"there is no image file {path.name}", hint=f"looked at {path}")
    check_file_size(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError as error:
        raise ImageMissing(f"{path.name} cannot be opened: {error.strerror}") from error
    if is_dicom(start):
        return read_dicom(path)
    if not start.startswith((_PNG, _JPEG)):
        if not start:
            raise ImageBroken(f"{path.name} is empty")
        raise ImageUnsupported(
            f"{path.name} is neither PNG, JPEG nor DICOM", hint="convert it to one of them"
        )
    return _read_picture(path)


def _read_picture(path: Path) -> FloatImage:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                check_pixels(path, picture.width, picture.height)
                if getattr(picture, "n_frames", 1) > 1:
                    raise ImageUnsupported(f"{path.name} has several frames")
                picture.load()
                return _gray(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"{path.name} has too many pixels") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        raise ImageBroken(
            f"{path.name} is truncated or damaged", hint="copy it again from its source"
        ) from error


def _gray(picture: Image.Image) -> FloatImage:
    if picture.mode in _SIXTEEN_BIT:
        return np.clip(np.asarray(picture, dtype=np.float32) / 65535, 0, 1)
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        colour = picture.convert("RGBA")
        black = Image.new("RGBA", colour.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, colour)
    return np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255)


def to_square(image: FloatImage, image_size: int) -> FloatImage:
    """Pad with black to a centred square and resample.

    Args:
        image: shape (height, width), in [0, 1].
        image_size: side of the result, pixels.

    Returns:
        Shape (image_size, image_size), float32 in [0, 1].
    """
    height, width = image.shape
    side = max(height, width)
    square = np.zeros((side, side), dtype=np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    if side == image_size:
        return square
    resized = Image.fromarray(square).resize(
        (image_size, image_size), Image.Resampling.BILINEAR, reducing_gap=None
    )
    return np.clip(np.asarray(resized, dtype=np.float32), 0, 1)
