"""The model card says what the model is not for, and cannot be broken by a run's texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fedmrg_secure.model.parameters import ParameterCounts
from fedmrg_secure.reports.model_card import escaped, model_card
from fedmrg_secure.reports.run_folder import read_run
from tests.fixtures.run_folder import write_run, write_start

COUNTS = ParameterCounts(1_321_576, 885_888, 399_848, 43_008, 435_688, 45_568)


def card_of(root: Path) -> str:
    return model_card(read_run(root), COUNTS, after_round=8, has_base=True)


def test_a_whole_run(tmp_path: Path) -> None:
    card = card_of(write_run(tmp_path))
    head = card.split("---")[1]
    assert yaml.safe_load(head)["library_name"] == "peft"
    for text in (
        "Not for clinical use",
        "No differential privacy",
        "Harbour View Infirmary, Cedar Valley Clinic",
        "| Moorland Royal Hospital | unseen | 40 |",
        "**Mean, unseen**",
        "coordinator together with any one site",
        "synthetic",
        "FedMRG",
        "Adaptability",
        "Generalizability",
        "45\u202f568 at each site",
        "not in this folder",
    ):
        assert text in card, text
    assert "own part" not in card


def test_a_sites_model_says_what_it_holds(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    site = run.sites[0]
    cards = [
        model_card(run, COUNTS, after_round=8, has_base=True, site=site, mix=mix)
        for mix in (0.75, 1.0)
    ]
    for card in cards:
        assert "It holds a site's own part" in card
        assert "path B" in card
        assert "in this folder those of Harbour View Infirmary" in card
    assert "with weight 0.75" in cards[0]
    assert "come from it alone" in cards[1]


def test_plaintext_and_patients(tmp_path: Path) -> None:
    card = card_of(write_run(tmp_path, scheme="insecure-plaintext", manifest=True))
    assert "The coordinator saw every site's update in the clear." in card
    assert "real patients" in card


def test_a_run_that_was_not_judged(tmp_path: Path) -> None:
    write_start(tmp_path)
    card = card_of(tmp_path)
    assert "has not been judged" in card
    assert "**running**" in card


def test_texts_of_a_run_stay_on_their_line(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    rows = (root / "metrics.jsonl").read_text(encoding="utf-8")
    evil = "A | B\n# Approved <b>"
    rows = rows.replace('"title": "Moorland Royal Hospital"', f'"title": {json.dumps(evil)}')
    (root / "metrics.jsonl").write_text(rows, encoding="utf-8")
    card = card_of(root)
    assert "\n# Approved" not in card
    assert "<b>" not in card


@pytest.mark.parametrize(
    ("text", "wanted"), [("a|b", r"a\|b"), ("`x`\n#", r"\`x\` \#"), ("plain", "plain")]
)
def test_escaping(text: str, wanted: str) -> None:
    assert escaped(text) == wanted


def test_a_card_of_round_keys_says_neither_that_it_was_clear_nor_that_one_key_was_shared(
    tmp_path: Path,
) -> None:
    card = card_of(write_run(tmp_path, scheme="ckks-multiparty"))
    assert "Each site encrypted under a key of its own for each round" in card
    assert "in the clear" not in card
    assert "accepts that risk" not in card
