"""What one YAML file says about differential privacy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from fedmrg_secure.core.config_section import Section


class PrivacyConfig(Section):
    """Differential privacy of what leaves a site; without the section there is none.

    Neighbouring data sets of a site differ by all records of one unit, which is there or not.
    """

    unit: Literal["patient", "record"] = Field(
        "patient",
        description="who is protected; a record is weaker: a patient with k of them loses more "
        "than k times as much",
    )
    target_epsilon: float | None = Field(
        None, gt=0, le=1000, description="of the whole run at every site; fixes the noise"
    )
    noise_multiplier: float | None = Field(
        None,
        gt=0,
        le=256,
        description="standard deviation of the noise over clip_norm, in place of target_epsilon",
    )
    delta: float = Field(
        1e-5, gt=0, lt=1, description="chance that epsilon does not hold; far below 1 / population"
    )
    population: int | dict[str, int] | None = Field(
        None,
        description="public number of units that a site trains on, for all sites or by site; never "
        "counted. Absent: for phantom, as data says",
    )
    expected_batch: float = Field(
        16.0,
        ge=1,
        description="units of one step on average: each is taken with probability "
        "expected_batch / population; what the noised sum is divided by",
    )
    max_records: int = Field(
        4, ge=1, description="of one patient in one step, chosen afresh each time"
    )
    budget: float = Field(
        8.0, gt=0, le=1000, description="epsilon that the data set may lose in all runs at a site"
    )
    dataset: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="name of the data set in the site's ledger; absent: data.source",
    )
    ledgers: Path | None = Field(
        None,
        description="folder of the ledgers, a folder in it for each site; absent: ledgers in the "
        "site's own folder, which `fedmrg run` makes anew for each run",
    )
    clip_norm: float = Field(
        1.0, gt=0, description="L2 bound on what one unit adds to one step's gradient"
    )
