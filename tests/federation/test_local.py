"""Whole federations of real processes, as `fedmrg run` starts them."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from safetensors.numpy import load_file

from fedmrg_secure.audit_log.verify import verify_run
from tests.federation.runs import (
    PLAINTEXT,
    SHARED,
    Run,
    assert_is_simulated,
    await_value,
    site_states,
    start,
    stop,
    write_config,
)


@pytest.fixture(
    scope="module",
    params=["ckks-multiparty", pytest.param("ckks-shared", marks=pytest.mark.slow)],
)
def encrypted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """A finished two-round run, and what the coordinator's process had loaded."""
    folder = tmp_path_factory.mktemp("encrypted")
    changes = {"secure_aggregation": SHARED} if request.param == "ckks-shared" else {}
    run = start(write_config(folder, **changes), folder / "run")
    try:
        coordinator = run.child("coordinator", "serve")
        await_value(lambda: True if (folder / "run/metrics.jsonl").exists() else None)
        maps = {Path(entry.path).name for entry in coordinator.memory_maps()}
        (folder / "maps.json").write_text(json.dumps(sorted(maps)))
        assert run.wait() == 0, run.text
        yield run
    finally:
        stop(run)


def test_a_run_ends_with_everything_in_its_folder(encrypted: Run) -> None:
    folder = encrypted.folder
    assert encrypted.manifest()["status"] == "finished"
    for name in ("config.yaml", "metrics.jsonl", "summary.json", "report.html"):
        assert (folder / name).stat().st_size > 0
    assert (folder / "adapters/generic/adapter_model.safetensors").exists()
    for site in encrypted.summary()["sites"]:
        own = folder / "sites" / site
        assert (own / "adapters/specialized/adapter_model.safetensors").exists()
        assert "specialized.mix" in load_file(own / "state/private.safetensors")
        assert not (own / "state/update.safetensors").exists()
    summary = encrypted.summary()
    assert summary["rounds"] == 2
    assert len(summary["sites"]) == 4
    assert len(summary["unseen"]) == 2
    assert set(summary["final"]) == {*summary["sites"], *summary["unseen"]}
    assert summary["communication"]["bytes_up_per_round_per_site"] > 0
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    trained = {(row["round"], row["site"]) for row in rows if row["kind"] == "round"}
    assert trained == {(number, site) for number in (1, 2) for site in summary["sites"]}


def test_a_run_that_was_stopped_while_it_was_judged_goes_on_without_training(
    encrypted: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(encrypted.folder, folder)
    (folder / "summary.json").unlink()
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    again = start(folder / "config.yaml", folder, "--resume")
    try:
        assert again.wait() == 0, again.text
    finally:
        stop(again)
    assert "serving on port" not in again.text
    assert again.manifest()["status"] == "finished"
    kept = ("final", "mean", "communication", "log")
    before, after = encrypted.summary(), again.summary()
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_every_site_has_the_same_model_after_every_round(encrypted: Run) -> None:
    states: dict[int, set[bytes]] = {}
    for _site, number, content in site_states(encrypted.folder):
        states.setdefault(number, set()).add(content)
    assert sorted(states) == [0, 1, 2]
    assert all(len(contents) == 1 for contents in states.values())
    assert states[1] != states[2]


def test_the_coordinator_loads_nothing_that_could_open_or_train(encrypted: Run) -> None:
    maps = json.loads((encrypted.folder.parent / "maps.json").read_text())
    assert any("cygrpc" in name for name in maps), "the process looked at is not the coordinator"
    assert not [name for name in maps if "torch" in name or "sealapi" in name or "tenseal" in name]


def test_nothing_at_the_coordinator_opens_an_update(encrypted: Run) -> None:
    coordinator = encrypted.folder / "coordinator"
    files = [path for path in coordinator.rglob("*") if path.is_file()]
    keys = {path.name for path in files if path.suffix == ".key"}
    assert keys == {"tls.key", "signing.key"}, "its own identity, and nothing to unseal with"
    content = b"".join(path.read_bytes() for path in files)
    for tag in (b"FMRGCKKS", b"FMRGMPK", b"FMRGSHR", b"FMRGMPS"):
        assert tag not in content, "a key, or a share of one, lies at the coordinator"
    secrets = list(encrypted.folder.glob("sites/*/kit/*.key"))
    assert len(secrets) == 4 * 3
    for path in secrets:
        assert path.read_bytes() not in content, f"{path.name} of a site lies at the coordinator"


def test_no_process_and_no_session_key_is_left_behind(encrypted: Run) -> None:
    left = []
    for process in psutil.process_iter(["cmdline"]):
        if str(encrypted.folder) in " ".join(process.info["cmdline"] or ()):
            left.append(process)
    assert not left
    assert not list(encrypted.folder.glob("sites/*/state/keys/*"))


def test_all_logs_verify_and_agree(encrypted: Run) -> None:
    logs = {log.party: log for log in verify_run(encrypted.folder)}
    assert len(logs) == 5
    assert all(log.size > 5 for log in logs.values())


def test_no_private_key_is_anywhere_but_in_its_kit(encrypted: Run) -> None:
    secrets = {}
    for path in encrypted.folder.rglob("kit/*.key"):
        key: Any = load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            secrets[path] = key.private_numbers().private_value.to_bytes(32, "big")
        else:
            secrets[path] = key.private_bytes_raw()
    assert len(secrets) == 14  # coordinator: TLS, signing; four sites: sealing too
    for path in encrypted.folder.rglob("*"):
        if not path.is_file() or path in secrets:
            continue
        content = path.read_bytes()
        assert b"PRIVATE KEY" not in content, path
        for secret in secrets.values():
            for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:42]):
                assert form not in content, path


