"""What one YAML file says about a run, as frozen pydantic models.

Only shape and range are checked here; `core.yaml_source` turns a file into these models and gives
every error its line and column. Components never see these objects whole: they take plain
arguments or the one section they need. The `data` sections stand in `core.config_data`, `privacy`
in `core.config_privacy`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedmrg_secure.core.config_data import (
    ColumnCentres,
    DataConfig,
    IuXrayData,
    ManifestColumns,
    ManifestData,
    MimicCxrData,
    PhantomData,
    PseudoCentres,
    ReportSection,
    Splits,
)
from fedmrg_secure.core.config_privacy import PrivacyConfig
from fedmrg_secure.core.config_section import Section
from fedmrg_secure.core.types import CHEXPERT_CLASSES

__all__ = [
    "Augmentation",
    "ColumnCentres",
    "DataConfig",
    "EvaluationConfig",
    "FederationConfig",
    "IuXrayData",
    "ManifestColumns",
    "ManifestData",
    "MimicCxrData",
    "ModelConfig",
    "PhantomData",
    "PrivacyConfig",
    "PseudoCentres",
    "ReportSection",
    "RunConfig",
    "Section",
    "SecureAggregationConfig",
    "Splits",
    "TrainingConfig",
    "UpdateConfig",
]


class ModelConfig(Section):
    """The report generator that is trained."""

    encoder: str = Field(
        "builtin",
        min_length=1,
        description="builtin, builtin_pretrained (on public phantoms), efficientnet_lite0, a "
        "transformers vision folder or a hub id",
    )
    freeze: tuple[Literal["encoder", "projection", "projector", "prompts"], ...] = Field(
        (),
        description="parts that stay as they begin and are not sent; of a pretrained backbone what "
        "follows it is trained nevertheless",
    )
    feature_width: int = Field(
        128, ge=16, le=1024, multiple_of=8, description="d of patch and pooled features"
    )
    image_mean: float | None = Field(
        None, description="public constant; absent: as the encoder was pretrained, or each image's"
    )
    image_deviation: float | None = Field(
        None, gt=0, description="public constant, beside image_mean"
    )
    anchors: Literal["head", "text", "prototype"] = Field(
        "head", description="what features are contrasted with: one direction for each class"
    )
    anchor_attention: bool = Field(
        True, description="let the diagnosis head see which anchors a feature is near to"
    )
    prompts: bool = Field(True, description="tell the decoder the diagnosed statuses")
    adapters: Literal["dual", "generic"] = Field(
        "dual", description="dual: a specialized adapter beside the generic one; it never leaves"
    )
    decoder: str = Field(
        "builtin", min_length=1, description="builtin, smollm2, a transformers folder or a hub id"
    )
    allow_hub: bool = Field(False, description="let a hub id be downloaded (not a local folder)")
    classes: tuple[str, ...] = Field(
        CHEXPERT_CLASSES, min_length=1, description="diagnosed and told to the decoder as prompts"
    )
    visual_tokens: int = Field(9, ge=1, le=256, description="length of the visual prefix")
    max_report_tokens: int = Field(112, ge=8, le=1024, description="longer reports are cut")
    min_report_tokens: int = Field(4, ge=0, description="of a generated report")
    beams: int = Field(1, ge=1, le=16, description="1 is greedy")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the frozen decoder; what is trained is always float32"
    )


class Augmentation(Section):
    """Random changes of training images, each drawn evenly from its range; all public."""

    shift: float = Field(0.0, ge=0, le=0.25, description="largest move, as a share of the side")
    rotation: float = Field(0.0, ge=0, le=45, description="largest turn, degrees")
    scale: float = Field(0.0, ge=0, le=0.5, description="largest change of size, as a share")
    contrast: float = Field(0.0, ge=0, le=0.9, description="largest change of contrast")
    noise: float = Field(0.0, ge=0, le=0.5, description="largest deviation of pixel noise")


class TrainingConfig(Section):
    """Local training at a site, the same at every site."""

    rounds: int = Field(36, ge=1, description="training rounds of the whole run")
    local_steps: int = Field(8, ge=1, description="optimiser steps a round")
    batch_size: int = Field(
        8, ge=1, description="records of one step; with privacy, of one forward pass"
    )
    learning_rate: float = Field(2e-3, gt=0, description="of everything but LoRA")
    adapter_learning_rate: float = Field(4e-3, gt=0, description="of the LoRA matrices")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    diagnosis_weight: float = Field(
        4.0, ge=0, description="of the diagnosis loss beside the report loss"
    )
    log_prior: Literal["none", "head"] | dict[str, float] = Field(
        "head",
        description="added to the POSITIVE logit in training: of the aggregated head's own biases, "
        "or of public rates by class, each in (0, 1)",
    )
    contrast_weight: float = Field(2.0, ge=0, description="lcon, of the contrast with anchors")
    contrast_temperature: float = Field(0.15, gt=0, description="tau of the contrast")
    local_contrast_weight: float = Field(0.5, ge=0, description="gamma, of the site's own anchors")
    orthogonality_weight: float = Field(
        0.1, ge=0, description="eta, keeps the two projections apart"
    )
    boosting: Literal["mutual", "one_way", "joint", "none"] = Field(
        "mutual", description="how the two adapters teach each other"
    )
    boost_generic: float = Field(0.1, ge=0, description="lg, what path B teaches path A")
    boost_specialized: float = Field(0.4, ge=0, description="ls, what path A teaches path B")
    boost_warmup: int = Field(6, ge=1, description="rounds until boosting has its full weight")
    boost_temperature: float = Field(1.0, gt=0, description="T, softens both distributions")
    drift_correction: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of a site's own drift taken out of the steps of adapter, projector and "
        "prompts",
    )
    encoder_drift_correction: float = Field(
        1.0, ge=0, le=1, description="the same of all else that is shared"
    )
    proximal_weight: float = Field(0.0, ge=0, description="mu of FedProx; 0: off")
    moon_weight: float = Field(0.0, ge=0, description="mu of MOON; 0: off")
    moon_temperature: float = Field(0.5, gt=0, description="tau of MOON")
    augmentation: Augmentation = Augmentation()
    status_mixing: float = Field(
        0.2, ge=0, le=1, description="share of prompt statuses predicted, not taken from the report"
    )
    threads: int = Field(1, ge=1, description="torch threads of one site")
    gradient_clip_norm: float = Field(
        1.0,
        gt=0,
        description="L2 bound on one step's gradient; with privacy, of what stays at the site",
    )


class UpdateConfig(Section):
    """What leaves a site."""

    factorization: Literal["ffa", "fedsvd", "rolora", "fedsb", "powersgd"] = Field(
        "fedsvd", description="which low-rank factors are sent, so that updates add exactly"
    )
    refactor_every: int = Field(
        4, ge=1, description="fedsvd: rounds between two refactorings of B A"
    )
    rank: int = Field(8, ge=1, le=256, description="of the LoRA matrices")
    alpha: float = Field(16.0, gt=0, description="LoRA scaling is alpha / rank")
    clip_norm: float = Field(10.0, gt=0, description="L2 bound on one site's update")
    precision_bits: int = Field(
        20, ge=8, le=30, description="the grid of the fixed-point codec is clip_norm / 2^bits"
    )
    weighting: Literal["uniform", "records"] = Field(
        "uniform", description="records: in proportion to the declared number of training records"
    )


class SecureAggregationConfig(Section):
    """How updates are encrypted."""

    scheme: Literal["ckks-multiparty", "ckks-shared", "insecure-plaintext"] = Field(
        "ckks-multiparty",
        description="whose keys: each site's own for each round, one shared by all sites, or none",
    )
    colluders: int = Field(
        1,
        ge=0,
        description="ckks-multiparty: sites that may collude with a cheating coordinator without "
        "any update being opened; at most min_sites less 2",
    )
    certificate: Literal["threshold", "unanimous"] = Field(
        "threshold",
        description="ckks-multiparty: unanimous also withstands all included sites but two, and "
        "aborts a round that loses a site between upload and co-signature, and waits for it",
    )
    wire_bits: Literal[16, 20, 24, 30] = Field(
        20, description="ckks-multiparty: bits of a value on the wire; fewer bits, larger error"
    )
    acknowledge_collusion_risk: bool = Field(
        False, description="ckks-shared: the coordinator together with any one site can decrypt"
    )
    acknowledge_plaintext: bool = Field(
        False, description="insecure-plaintext: the coordinator sees every update"
    )
    max_error: float = Field(
        1e-5,
        gt=0,
        description="largest error of a coordinate of the mean, as a share of clip_norm",
    )
    rotate_after: int = Field(10, ge=1, description="rounds before a new key is made")


class FederationConfig(Section):
    """Who takes part and how long the others wait."""

    sites: list[str] | None = Field(
        None, min_length=1, description="participating centres that train; all when absent"
    )
    min_sites: int = Field(3, ge=1, description="a round with fewer uploads is aborted")
    host: str = Field("127.0.0.1", description="where the coordinator of `fedmrg run` listens")
    port: int = Field(0, ge=0, le=65535, description="0: any free port")
    site_timeout_s: float = Field(20.0, gt=0, description="silence after which a site is lost")
    join_deadline_s: float = Field(
        180.0, gt=0, description="then the first round starts without sites that did not join"
    )
    round_deadline_s: float = Field(
        3600.0, gt=0, description="then a round goes on without uploads that did not come"
    )


class EvaluationConfig(Section):
    """How often and on how much the model is judged."""

    every: int = Field(6, ge=1, description="rounds between evaluations; the last is always judged")
    records_per_centre: int = Field(24, ge=1, description="at most, between rounds")
    final_records_per_centre: int = Field(200, ge=1, description="at most, at the end")
    samples_per_centre: int = Field(2, ge=0, description="image-report pairs shown in the report")


class RunConfig(Section):
    """One run: the whole file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: int = Field(0, ge=0, lt=2**31, description="fixes initial weights and training order")
    data: Annotated[DataConfig, Field(discriminator="source")]
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    update: UpdateConfig = UpdateConfig()
    privacy: PrivacyConfig | None = Field(None, description="absent: off")
    secure_aggregation: SecureAggregationConfig = SecureAggregationConfig()
    federation: FederationConfig = FederationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
