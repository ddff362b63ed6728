"""``fedmrg audit mechanism``, the whole of it: the gate for three claims, and every mutant."""

from __future__ import annotations

import json
from functools import partial

import pytest

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.privacy_audit import mechanism
from fedmrg_secure.privacy_audit.mutants import MUTANTS, half_sigma


def test_the_mechanism_passes_the_gate_and_every_mutant_is_flagged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fails for a sound mechanism once in a thousand times at most (`FALSE_ALARM`)."""
    code = run_command(["audit", "mechanism", "--json"])
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert [each["claimed_epsilon"] for each in result["claims"]] == [1.0, 4.0, 8.0]
    for each in result["claims"]:
        assert each["verdict"] == "NOT_FALSIFIED", each
        assert 0.85 * each["claimed_epsilon"] <= each["estimate"] <= each["claimed_epsilon"]
        assert each["low"] < each["estimate"] < each["high"]
        assert each["trials"] >= 10_000
        assert each["accounted_epsilon"] <= each["claimed_epsilon"]
        assert [check["name"] for check in each["checks"]] == [
            "canaries",
            "other run",
            "bystanders",
            "sampler",
        ]
    assert {each["name"]: each["verdict"] for each in result["mutants"]} == dict.fromkeys(
        MUTANTS, "FAIL"
    )
    assert all(each["caught_by"] for each in result["mutants"])
    assert (result["claimed_epsilon"], result["verdict"]) == (1.0, "NOT_FALSIFIED")
    assert {"estimate", "low", "high", "unit", "threat_model", "sampler"} <= set(result)
    assert result["ok"]
    assert code == 0

    words = captured.err
    assert "1/12 auditing the mechanism at epsilon 1 ..." in words
    assert "No claim is falsified, and every mutant is flagged." in words
    assert "private" not in words, "no audit can say that"
    for name in (*MUTANTS, "the patient", "Poisson", "Clopper-Pearson", "threat model"):
        assert name in words


def test_a_mechanism_that_leaks_ends_in_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = partial(mechanism.audit_mechanism, make=half_sigma, mutants={})
    monkeypatch.setattr(mechanism, "audit_mechanism", broken)
    assert run_command(["audit", "mechanism", "--epsilon", "8", "--epsilon", "8", "--json"]) == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["verdict"], result["ok"], len(result["claims"])) == ("FAIL", False, 1)
    assert result["estimate"] > 8.0
    assert result["error"]["code"] == "FMRG-4651"
    assert "caught by canaries" in captured.err


@pytest.mark.parametrize(
    "wrong",
    [["--epsilon", "0"], ["--epsilon", "nan"], ["--trials", "100"], ["--delta", "0.5"]],
)
def test_what_cannot_be_audited_is_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["audit", "mechanism", *wrong]) == 2
    assert "FMRG-1201" in capsys.readouterr().err
