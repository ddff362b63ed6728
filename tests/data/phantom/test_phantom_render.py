from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from fedmrg_secure.data.phantom.case import Anatomy, Case, Finding, Kind, Side, Zone
from fedmrg_secure.data.phantom.look import Look
from fedmrg_secure.data.phantom.render import PhantomImage
from fedmrg_secure.data.records import FloatImage

ANATOMY = Anatomy(0.0, 0.0, 0.0, 0.0, 0.0, vessels=1)
STILL = Look(
    dark=0.1,
    bright=0.95,
    gamma=1.0,
    noise=0.0,
    blur=0.0,
    tilt=0.0,
    zoom=1.0,
    collimation=0.0,
    marker="",
    vignette=0.0,
)


def picture(*findings: Finding, look: Look = STILL, size: int = 96, name: str = "a") -> FloatImage:
    return PhantomImage(1, name, Case(ANATOMY, findings), look).load(size)


def change(*findings: Finding) -> FloatImage:
    """How much brighter a finding makes each pixel."""
    return picture(*findings) - picture()


def halves(difference: FloatImage) -> tuple[float, float]:
    """Total change on the patient's right and left."""
    middle = difference.shape[1] // 2
    return float(np.abs(difference[:, :middle]).sum()), float(np.abs(difference[:, middle:]).sum())


def test_an_image_is_the_same_every_time_and_differs_by_record_and_seed() -> None:
    noisy = replace(STILL, noise=0.03, tilt=0.05, collimation=0.03)
    first = picture(look=noisy)
    assert np.array_equal(first, picture(look=noisy))
    assert not np.array_equal(first, picture(look=noisy, name="b"))
    other = PhantomImage(2, "a", Case(ANATOMY, ()), noisy).load(96)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [32, 96, 257])
def test_any_size_is_a_float32_square_in_the_unit_range(size: int) -> None:
    image = picture(look=replace(STILL, noise=0.2, marker="L"), size=size)
    assert image.shape == (size, size)
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1


def test_a_normal_chest_has_dark_lungs_a_white_heart_and_black_air() -> None:
    image = picture()
    assert image[35, 25] < 0.25  # right lung
    assert image[35, 70] < 0.25  # left lung
    assert image[57, 52] > 0.65  # heart
    assert image[1, 1] < 0.02  # air
    assert image[85, 30] > 0.6  # abdomen


ONE_SIDED = [
    Kind.EFFUSION,
    Kind.PNEUMOTHORAX,
    Kind.ATELECTASIS,
    Kind.THICKENING,
    Kind.FRACTURE,
    Kind.CONSOLIDATION,
    Kind.PNEUMONIA,
    Kind.OPACITY,
    Kind.NODULE,
    Kind.MASS,
]


@pytest.mark.parametrize("kind", ONE_SIDED)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_finding_shows_on_its_side_and_not_on_the_other(kind: Kind, side: Side) -> None:
    zone: Zone = "upper" if kind in (Kind.CONSOLIDATION, Kind.MASS) else "middle"
    right, left = halves(change(Finding(kind, side, zone, 0.5)))
    mine, other = (right, left) if side == "right" else (left, right)
    assert mine > 3.0
    assert mine > 20 * other


@pytest.mark.parametrize("zone", ["upper", "middle", "lower"])
def test_a_mass_lies_in_its_zone(zone: Zone) -> None:
    rows = np.abs(change(Finding(Kind.MASS, "right", zone, 0.5))).sum(axis=1)
    centre = float((rows * np.arange(96)).sum() / rows.sum())
    expected = {"upper": 26.0, "middle": 45.0, "lower": 60.0}[zone]
    assert centre == pytest.approx(expected, abs=6)


@pytest.mark.parametrize("kind", [Kind.EFFUSION, Kind.CARDIOMEGALY, Kind.PNEUMOTHORAX, Kind.EDEMA])
def test_more_severe_changes_more(kind: Kind) -> None:
    side: Side = "right" if kind in (Kind.EFFUSION, Kind.PNEUMOTHORAX) else ""
    amounts = [np.abs(change(Finding(kind, side, "", s))).sum() for s in (0.05, 0.3, 0.6, 0.95)]
    assert amounts == sorted(amounts)
    assert amounts[-1] > 1.5 * amounts[1]


@pytest.mark.parametrize(
    "kind", [Kind.MASS, Kind.NODULE, Kind.CONSOLIDATION, Kind.PNEUMONIA, Kind.OPACITY]
)
def test_a_lesion_stays_visible_behind_an_enlarged_heart(kind: Kind) -> None:
    heart = Finding(Kind.CARDIOMEGALY, severity=0.95)
    difference = picture(heart, Finding(kind, "left", "lower", 0.5)) - picture(heart)
    assert (difference > 0.06).sum() >= 20


def test_fluid_is_white_and_free_air_is_black() -> None:
    fluid = picture(Finding(Kind.EFFUSION, "right", "", 0.9))
    assert fluid[55, 20] > 0.6
    air = picture(Finding(Kind.PNEUMOTHORAX, "left", "", 0.9))
    assert air[35, 78] < 0.03


@pytest.mark.parametrize(
    "kind", [Kind.PACEMAKER, Kind.TUBE, Kind.FEEDING_TUBE, Kind.LINE, Kind.WIDE_MEDIASTINUM]
)
def test_devices_and_the_mediastinum_are_dense(kind: Kind) -> None:
    difference = change(Finding(kind, severity=1.0))
    assert difference.max() > 0.15
    assert (np.abs(difference) > 0.08).sum() > 15


def test_a_doubtful_finding_is_fainter_than_a_certain_one() -> None:
    doubtful = change(Finding(Kind.CONSOLIDATION, "right", "lower", 0.05))
    certain = change(Finding(Kind.CONSOLIDATION, "right", "lower", 0.2))
    assert 0.05 < doubtful.max() < certain.max()


def test_a_look_changes_the_picture_as_it_says() -> None:
    bright = picture()
    assert picture(look=replace(STILL, gamma=1.5)).mean() < bright.mean()
    marked = picture(look=replace(STILL, marker="R"))
    assert (marked[:12, :20] > 0.9).sum() > 5
    framed = picture(look=replace(STILL, collimation=0.08))
    assert (framed[:, 0] < 0.05).all()
    assert (framed[-1] < 0.05).all()
    noisy = picture(look=replace(STILL, noise=0.05))
    assert np.std(noisy - bright) == pytest.approx(0.05, abs=0.02)


@pytest.mark.slow
def test_a_96_pixel_image_takes_under_ten_milliseconds() -> None:
    everything = (
        Finding(Kind.CARDIOMEGALY, severity=0.5),
        Finding(Kind.PNEUMONIA, "right", "lower", 0.5),
        Finding(Kind.EFFUSION, "left", "", 0.5),
    )
    picture(*everything)
    start = time.process_time()
    for _ in range(20):
        picture(*everything)
    assert (time.process_time() - start) / 20 < 0.010
