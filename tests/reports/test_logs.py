"""Checking a run's logs for its page: whole, bad, absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.reports.logs import check_logs
from tests.audit_log.logs import FEDERATION, write_log

KEYS = {party: SigningKey.generate(party) for party in ("coordinator", "spain")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for party, key in KEYS.items():
        write_log(tmp_path / "log" / party, party, key, [{"type": "process.started"}] * 2)
    entries = [{"party": p, "signing_key": key.public_key.hex()} for p, key in KEYS.items()]
    roster = canonical_json({"roster": {"federation": FEDERATION, "entries": entries}})
    (tmp_path / "log" / "roster.json").write_bytes(roster)
    return tmp_path


def test_whole_logs(root: Path) -> None:
    check = check_logs(root)
    assert check.verdict == "whole"
    assert [(head.party, head.size) for head in check.heads] == [("coordinator", 2), ("spain", 2)]
    assert all(len(head.root) == 64 for head in check.heads)


def test_a_changed_entry_is_told(root: Path) -> None:
    path = root / "log" / "spain" / "entries.jsonl"
    path.write_bytes(path.read_bytes().replace(b"2026", b"2027", 1))
    check = check_logs(root)
    assert check.verdict == "bad"
    assert "spain" in check.problem
    assert check.heads == ()


def test_a_folder_without_logs(tmp_path: Path) -> None:
    assert check_logs(tmp_path).verdict == "absent"
