"""``fedmrg budget`` on ledgers that were really written to."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.privacy.accountant import epsilon
from fedmrg_secure.privacy.events import GridNoise, PoissonSampling, PrivacyEvent
from fedmrg_secure.privacy.ledger import Ledger, ledger_path

ROUND = PrivacyEvent(
    GridNoise(Fraction(1 << 32), Fraction(1 << 32), 10_000), PoissonSampling(0.02), 100
)
RUN = "ab" * 32


def begin(folder: Path, dataset: str = "chest") -> Ledger:
    return Ledger.open(
        ledger_path(folder, dataset, "patient", 1e-5),
        dataset=dataset,
        unit="patient",
        delta=1e-5,
        budget=4.0,
        units=2000,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    ledger = begin(tmp_path / "site" / "ledgers")
    ledger.settle(ledger.reserve(ROUND, RUN, 1))
    ledger.reserve(ROUND, RUN, 2)
    return tmp_path / "site"


def test_people_see_a_bar_and_every_round(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["budget", str(site)]) == 0
    shown = capsys.readouterr().out
    spent = epsilon([ROUND, ROUND], 1e-5)
    assert f"epsilon {spent:.3f} spent of 4, {4 - spent:.3f} left" in shown
    assert shown.count("█") == -(-spent * 50 // 4)
    assert shown.count("█") + shown.count("░") == 50
    for words in ("chest", "patient", "1e-05", "finished", "not ended", "1 of 2 rounds", RUN[:12]):
        assert words in shown
    assert f"{spent - epsilon([ROUND], 1e-5):.3f}" in shown


def test_programs_get_one_object(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["budget", str(site), "--json"]) == 0
    (ledger,) = json.loads(capsys.readouterr().out)["ledgers"]
    assert ledger["spent"] == epsilon([ROUND, ROUND], 1e-5)
    assert ledger["left"] == 4.0 - ledger["spent"]
    assert ledger["spent"] == ledger["prv"] < ledger["rdp"]
    assert [(each["run"], each["round"], each["outcome"]) for each in ledger["rounds"]] == [
        (RUN, 1, "finished"),
        (RUN, 2, None),
    ]
    assert ledger["rounds"][1]["epsilon_after"] == ledger["spent"]
    assert ledger["head"]["entries"] == 4
    assert len(ledger["head"]["chain"]) == 64


def test_a_folder_of_ledgers_and_a_ledger_can_be_named(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(site / "ledgers", "knees")
    assert run_command(["budget", str(site / "ledgers"), "--json"]) == 0
    ledgers = json.loads(capsys.readouterr().out)["ledgers"]
    assert [each["dataset"] for each in ledgers] == ["chest", "knees"]
    assert ledgers[1]["spent"] == 0
    assert run_command(["budget", ledgers[1]["ledger"]]) == 0
    assert capsys.readouterr().out.count("░") == 50


def test_a_budget_is_changed_for_one_named_ledger(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["budget", str(site), "--set", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledgers"][0]["budget"] == 6.0
    begin(site / "ledgers", "knees")
    assert run_command(["budget", str(site), "--set", "9"]) == 2
    assert "FMRG-1211" in capsys.readouterr().err
    assert run_command(["budget", str(site), "--json"]) == 0
    ledgers = json.loads(capsys.readouterr().out)["ledgers"]
    assert [each["budget"] for each in ledgers] == [6.0, 4.0]
    assert run_command(["budget", ledgers[0]["ledger"], "--set", "-1"]) == 2


def test_a_moved_ledger_is_refused_and_can_be_adopted(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = site.parent / "moved"
    shutil.copytree(site, moved)
    assert run_command(["budget", str(moved)]) == 1
    assert "FMRG-4643" in capsys.readouterr().err
    assert run_command(["budget", str(moved), "--adopt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledgers"][0]["head"]["entries"] == 5
    assert run_command(["budget", str(moved)]) == 0


def test_a_shortened_ledger_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger_path(site / "ledgers", "chest", "patient", 1e-5)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert run_command(["budget", str(site)]) == 1
    assert "shortened: it has 3 of 4 entries" in capsys.readouterr().err


def test_a_folder_without_a_ledger_says_where_one_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["budget", str(tmp_path), "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "FMRG-1211"
    assert "first private run" in captured.err
