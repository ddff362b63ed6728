from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedmrg_secure.data.errors import (
    ImageBroken,
    ImageMissing,
    ImageTooLarge,
    ImageUnsupported,
)
from fedmrg_secure.data.images import FileImage, read_image_file, to_square

RAMP = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)


def saved(folder: Path, picture: Image.Image, name: str = "image.png", **options: object) -> Path:
    path = folder / name
    picture.save(path, **options)
    return path


def test_an_eight_bit_png_is_read_exactly(tmp_path: Path) -> None:
    image = read_image_file(saved(tmp_path, Image.fromarray(RAMP)))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, RAMP / 255, atol=1e-6)


def test_a_sixteen_bit_png_keeps_its_depth(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    image = read_image_file(saved(tmp_path, Image.fromarray(deep)))
    np.testing.assert_allclose(image, deep / 65535, atol=1e-6)
    assert len(np.unique(image)) > 256


def test_a_jpeg_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP), "image.png", format="JPEG", quality=95)
    np.testing.assert_allclose(read_image_file(path), RAMP / 255, atol=0.03)


def test_colour_becomes_luma_and_transparency_black(tmp_path: Path) -> None:
    red = read_image_file(saved(tmp_path, Image.new("RGB", (4, 4), (255, 0, 0))))
    np.testing.assert_allclose(red, 0.299, atol=0.005)
    clear = read_image_file(saved(tmp_path, Image.new("RGBA", (4, 4), (255, 255, 255, 0))))
    assert clear.max() == 0


def test_an_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    path = saved(tmp_path, Image.fromarray(RAMP), "turned.jpg", exif=exif)
    assert read_image_file(path).shape == (64, 48)


@pytest.mark.parametrize("keep", [0, 7, 60, 400])
def test_a_truncated_file_is_broken(tmp_path: Path, keep: int) -> None:
    path = saved(
        tmp_path,
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)),
    )
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((ImageBroken, ImageUnsupported)):
        read_image_file(path)


def test_a_truncated_jpeg_is_broken(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), "image.jpg")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageBroken, match="truncated or damaged"):
        read_image_file(path)


def test_a_flipped_byte_in_a_png_is_broken(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ImageBroken):
        read_image_file(path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    )
    with pytest.raises(ImageTooLarge):
        read_image_file(path)


def test_an_image_above_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP))
    monkeypatch.setattr("fedmrg_secure.data.limits.MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ImageTooLarge, match="64 x 48"):
        read_image_file(path)
    monkeypatch.setattr("fedmrg_secure.data.limits.MAX_FILE_BYTES", 10)
    with pytest.raises(ImageTooLarge):
        read_image_file(path)


def test_other_formats_and_animations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageUnsupported, match="neither PNG, JPEG nor DICOM"):
        read_image_file(saved(tmp_path, Image.fromarray(RAMP), "image.bmp"))
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    path = saved(tmp_path, frames[0], "moving.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageUnsupported, match="several frames"):
        read_image_file(path)


def test_what_is_no_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageMissing):
        read_image_file(tmp_path / "absent.png")
    with pytest.raises(ImageMissing):
        read_image_file(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageMissing):
        read_image_file(tmp_path / "pipe.png")


def test_a_square_is_padded_not_stretched() -> None:
    wide = np.ones((10, 30), dtype=np.float32)
    square = to_square(wide, 30)
    assert square.shape == (30, 30)
    assert square[:10].max() == 0
    assert square[10:20].min() == 1
    assert square[20:].max() == 0


def test_shrinking_averages_instead_of_picking() -> None:
    board = np.indices((96, 96)).sum(axis=0) % 2
    small = to_square(board.astype(np.float32), 24)
    np.testing.assert_allclose(small[2:-2, 2:-2], 0.5, atol=0.02)


def test_an_error_names_the_line_of_the_manifest(tmp_path: Path) -> None:
    image = FileImage(tmp_path / "absent.png", "pairs.jsonl:7")
    with pytest.raises(ImageMissing) as caught:
        image.load(32)
    assert caught.value.explain().startswith("pairs.jsonl:7  FMRG-2202")


def test_a_file_of_zeros_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "zeros.png"
    path.write_bytes(io.BytesIO(bytes(500)).getvalue())
    with pytest.raises(ImageUnsupported):
        read_image_file(path)
