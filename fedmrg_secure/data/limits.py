"""What an image file may cost: refused before it is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedmrg_secure.data.errors import ImageBroken, ImageTooLarge

MAX_PIXELS: Final = 64 * 2**20
"""The largest radiographs have about 20 million pixels."""

MAX_FILE_BYTES: Final = 512 * 2**20


def check_file_size(path: Path) -> None:
    """Raise `ImageTooLarge` for a file of more than `MAX_FILE_BYTES`."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ImageTooLarge(
            f"{path.name} is larger than {MAX_FILE_BYTES // 2**20} MiB",
            hint="is it a radiograph?",
        )


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raise `ImageTooLarge` above `MAX_PIXELS`, `ImageBroken` where there are none."""
    if width <= 0 or height <= 0:
        raise ImageBroken(f"{path.name} says that it has {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise ImageTooLarge(
            f"{path.name} would decode to {width} x {height} pixels, more than {MAX_PIXELS:,}",
            hint="scale it down first",
        )
