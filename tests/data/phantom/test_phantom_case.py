from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.data.phantom.case import (
    DEVICES,
    PATHOLOGIES,
    Finding,
    Kind,
    Prevalence,
    draw_findings,
)

EVEN = Prevalence(normal=0.3, devices=0.1, weights={})


def test_prevalence_decides_how_many_patients_are_normal() -> None:
    rng = np.random.default_rng(0)
    cases = [draw_findings(rng, EVEN) for _ in range(3000)]
    normal = [not any(f.kind in PATHOLOGIES for f in findings) for findings in cases]
    assert np.mean(normal) == pytest.approx(0.3, abs=0.03)
    devices = [sum(f.kind in DEVICES for f in findings) for findings in cases]
    assert np.mean(devices) == pytest.approx(0.4, abs=0.05)


def test_weights_make_a_finding_more_frequent() -> None:
    rng = np.random.default_rng(1)
    favoured = Prevalence(normal=0.0, devices=0.0, weights={Kind.FRACTURE: 5.0})
    kinds = [f.kind for _ in range(1000) for f in draw_findings(rng, favoured)]
    assert kinds.count(Kind.FRACTURE) > 3 * kinds.count(Kind.NODULE)


def test_every_pathology_occurs_on_both_sides_and_no_two_hide_each_other() -> None:
    rng = np.random.default_rng(2)
    seen: set[tuple[Kind, str]] = set()
    for _ in range(4000):
        findings = draw_findings(rng, EVEN)
        seen |= {(f.kind, f.side) for f in findings}
        kinds = [f.kind for f in findings]
        assert len(kinds) == len(set(kinds))
        for side in ("left", "right"):
            here = {f.kind for f in findings if f.side in (side, "both")}
            assert not {Kind.PNEUMOTHORAX, Kind.EFFUSION} <= here
    assert {kind for kind, _ in seen} == set(Kind)
    for kind in (Kind.EFFUSION, Kind.PNEUMOTHORAX, Kind.MASS, Kind.FRACTURE, Kind.ATELECTASIS):
        assert {(kind, "left"), (kind, "right")} <= seen


def test_severity_gives_grade_and_certainty() -> None:
    assert [Finding(Kind.EDEMA, severity=s).grade for s in (0.05, 0.5, 0.9)] == [0, 1, 2]
    assert not Finding(Kind.EDEMA, severity=0.05).certain
    assert Finding(Kind.EDEMA, severity=0.2).certain