@pytest.mark.slow
def test_plaintext_ends_with_the_same_bits_and_metrics(encrypted: Run, tmp_path: Path) -> None:
    run = start(write_config(tmp_path, secure_aggregation=PLAINTEXT), tmp_path / "run")
    try:
        assert run.wait() == 0, run.text
    finally:
        stop(run)
    newest = "state/round-0002.safetensors"
    for path in encrypted.folder.glob(f"sites/*/{newest}"):
        twin = load_file(run.folder / path.relative_to(encrypted.folder))
        for name, values in load_file(path).items():
            np.testing.assert_array_equal(values, twin[name], err_msg=name)
    assert run.summary()["final"] == encrypted.summary()["final"]


def test_a_killed_coordinator_goes_on_and_a_killed_site_is_dropped(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        training={"rounds": 3, "local_steps": 8},
        federation={"min_sites": 3, "site_timeout_s": 4},
    )
    run = start(config, tmp_path / "run")
    try:
        sites = run.folder / "sites"
        await_value(lambda: True if list(sites.glob("*/state/outgoing/*.frame")) else None)
        run.child("coordinator", "serve").send_signal(signal.SIGKILL)
        await_value(lambda: True if list(sites.glob("*/state/round-0001.json")) else None)
        victim = sorted(path.name for path in sites.iterdir())[1]
        run.child("client", f"sites/{victim}").send_signal(signal.SIGKILL)
        assert run.wait() == 0, run.text
    finally:
        stop(run)
    assert "is started again" in run.text
    assert f"{victim} has stopped (killed by SIGKILL)" in run.text
    assert run.manifest()["status"] == "finished"
    reached = {site: number for site, number, _ in site_states(run.folder)}
    assert reached.pop(victim) < 3
    assert set(reached.values()) == {3}
    verify_run(run.folder)


def test_too_few_sites_end_the_run_with_a_clear_error(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        training={"rounds": 50},
        federation={"min_sites": 4, "site_timeout_s": 3},
    )
    run = start(config, tmp_path / "run")
    try:
        sites = run.folder / "sites"
        await_value(lambda: True if list(sites.glob("*/state/round-0001.json")) else None)
        victim = sorted(path.name for path in sites.iterdir())[0]
        run.child("client", f"sites/{victim}").send_signal(signal.SIGKILL)
        assert run.wait() == 1, run.text
    finally:
        stop(run)
    assert "FMRG-6311" in run.text
    assert "4 are needed" in run.text
    assert "Traceback" not in run.text
    assert run.manifest()["status"] == "failed"
    assert (run.folder / "report.html").exists()
    verify_run(run.folder)


@pytest.mark.slow
def test_a_run_that_lost_too_many_sites_can_be_resumed(tmp_path: Path) -> None:
    config = write_config(tmp_path, training={"rounds": 3}, federation={"min_sites": 4})
    run = start(config, tmp_path / "run")
    try:
        sites = run.folder / "sites"
        await_value(lambda: True if list(sites.glob("*/state/round-0001.json")) else None)
        run.child("client", "sites/").send_signal(signal.SIGKILL)
        assert run.wait() == 1, run.text
    finally:
        stop(run)
    again = start(config, run.folder, "--resume")
    try:
        assert again.wait() == 0, again.text
    finally:
        stop(again)
    assert {number for _, number, _ in site_states(run.folder)} == {0, 1, 2, 3}
    verify_run(run.folder)


def test_ctrl_c_stops_everything_and_resume_finishes(tmp_path: Path) -> None:
    config = write_config(tmp_path, training={"rounds": 3, "local_steps": 6})
    run = start(config, tmp_path / "run")
    try:
        states = run.folder / "sites"
        await_value(lambda: True if list(states.glob("*/state/round-0001.json")) else None)
        children = run.children()
        run.process.send_signal(signal.SIGINT)
        assert run.wait(60) == 130, run.text
        assert "--resume" in run.text
        assert run.manifest()["status"] == "interrupted"
        assert not [child for child in children if child.is_running()]

        again = start(config, run.folder, "--resume")
        try:
            assert again.wait() == 0, again.text
        finally:
            stop(again)
    finally:
        stop(run)
    reached = {site: number for site, number, _ in site_states(run.folder)}
    assert set(reached.values()) == {3}
    verify_run(run.folder)


def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    run = start(write_config(tmp_path, training={"rounds": 50}), tmp_path / "run")
    try:
        await_value(lambda: True if len(run.children()) >= 6 else None)
        children = run.children()
        run.process.kill()
        run.process.wait()
        deadline = time.monotonic() + 60
        while [child for child in children if child.is_running()]:
            assert time.monotonic() < deadline, "a child outlived its parent"
            time.sleep(0.2)
    finally:
        stop(run)


def test_the_simulation_is_the_run(encrypted: Run) -> None:
    assert_is_simulated(encrypted.folder)
