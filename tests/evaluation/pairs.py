"""Pairs of reports that metrics are checked on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.data.task import public_corpus

REAL_REPORTS = Path(__file__).parents[3] / "shared" / "data" / "iu_reports" / "reports.jsonl"
REAL_PAIRS = 300

Pairs = tuple[list[str], list[str]]
"""References and hypotheses."""


def phantom_pairs(count: int) -> Pairs:
    """Made-up reports; some pairs are equal, some hypotheses empty, cut or repeated."""
    references, others = public_corpus(0, count), public_corpus(1, count)
    written = list(others)
    written[:5] = references[:5]
    written[5:7] = ["", "heart"]
    written[7:10] = [text[: len(text) // 2] for text in references[7:10]]
    written[10:12] = ["no effusion . " * 20, "the the the the"]
    return references, written


def real_pairs() -> Pairs:
    """Reports of the Indiana collection, each with another one; skips where they are missing."""
    if not REAL_REPORTS.is_file():
        pytest.skip("the Indiana reports are not in ../shared/data/iu_reports")
    texts = []
    with REAL_REPORTS.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["findings"] and row["impression"]:
                texts.append(f"{row['findings']} {row['impression']}")
    order = np.random.default_rng(3).permutation(len(texts))[: REAL_PAIRS + 1]
    kept = [texts[number] for number in order]
    return kept[:-1], kept[1:]
