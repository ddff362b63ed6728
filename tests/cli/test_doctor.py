from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmrg_secure.cli import preflight, preflight_machine
from fedmrg_secure.cli.check import Check, guarded
from fedmrg_secure.cli.main import run_command
from fedmrg_secure.cli.preflight import run_checks
from fedmrg_secure.cli.preflight_machine import check_clock, check_disk, check_port
from fedmrg_secure.cli.preflight_software import check_encryption, check_multiparty
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto import residues


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_this_machine_is_fit_and_nothing_is_left_behind(tmp_path: Path) -> None:
    checks = {check.name: check for check in run_checks(tmp_path / "not" / "yet", "127.0.0.1", 0)}
    assert [check for check in checks.values() if check.verdict == "fail"] == []
    assert "exact" in checks["encryption"].detail
    assert checks["multiparty encryption"].detail.endswith(("by Numba", "by NumPy"))
    assert "write-ahead" in checks["database"].detail
    assert "torch" in checks["packages"].detail
    assert list(tmp_path.iterdir()) == []


def test_a_busy_port_fails_with_a_way_out(
    busy_port: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        preflight, "run_checks", lambda folder, host, port, more: iter([check_port(host, port)])
    )
    assert run_command(["doctor", "--port", str(busy_port), "--json"]) == 1
    captured = capsys.readouterr()
    (check,) = json.loads(captured.out)["checks"]
    assert json.loads(captured.out)["ok"] is False
    assert check["verdict"] == "fail"
    assert "in use" in check["detail"]
    assert "another port" in check["mend"]
    assert captured.err.startswith("fail  port: ")


def test_a_wrong_sum_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget_one(total: object, more: object, modulus: int) -> None:
        return None

    monkeypatch.setattr(residues, "add_mod", forget_one)
    assert guarded("encryption", check_encryption).verdict == "fail"
    assert guarded("multiparty encryption", check_multiparty).verdict == "fail"


def test_a_check_that_breaks_is_a_finding() -> None:
    class Broken(FedmrgError):
        code = "FMRG-0998"

    def deliberate() -> Check:
        raise Broken("no key", hint="make one")

    def bug() -> Check:
        raise ZeroDivisionError("oops")

    def absent() -> Check:
        raise ImportError("no module")

    assert guarded("a", deliberate) == Check("a", "fail", "FMRG-0998 no key", "make one")
    assert guarded("b", bug) == Check("b", "fail", "ZeroDivisionError: oops")
    assert guarded("c", absent).verdict == "fail"


def test_a_clock_before_our_own_files_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_machine.time, "time", lambda: 0.0)
    assert check_clock().verdict == "fail"


def test_little_room_is_said_before_it_is_too_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Usage:
        free = 2**30

    monkeypatch.setattr(preflight_machine.shutil, "disk_usage", lambda folder: Usage)
    assert check_disk(tmp_path).verdict == "warn"
    Usage.free = 2**20
    assert check_disk(tmp_path).verdict == "fail"
