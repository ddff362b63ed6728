from __future__ import annotations

from typing import Any

import pytest

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.reports.facts import method, settings

COLUMN = {"column": "ViewPosition", "participating": ["PA", "AP"]}


@pytest.mark.parametrize(
    ("data", "says", "split"),
    [
        ({"source": "phantom"}, "no patient in it", "70% training"),
        (
            {"source": "manifest", "root": "x", "participating": ["A", "B"]},
            "pairs of pairs.jsonl, by column “centre”",
            "70% training",
        ),
        (
            {"source": "iu-xray", "root": "x"},
            "IU X-Ray, parted by patient into 6 pseudo-centres",
            "as the source gives it",
        ),
        (
            {"source": "mimic-cxr", "root": "x", "centres": COLUMN, "split_by": "patient"},
            "MIMIC-CXR, by column “ViewPosition”",
            "70% training",
        ),
    ],
)
def test_every_source_of_data_is_named_with_its_centres_and_splits(
    data: dict[str, Any], says: str, split: str
) -> None:
    config = RunConfig.model_validate(
        {
            "name": "ward",
            "data": data,
            "secure_aggregation": {"acknowledge_collusion_risk": True},
        }
    )
    facts = {fact.label: fact.value for fact in settings(config)}
    assert says in facts["Data"]
    assert facts["Split by patient"].startswith(split)


def test_the_page_says_whether_drift_is_corrected() -> None:
    config = RunConfig.model_validate(
        {
            "name": "ward",
            "data": {"source": "phantom"},
            "secure_aggregation": {"scheme": "ckks-shared", "acknowledge_collusion_risk": True},
        }
    )
    off = {"drift_correction": 0.0, "encoder_drift_correction": 0.0}
    free = config.model_copy(update={"training": config.training.model_copy(update=off)})
    said = [
        {fact.label: fact.value for fact in method(each)}["Drift of a site"]
        for each in (config, free)
    ]
    assert said == ["taken back: 100% in what writes, 100% in all else", "not corrected"]
