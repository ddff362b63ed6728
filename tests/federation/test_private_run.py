"""A private federation of real processes: charged, noised, and stopped where nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.audit_log import verify_run
from fedmrg_secure.privacy.ledger import Ledger, ledger_path, read_ledger
from tests.federation.runs import start, stop, write_config

STARVED = "lakeside-medical-center"
DELTA = 1e-5


@pytest.mark.slow
def test_a_site_over_budget_stops_and_the_others_finish(tmp_path: Path) -> None:
    ledgers = tmp_path / "ledgers"
    path = ledger_path(ledgers / STARVED, "phantom", "patient", DELTA)
    Ledger.open(path, dataset="phantom", unit="patient", delta=DELTA, budget=0.5, units=8)
    config = write_config(
        tmp_path,
        training={"boosting": "one_way"},
        federation={"min_sites": 3},
        privacy={
            "target_epsilon": 6,
            "delta": DELTA,
            "expected_batch": 4,
            "ledgers": str(ledgers),
        },
    )
    run = start(config, tmp_path / "run")
    try:
        assert run.wait() == 0, run.text
    finally:
        stop(run)

    assert "FMRG-4645" in run.text
    assert "0.500 is left" in run.text
    assert read_ledger(path).spendings == ()
    logs = {log.party: [event["type"] for event in log.events] for log in verify_run(run.folder)}
    assert "ledger.exhausted" in logs[STARVED]
    assert "round.announced" not in logs[STARVED]
    assert not any("ledger.discontinued" in kinds for kinds in logs.values())
    assert all("ledger.settled" in logs[site] for site in set(run.summary()["sites"]) - {STARVED})
    summary, others = run.summary(), set(run.summary()["sites"]) - {STARVED}
    spent = summary["privacy"]
    assert (spent[STARVED]["epsilon"], spent[STARVED]["rounds"]) == (0.0, 0)
    assert len(others) == 3
    for site in others:
        view = read_ledger(ledger_path(ledgers / site, "phantom", "patient", DELTA))
        assert [each.outcome for each in view.spendings] == ["finished", "finished"]
        assert [each.event.steps for each in view.spendings] == [2, 2]
        assert spent[site]["epsilon"] == pytest.approx(view.account.epsilon)
        assert 0.99 * 6 < spent[site]["epsilon"] <= 6
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Epsilon at Lakeside Medical Center" in page
    assert f"{spent[sorted(others)[0]]['epsilon']:.3f} in this run" in page
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    rounds = [row for row in rows if row["kind"] == "round"]
    assert {row["site"] for row in rounds} == others
    # Nothing that was counted or measured on the records without noise is passed on.
    assert {(row["loss"], row["records"], len(row["losses"])) for row in rounds} == {
        (None, None, 0)
    }
    assert {round(row["epsilon"], 6) for row in rounds if row["round"] == 2} == {
        round(spent[site]["epsilon"], 6) for site in others
    }
