"""``fedmrg log`` on run folders with real identities, good and tampered with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedmrg_secure.audit_log import AuditLog, log_origin
from fedmrg_secure.cli.main import run_command
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit
from tests.core.hostile_json import HOSTILE


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    provision_throwaway(run, "lungs", ["italy", "spain"], "127.0.0.1")
    homes = [run / "coordinator", run / "sites" / "italy", run / "sites" / "spain"]
    for home in homes:
        identity = load_kit(home / "kit").identity
        folder = run / "log" / identity.name
        origin = log_origin("lungs", identity.name)
        with AuditLog.open(folder, origin, identity.signing_key) as log:
            log.append({"type": "process.started", "software": "0.1.0"})
            for number in range(3):
                log.append({"type": "round.planned", "round": number, "plan_hash": "ab" * 32})
    shutil.copy(run / "coordinator" / "kit" / "roster.json", run / "log")
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_whole_logs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["log", "verify", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "All logs are whole, and they agree." in shown
    for word in ("coordinator", "italy", "spain", "entries", "Anchored in the root"):
        assert word in shown


def test_whole_logs_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["log", "verify", str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"]
    assert [(log["party"], log["entries"]) for log in result["logs"]] == [
        ("coordinator", 4),
        ("italy", 4),
        ("spain", 4),
    ]
    assert all(len(log["root"]) == 64 for log in result["logs"])


def test_a_ledger_that_sites_logged_as_discontinued_is_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = {"round": 1, "ledger_hash": "cd" * 32, "ledger_entries": 5}
    committed = {"type": "round.committed", "upload_root": "ef" * 32, **head}
    said = {"type": "ledger.discontinued", "site": "italy", "reason": "rolled-back", **head}
    for home, event in (
        ("coordinator", {**committed, "site": "italy"}),
        ("sites/italy", committed),
        ("sites/spain", said),
    ):
        identity = load_kit(run / home / "kit").identity
        folder, origin = run / "log" / identity.name, log_origin("lungs", identity.name)
        with AuditLog.open(folder, origin, identity.signing_key) as log:
            log.append(event)
    assert run_command(["log", "verify", str(run), "--json"]) == 0
    captured = capsys.readouterr()
    assert "ledger that italy showed in round 1 does not continue" in " ".join(captured.err.split())
    assert json.loads(captured.out)["ledgers_discontinued"] == [
        {"site": "italy", "round": 1, "reason": "rolled-back", "noticed_by": ["spain"]}
    ]


def tamper(run: Path) -> None:
    entries = run / "log" / "italy" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"round":1', b'"round":7'))


def test_the_first_bad_entry_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(run)
    assert run_command(["log", "verify", str(run)]) == 1
    shown = capsys.readouterr()
    assert "log of italy, entry 2: it is not the entry that was signed" in shown.err
    assert "BAD at entry 2" in shown.out
    assert "All logs are whole" not in shown.out


def test_the_first_bad_entry_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(run)
    assert run_command(["log", "verify", str(run), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["ok"], result["party"], result["entry"]) == (False, "italy", 2)
    assert result["error"]["code"] == "FMRG-7031"
    verdicts = {log["party"]: log["ok"] for log in result["logs"]}
    assert verdicts == {"coordinator": True, "italy": False, "spain": True}


def test_a_replaced_roster_does_not_help(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provision_throwaway(tmp_path / "forged", "lungs", ["italy", "spain"], "127.0.0.1")
    shutil.copy(tmp_path / "forged" / "coordinator" / "kit" / "roster.json", run / "log")
    assert run_command(["log", "verify", str(run)]) == 1
    assert "FMRG-4531" in capsys.readouterr().err


def test_the_root_may_come_from_elsewhere(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = tmp_path / "authority.pem"
    shutil.copy(run / "coordinator" / "kit" / "authority.pem", authority)
    shutil.rmtree(run / "coordinator")
    assert run_command(["log", "verify", str(run)]) == 0
    assert "was not checked" in capsys.readouterr().err
    assert run_command(["log", "verify", str(run), "--authority", str(authority)]) == 0
    provision_throwaway(tmp_path / "other", "lungs", ["italy"], "127.0.0.1")
    foreign = tmp_path / "other" / "coordinator" / "kit" / "authority.pem"
    assert run_command(["log", "verify", str(run), "--authority", str(foreign)]) == 1


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["log", "verify", str(tmp_path)]) == 2
    assert "FMRG-7041" in capsys.readouterr().err


def test_events_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["log", "show", str(run), "--party", "spain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "round.planned" in lines[1]
    assert "round=0" in lines[1]
    assert run_command(["log", "show", str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [log["party"] for log in result["logs"]] == ["coordinator", "italy", "spain"]


def test_an_unknown_party_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["log", "show", str(run), "--party", "france"]) == 2
    assert "france" in capsys.readouterr().err


def test_bad_logs_are_not_shown(run: Path) -> None:
    tamper(run)
    assert run_command(["log", "show", str(run)]) == 1


@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_lines_of_another_party_are_explained(
    run: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "log" / "spain" / name
    *lines, last = path.read_bytes().splitlines(keepends=True)
    assert last.endswith(b"\n")
    path.write_bytes(b"".join(lines) + text.encode() + b"\n")
    assert run_command(["log", "verify", str(run), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["party"], result["entry"]) == ("spain", 3)


def test_a_hostile_roster_is_explained(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "log" / "roster.json").write_text(HOSTILE["deep"])
    assert run_command(["log", "verify", str(run), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "FMRG-4541"
    (run / "coordinator" / "kit" / "authority.pem").unlink()
    assert run_command(["log", "verify", str(run), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "FMRG-7041"
