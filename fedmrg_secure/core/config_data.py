"""What one YAML file says about image-report pairs: one section for each source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from fedmrg_secure.core.config_section import Section


class Splits(Section):
    """Shares of a participating centre's patients; they sum to 1."""

    train: float = Field(0.7, gt=0, lt=1, description="what the site learns from")
    validation: float = Field(0.1, gt=0, lt=1, description="kept apart for choices")
    test: float = Field(0.2, gt=0, lt=1, description="what the model is judged on")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Splits:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must sum to 1, got {total:g}")
        return self


class PhantomData(Section):
    """The built-in synthetic multi-centre benchmark."""

    source: Literal["phantom"]
    seed: int = Field(2026, ge=0, description="fixes images, reports and splits")
    image_size: int = Field(96, ge=32, le=1024, description="side of the square input, pixels")
    patients_per_centre: int = Field(200, ge=10, description="of each participating centre")
    patients_per_unseen_centre: int = Field(60, ge=4, description="all of them test patients")
    splits: Splits = Splits()


class ManifestColumns(Section):
    """Which column of the manifest holds what."""

    id: str = Field("study_id", description="unique for each row")
    patient: str = Field("patient_id", description="splits never part a patient's rows")
    image: str = Field("image", description="path relative to root: PNG, JPEG or DICOM")
    report: str = Field("report", description="the reference report, not empty")
    centre: str = Field("centre", description="the institution that the row belongs to")
    split: str | None = Field(None, description="train/validation/test given by the file itself")


class ManifestData(Section):
    """Image-report pairs listed in a JSONL or CSV file."""

    source: Literal["manifest"]
    root: Path = Field(description="folder that every image path must stay inside")
    manifest: str = Field("pairs.jsonl", description="JSONL or CSV file, relative to root")
    columns: ManifestColumns = ManifestColumns()
    where: dict[str, list[str]] = Field(
        default_factory=dict, description="keep rows whose column has one of these values"
    )
    participating: list[str] = Field(min_length=1, description="centres that train")
    unseen: list[str] | Literal["rest", "none"] = Field(
        "none", description="centres that never train and are judged; rest: all others"
    )
    seed: int = Field(2026, ge=0, description="fixes the split by patient")
    splits: Splits = Splits()
    image_size: int = Field(96, ge=32, le=1024, description="side of the square input, pixels")
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="skip: leave a bad row out, counted and listed"
    )


class ColumnCentres(Section):
    """Institutions that a column of the source names."""

    column: str = Field(min_length=1, description="whose values are the centres")
    participating: list[str] = Field(min_length=1, description="values that train")
    unseen: list[str] | Literal["rest", "none"] = Field(
        "none", description="values that never train and are judged; rest: all others"
    )


class PseudoCentres(Section):
    """Centres made by a Dirichlet partition of the patients over what their reports state."""

    participating: int = Field(4, ge=1, le=100, description="how many train")
    unseen: int = Field(2, ge=0, le=100, description="how many never train and are judged")
    alpha: float = Field(
        0.5, ge=0.05, le=1000, description="of the Dirichlet distribution: small ones differ more"
    )
    min_patients: int = Field(
        10, ge=2, description="of every centre; the partition is drawn again until it has them"
    )


ReportSection: TypeAlias = Literal["findings", "impression"]


class IuXrayData(Section):
    """IU X-Ray (Indiana University, Open-i) in one of its two public layouts."""

    source: Literal["iu-xray"]
    root: Path = Field(description="folder that everything below must stay inside")
    layout: Literal["r2gen", "open-i"] = Field(
        "r2gen", description="r2gen: annotation.json; open-i: XML reports and PNG images"
    )
    reports: str | None = Field(
        None, description="absent: annotation.json (r2gen), ecgen-radiology (open-i)"
    )
    images: str | None = Field(None, description="absent: images (r2gen), NLMCXR_png (open-i)")
    view: int = Field(
        1, ge=1, le=16, description="which of a study's images; the first is the frontal one"
    )
    sections: list[ReportSection] = Field(
        ["findings"], min_length=1, description="open-i: what of a report is learned, in this order"
    )
    centres: ColumnCentres | None = Field(
        None, description="r2gen: a key of each entry; absent: pseudo_centres"
    )
    pseudo_centres: PseudoCentres = Field(
        PseudoCentres(), description="used where centres is absent"
    )
    split_by: Literal["layout", "patient"] = Field(
        "layout", description="layout: as annotation.json says; open-i has no splits"
    )
    seed: int = Field(2026, ge=0, description="fixes pseudo-centres and the split by patient")
    splits: Splits = Splits()
    image_size: int = Field(96, ge=32, le=1024, description="side of the square input, pixels")
    check_images: bool = Field(
        True, description="decode images before anything starts; false: only that they exist"
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="skip: leave a bad study out, counted and listed"
    )


class MimicCxrData(Section):
    """MIMIC-CXR-JPG with the reports of MIMIC-CXR, as PhysioNet lays them out."""

    source: Literal["mimic-cxr"]
    root: Path = Field(description="folder of the tables that everything must stay inside")
    images: str = Field("files", min_length=1, description="folder of the JPEG tree")
    reports: str = Field("files", min_length=1, description="folder of the tree of text reports")
    views: list[str] = Field(
        ["PA", "AP"], min_length=1, description="a study's image is its first of the first of these"
    )
    sections: list[ReportSection] = Field(
        ["findings"], min_length=1, description="what of a report is learned, in this order"
    )
    centres: ColumnCentres | None = Field(
        None, description="a column of the metadata table; absent: pseudo_centres"
    )
    pseudo_centres: PseudoCentres = Field(
        PseudoCentres(), description="used where centres is absent"
    )
    split_by: Literal["layout", "patient"] = Field(
        "layout", description="layout: as the table of splits says"
    )
    seed: int = Field(2026, ge=0, description="fixes pseudo-centres and the split by patient")
    splits: Splits = Splits()
    image_size: int = Field(96, ge=32, le=1024, description="side of the square input, pixels")
    check_images: bool = Field(
        False, description="decode images before anything starts; false: only that they exist"
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="skip: leave a bad study out, counted and listed"
    )


DataConfig: TypeAlias = PhantomData | ManifestData | IuXrayData | MimicCxrData
"""The `data` section, whatever its source."""
