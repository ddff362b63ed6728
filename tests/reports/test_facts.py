from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.model.parameters import ParameterCounts
from fedmrg_secure.reports.facts import method, security, settings
from fedmrg_secure.reports.html import write_report
from fedmrg_secure.reports.model_card import model_card
from fedmrg_secure.reports.run_folder import read_run
from tests.fixtures.run_folder import write_run

DP = "Differential privacy"

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


def test_a_private_run_shows_its_epsilon_by_site_and_any_other_says_that_it_has_none(
    tmp_path: Path,
) -> None:
    root = write_run(tmp_path)
    assert "none" in {fact.label: fact.value for fact in security(read_run(root))}[DP]
    changed = yaml.safe_load((root / "config.yaml").read_text())
    changed["privacy"] = {"target_epsilon": 4, "expected_batch": 8}
    changed["training"]["boosting"] = "one_way"
    changed["model"]["freeze"] = ["projector", "prompts"]
    (root / "config.yaml").write_text(yaml.safe_dump(changed))
    begun = {fact.label: fact.value for fact in security(read_run(root))}
    assert "not known here" in begun["Epsilon by site"]

    summary = json.loads((root / "summary.json").read_text())
    spent = {
        "unit": "patient", "delta": 1e-5, "epsilon": 3.98765, "rounds": 8, "noise_multiplier": 1.4,
        "sampling_rate": 0.2, "population": 140, "spent": 5.5, "budget": 8.0, "remaining": 2.5,
    }  # fmt: skip
    summary["privacy"] = {"cedar-valley-clinic": spent}
    (root / "summary.json").write_text(json.dumps(summary))
    facts = {fact.label: fact.value for fact in security(read_run(root))}
    assert "of each patient, under adding or removing one, at delta 1e-05" in facts[DP]
    said = facts["Epsilon at Cedar Valley Clinic"]
    assert "3.988 in this run (8 rounds charged" in said
    assert "5.500 of 8 spent in all" in said
    page = write_report(root).read_text(encoding="utf-8")
    assert "Epsilon at Cedar Valley Clinic" in page
    assert "private for each patient: epsilon <b>3.988</b> at delta 1e-05" in page
    assert "could not open. What a site sends" in page
    assert "of 8 patients on average, drawn by coin, in each of" in page
    trained = {fact.label: fact.value for fact in method(read_run(root).config)}
    assert trained["Kept as it began"] == "projector, prompts"
    assert "projector" not in trained["Sent in full"]
    assert not any(label.startswith("Ledger of") for label in facts)
    assert "no second run gives this model" in page
    counts = ParameterCounts(1_321_576, 885_888, 399_848, 43_008, 435_688, 45_568)
    card = model_card(read_run(root), counts, after_round=8, has_base=True)
    assert "**Differential privacy** of each patient" in card
    assert "No differential privacy" not in card


def test_a_ledger_that_is_unreadable_or_does_not_continue_is_shown(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    changed = yaml.safe_load((root / "config.yaml").read_text())
    changed["privacy"] = {"target_epsilon": 4, "expected_batch": 8}
    changed["training"]["boosting"] = "one_way"
    (root / "config.yaml").write_text(yaml.safe_dump(changed))
    summary = json.loads((root / "summary.json").read_text())
    summary["privacy"] = {
        "cedar-valley-clinic": {"unreadable": "FMRG-4641", "reason": "the ledger is broken"}
    }
    summary["ledgers_discontinued"] = [
        {"site": "lakeside", "round": 3, "reason": "rolled-back", "noticed_by": ["a-b", "c"]}
    ]
    (root / "summary.json").write_text(json.dumps(summary))
    facts = {fact.label: fact.value for fact in security(read_run(root))}
    assert facts["Epsilon at Cedar Valley Clinic"] == "ledger unreadable: FMRG-4641"
    assert "before round 3 (rolled-back), as A B, C noticed" in facts["Ledger of Lakeside"]
    assert "Epsilon by site" not in facts
    page = write_report(root).read_text(encoding="utf-8")
    assert "ledger unreadable: FMRG-4641" in page
    assert "Ledger of Lakeside" in page
