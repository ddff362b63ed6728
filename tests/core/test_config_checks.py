from __future__ import annotations

from typing import Any

import pytest

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.config_checks import check_config

MANIFEST = {"source": "manifest", "root": "x", "participating": ["Spain", "Italy"]}
IU = {"source": "iu-xray", "root": "x"}
MIMIC = {"source": "mimic-cxr", "root": "x"}
COLUMN = {"column": "hospital", "participating": ["Spain", "Italy"]}
ACCEPTED = {"scheme": "ckks-shared", "acknowledge_collusion_risk": True}


def findings(**sections: Any) -> list[tuple[str | int, ...]]:
    config = RunConfig.model_validate(
        {"name": "t", "data": MANIFEST, "secure_aggregation": ACCEPTED, **sections}
    )
    return [finding.path for finding in check_config(config)]


def test_a_sound_configuration_has_no_findings() -> None:
    assert findings() == []
    assert findings(secure_aggregation={}) == []
    assert findings(secure_aggregation={"colluders": 2}, federation={"min_sites": 4}) == []
    assert findings(secure_aggregation={"colluders": 0}, federation={"min_sites": 2}) == []
    assert findings(data={"source": "phantom"}) == []
    assert findings(model={"encoder": "builtin_pretrained", "freeze": ["encoder"]}) == []
    assert findings(model={"freeze": ["projection", "projector", "prompts"]}) == []
    assert findings(data=IU | {"centres": COLUMN}) == []
    assert findings(data=IU | {"layout": "open-i", "reports": "a/b", "images": "."}) == []
    assert findings(data=MIMIC | {"centres": COLUMN | {"unseen": "rest"}}) == []


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"secure_aggregation": {"scheme": "ckks-shared"}}, ("secure_aggregation", "scheme")),
        ({"secure_aggregation": {"colluders": 2}}, ("secure_aggregation", "colluders")),
        (
            {"secure_aggregation": {}, "federation": {"min_sites": 2}},
            ("federation", "min_sites"),
        ),
        (
            {"secure_aggregation": {"scheme": "insecure-plaintext"}},
            ("secure_aggregation", "scheme"),
        ),
        (
            {"federation": {"sites": ["Spain", "Italy"]}},
            ("federation", "min_sites"),
        ),
        ({"federation": {"min_sites": 1}}, ("federation", "min_sites")),
        ({"federation": {"sites": ["Spain", "spain", "Italy"]}}, ("federation", "sites", 1)),
        ({"federation": {"sites": ["spain"]}}, ("federation", "min_sites")),
        (
            {"federation": {"round_deadline_s": 5.0, "site_timeout_s": 5.0}},
            ("federation", "round_deadline_s"),
        ),
        ({"data": MANIFEST | {"manifest": "../pairs.csv"}}, ("data", "manifest")),
        ({"data": MANIFEST | {"manifest": "/etc/pairs.csv"}}, ("data", "manifest")),
        ({"data": MANIFEST | {"manifest": "C:\\pairs.csv"}}, ("data", "manifest")),
        ({"data": MANIFEST | {"unseen": ["France", "ITALY"]}}, ("data", "unseen", 1)),
        ({"data": MANIFEST | {"unseen": ["!"]}}, ("data", "unseen", 0)),
        ({"data": IU | {"reports": "../annotation.json"}}, ("data", "reports")),
        ({"data": IU | {"images": "/images"}}, ("data", "images")),
        ({"data": IU | {"layout": "open-i", "centres": COLUMN}}, ("data", "centres")),
        (
            {"data": IU | {"sections": ["findings", "findings"]}},
            ("data", "sections", 1),
        ),
        ({"data": MIMIC | {"images": "C:\\files"}}, ("data", "images")),
        ({"data": MIMIC | {"views": ["PA", "AP", "PA"]}}, ("data", "views", 2)),
        (
            {"data": MIMIC | {"centres": COLUMN | {"unseen": ["italy"]}}},
            ("data", "centres", "unseen", 0),
        ),
        (
            {"data": MIMIC | {"centres": COLUMN | {"participating": ["!"]}}},
            ("data", "centres", "participating", 0),
        ),
        (
            {"data": MANIFEST | {"participating": ["A", "B", "Coordinator"]}},
            ("data", "participating", 2),
        ),
        ({"data": MANIFEST | {"participating": ["A b", "a-B"]}}, ("data", "participating", 1)),
        (
            {"model": {"encoder": "builtin_pretrained"}, "data": MANIFEST | {"image_size": 64}},
            ("data", "image_size"),
        ),
        (
            {"model": {"encoder": "builtin_pretrained", "feature_width": 64}},
            ("model", "feature_width"),
        ),
        (
            {
                "model": {
                    "encoder": "builtin_pretrained",
                    "image_mean": 0.5,
                    "image_deviation": 0.2,
                }
            },
            ("model", "image_mean"),
        ),
        ({"model": {"freeze": ["projector", "encoder"]}}, ("model", "freeze")),
        (
            {"model": {"min_report_tokens": 9, "max_report_tokens": 9}},
            ("model", "min_report_tokens"),
        ),
        ({"model": {"classes": ["Edema", "Edma"]}}, ("model", "classes", 1)),
        ({"model": {"classes": ["Edema", "Edema"]}}, ("model", "classes", 1)),
    ],
)
def test_each_finding_points_to_the_key_to_change(
    sections: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    assert findings(**sections) == [path]


def test_a_site_of_a_real_federation_has_the_data_of_one_centre() -> None:
    one = MANIFEST | {"participating": ["Spain"]}
    assert findings(data=one) == []
    assert findings(data=one, federation={"sites": ["spain", "italy", "peru"]}) == []


def test_plaintext_needs_its_own_acknowledgement_and_may_run_with_one_site() -> None:
    plaintext = {"scheme": "insecure-plaintext", "acknowledge_plaintext": True}
    assert findings(secure_aggregation=plaintext, federation={"min_sites": 1}) == []
    wrong_one = {"scheme": "insecure-plaintext", "acknowledge_collusion_risk": True}
    assert findings(secure_aggregation=wrong_one) == [("secure_aggregation", "scheme")]


PRIVATE = {"target_epsilon": 8.0, "population": {"spain": 400, "italy": 90}}
ODDLY_NAMED = {"population": {"spain": 400, "italy": 90, "Oslo X": 3}}
ONE_WAY = {"boosting": "one_way"}


def private(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**PRIVATE, **changes}.items() if value is not None}


