"""A federation of machines, step by step as its parties do it, each with its own folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.cli.main import run_command

CONFIG = """\
name: ward
data:
  source: phantom
  patients_per_centre: 10
  patients_per_unseen_centre: 4
  image_size: 32
model:
  max_report_tokens: 24
training:
  rounds: 2
  local_steps: 2
  batch_size: 2
update:
  rank: 2
secure_aggregation:
  scheme: ckks-shared
  acknowledge_collusion_risk: true
federation:
  sites: [cedar-valley-clinic, Lakeside Medical Center]
  min_sites: 2
"""
SITES = ("cedar-valley-clinic", "lakeside-medical-center")
PROGRAM = [sys.executable, "-m", "fedmrg_secure.cli.main"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


Fedmrg = Callable[..., dict[str, Any]]


@pytest.fixture
def fedmrg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fedmrg:
    """Runs one command in an empty folder and gives its JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        ended = run_command([*arguments, "--json"])
        captured = capsys.readouterr()
        assert ended == code, captured.err
        result: dict[str, Any] = json.loads(captured.out)
        return result

    return run


@pytest.fixture
def federation(tmp_path: Path, fedmrg: Fedmrg) -> Path:
    """Kits of a coordinator and two sites, enrolled by an authority of their own."""
    (tmp_path / "ward.yaml").write_text(CONFIG)
    fedmrg("provision", "init", "authority", "--federation", "ward-eu")
    for party in ("coordinator", *SITES):
        (tmp_path / party).mkdir()
        who = ["--host", "127.0.0.1"] if party == "coordinator" else ["--name", party]
        fedmrg(
            *("provision", "request", f"{party}/kit", "--federation", "ward-eu"),
            *("--institution", f"Institution {party}", "--authority", "authority/authority.pem"),
            *("--out", f"{party}.json", *who),
        )
    requests = [f"{party}.json" for party in ("coordinator", *SITES)]
    fedmrg("provision", "issue", "authority", *requests, "--out", "grants")
    for party in ("coordinator", *SITES):
        fedmrg("provision", "install", f"{party}/kit", f"grants/{party}.grant.json")
    return tmp_path


def test_a_session_is_pinned_once(federation: Path, fedmrg: Fedmrg) -> None:
    pin = ("session", "ward.yaml", "--kit", "coordinator/kit")
    assert fedmrg(*pin)["sites"] == list(SITES)
    assert fedmrg(*pin, code=2)["error"]["code"] == "FMRG-1203"


def test_a_session_is_for_enrolled_sites_only(federation: Path, fedmrg: Fedmrg) -> None:
    pin = ("session", "ward.yaml", "--kit", "coordinator/kit")
    error = fedmrg(*pin, "--set", "federation.sites=[a, b, c]", code=2)["error"]
    assert (error["code"], error["location"]) == ("FMRG-6004", "--set federation.sites")
    assert not (federation / "session.json").exists()


def test_weights_are_given_for_every_site_or_for_none(federation: Path, fedmrg: Fedmrg) -> None:
    pin = ("session", "ward.yaml", "--kit", "coordinator/kit")
    one, other = ("--weight", f"{SITES[0]}=7"), ("--weight", f"{SITES[1]}=9")
    assert fedmrg(*pin, *one, *other, code=2)["error"]["code"] == "FMRG-6004"
    pin = (*pin, "--set", "update.weighting=records")
    assert fedmrg(*pin, code=2)["error"]["code"] == "FMRG-6004"
    assert fedmrg(*pin, *one, code=2)["error"]["code"] == "FMRG-6004"
    assert fedmrg(*pin, *one, "--weight", f"{SITES[1]}=x", code=2)["error"]["code"] == "FMRG-1202"
    fedmrg(*pin, *one, *other)
    weights = json.loads((federation / "session.json").read_text())["weights"]
    assert weights == {SITES[0]: 7, SITES[1]: 9}


@pytest.mark.slow
def test_sites_and_coordinator_train_together_from_their_own_folders(
    federation: Path, fedmrg: Fedmrg
) -> None:
    fedmrg(
        *("session", "ward.yaml", "--kit", "coordinator/kit", "--out", "coordinator/session.json"),
    )
    (federation / SITES[0] / "config.yaml").write_text(CONFIG)
    (federation / SITES[1] / "config.yaml").write_text(CONFIG)
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=federation,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        processes.append(process)
        return process

    try:
        coordinator = start("coordinator", "serve", "coordinator")
        assert coordinator.stdout is not None
        port = json.loads(coordinator.stdout.readline())["port"]
        sites = [
            start("client", "run", name, "--coordinator", f"127.0.0.1:{port}") for name in SITES
        ]
        for process in (*sites, coordinator):
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
            process.wait()
    states = [sorted((federation / name / "state").glob("round-*.safetensors")) for name in SITES]
    assert [path.name for path in states[0]] == [path.name for path in states[1]]
    assert states[0][-1].read_bytes() == states[1][-1].read_bytes()
    assert states[0][-1].read_bytes() != states[0][0].read_bytes()
