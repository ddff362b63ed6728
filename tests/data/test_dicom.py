from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from fedmrg_secure.data.errors import ImageBroken, ImageTooLarge, ImageUnsupported
from fedmrg_secure.data.images import read_image_file

STORED = np.arange(16 * 8, dtype=np.uint16).reshape(16, 8) * 8  # 0 to 1016


def dicom(folder: Path, pixels: np.ndarray[Any, Any] = STORED, **elements: Any) -> Path:
    """A minimal secondary-capture file with the given elements."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = elements.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    data = Dataset()
    data.file_meta = meta
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OW"
    for name, value in elements.items():
        setattr(data, name, value)
    path = folder / "image.dcm"
    data.save_as(path, enforce_file_format=True)
    return path


def test_without_a_window_the_own_range_is_shown(tmp_path: Path) -> None:
    image = read_image_file(dicom(tmp_path))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, STORED / 1016, atol=1e-6)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    image = read_image_file(dicom(tmp_path, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(image, 1 - STORED / 1016, atol=1e-6)


def test_a_linear_window_follows_the_standard(tmp_path: Path) -> None:
    # PS3.3 C.11.2.1.2.1: y = ((x - (c - 0.5)) / (w - 1) + 0.5), clipped
    image = read_image_file(dicom(tmp_path, WindowCenter=512, WindowWidth=257))
    expected = np.clip((STORED - 511.5) / 256 + 0.5, 0, 1)
    np.testing.assert_allclose(image, expected, atol=1e-6)
    assert image.min() == 0
    assert image.max() == 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR_EXACT", np.clip((STORED - 512.0) / 256 + 0.5, 0, 1)),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (STORED - 512.0) / 256))),
    ],
)
def test_other_window_functions(
    tmp_path: Path, function: str, expected: np.ndarray[Any, Any]
) -> None:
    path = dicom(tmp_path, WindowCenter=512, WindowWidth=256, VOILUTFunction=function)
    np.testing.assert_allclose(read_image_file(path), expected, atol=1e-6)


def test_the_first_of_several_windows_counts_and_rescale_comes_before_it(tmp_path: Path) -> None:
    path = dicom(
        tmp_path,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=[0, 50],
        WindowWidth=[1001, 10],
    )
    values = STORED * 2.0 - 1000
    expected = np.clip((values + 0.5) / 1000 + 0.5, 0, 1)
    np.testing.assert_allclose(read_image_file(path), expected, atol=1e-6)


def test_a_voi_lookup_table_is_applied(tmp_path: Path) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [1017, 0, 8])
    table.add_new("LUTData", "OW", np.linspace(255, 0, 1017).astype("<u2").tobytes())
    image = read_image_file(dicom(tmp_path, VOILUTSequence=[table]))
    assert image[0, 0] == 1
    assert image[-1, -1] == 0


def test_padding_is_black_even_when_inverted(tmp_path: Path) -> None:
    pixels = STORED.copy()
    pixels[:, 0] = 4000
    path = dicom(
        tmp_path,
        pixels,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=4000,
        WindowCenter=512,
        WindowWidth=1024,
    )
    image = read_image_file(path)
    assert image[:, 0].max() == 0
    assert image[0, 1] > 0.9


def test_signed_pixels_are_read(tmp_path: Path) -> None:
    pixels = (STORED.astype(np.int16) - 500).astype(np.int16)
    path = dicom(tmp_path, pixels, PixelRepresentation=1, BitsStored=16, HighBit=15)
    np.testing.assert_allclose(read_image_file(path), STORED / 1016, atol=1e-6)


def test_several_frames_and_colour_are_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path, np.stack([STORED, STORED]), NumberOfFrames=2)
    with pytest.raises(ImageUnsupported, match="several frames"):
        read_image_file(path)
    with pytest.raises(ImageUnsupported, match="not grayscale"):
        read_image_file(dicom(tmp_path, PhotometricInterpretation="RGB"))


def test_a_huge_frame_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(ImageTooLarge):
        read_image_file(dicom(tmp_path, Rows=60_000, Columns=60_000))


def test_truncated_and_undecodable_files_are_told_apart(tmp_path: Path) -> None:
    path = dicom(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageBroken):
        read_image_file(path)
    path.write_bytes(bytes(128) + b"DICM" + b"\xff" * 20)
    with pytest.raises((ImageBroken, ImageUnsupported)):
        read_image_file(path)


def test_an_encapsulated_file_that_is_garbage_is_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path)
    data = path.read_bytes().replace(
        str(ExplicitVRLittleEndian).encode(), str(JPEG2000Lossless)[:19].encode()
    )
    path.write_bytes(data)
    with pytest.raises((ImageBroken, ImageUnsupported)):
        read_image_file(path)


def test_a_real_radiograph_is_white_where_it_is_dense() -> None:
    data = pytest.importorskip("pydicom.data")
    path = data.get_testdata_file("RG1_UNCI.dcm", download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    image = read_image_file(Path(path))
    assert image.shape == (1955, 1841)
    abdomen, lung = image[1700:1900, 800:1000].mean(), image[500:900, 400:600].mean()
    assert abdomen > lung + 0.15