def test_sound_private_configurations_have_no_findings() -> None:
    assert findings(privacy=private(), training=ONE_WAY) == []
    assert findings(privacy=private(), training={"boosting": "joint"}) == []
    assert findings(privacy=private(), model={"adapters": "generic"}) == []
    other = private(target_epsilon=None, noise_multiplier=1.0, population=50)
    assert findings(privacy=other, training=ONE_WAY) == []
    phantom = private(population=None)
    assert findings(privacy=phantom, training=ONE_WAY, data={"source": "phantom"}) == []


@pytest.mark.parametrize(
    ("privacy", "sections", "path"),
    [
        ({"target_epsilon": None}, {}, ("privacy",)),
        ({"noise_multiplier": 1.0}, {}, ("privacy", "noise_multiplier")),
        ({"population": None}, {}, ("privacy", "population")),
        ({"population": {"spain": 400}}, {}, ("privacy", "population")),
        (ODDLY_NAMED, {}, ("privacy", "population", "Oslo X")),
        ({"population": 0, "expected_batch": 1.0}, {}, ("privacy", "population")),
        ({"expected_batch": 91.0}, {}, ("privacy", "expected_batch")),
        ({"delta": 1 / 90}, {}, ("privacy", "delta")),
        ({"max_records": 9}, {}, ("privacy", "max_records")),
        ({}, {"training": {"boosting": "mutual"}}, ("training", "boosting")),
        ({}, {"training": {"boosting": "none"}}, ("training", "boosting")),
        ({}, {"model": {"dtype": "bfloat16"}}, ("model", "dtype")),
        ({}, {"update": {"weighting": "records"}}, ("update", "weighting")),
    ],
)  # fmt: skip
def test_what_breaks_a_guarantee_is_found_with_the_mend(
    privacy: dict[str, Any], sections: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    sections = {"training": ONE_WAY, **sections}
    assert findings(privacy=private(**privacy), **sections) == [path]
    assert findings(**sections) == [], "nothing of it is a mistake without privacy"
