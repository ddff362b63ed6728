"""The coordinator as a real process: killed anywhere, full disk, busy port, orderly stop."""

import json
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fedmrg_secure.audit_log.recompute import verify_log
from fedmrg_secure.crypto.frame import AGGREGATE
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.protocol.phases import SessionPhase
from tests.coordinator.drills import (
    SITES,
    DrillSite,
    Federation,
    make_federation,
    run_all,
)

FORBIDDEN = ("libtorch", "_sealapi", "tenseal", "transformers", "peft", "opacus")


class Process:
    """`fedmrg coordinator serve` and the lines it prints."""

    def __init__(self, federation: Federation, **limits: Any) -> None:
        command = [sys.executable, "-m", "fedmrg_secure.cli.main", "coordinator", "serve"]
        self.process = subprocess.Popen(
            [*command, str(federation.coordinator), "--port", str(federation.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **limits,
        )
        assert self.process.stdout is not None
        self.lines: list[dict[str, Any]] = []
        first = self.process.stdout.readline()
        if not first:
            return
        self.lines.append(json.loads(first))
        federation.port = self.lines[0]["port"]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self, seconds: float = 20) -> tuple[int, str]:
        """Exit code and stderr."""
        code = self.process.wait(seconds)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def sites_at_work(federation: Federation) -> Iterator[tuple[list[DrillSite], dict[str, Any]]]:
    """Three sites in threads; results are complete after the block."""
    sites = [DrillSite(federation, name, 10**place) for place, name in enumerate(SITES)]
    results: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: results.update(run_all(sites)), daemon=True)
    thread.start()
    try:
        yield sites, results
        thread.join(30)
    finally:
        for site in sites:
            site.stop.set()


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never came to pass"
        time.sleep(0.002)


def chunks_of(federation: Federation, *parties: str) -> int:
    """How many chunks of these parties the database knows of."""
    database = federation.coordinator / "coordinator.db"
    marks = ",".join("?" * len(parties))
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        query = f"SELECT count(*) FROM chunk WHERE party IN ({marks})"
        return int(connection.execute(query, parties).fetchone()[0])


def assert_log_is_whole(federation: Federation) -> list[str]:
    log = verify_log(
        federation.coordinator / "log",
        "coordinator",
        "fedmrg/drill/coordinator",
        federation.kits["alpha"].roster.public_keys["coordinator"],
    )
    return [str(event["type"]) for event in log.events]


def test_killed_in_upload_and_in_adding_it_finishes_with_the_exact_sum(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, rounds=2, values=80_000)
    process = Process(federation)
    with sites_at_work(federation) as (sites, results):
        until(lambda: chunks_of(federation, *SITES) > 20)
        process.kill()
        stored = chunks_of(federation, *SITES)
        assert stored < 3 * 40, "killed too late to show anything"
        process = Process(federation)
        assert chunks_of(federation, *SITES) >= stored
        until(lambda: chunks_of(federation, AGGREGATE) > 5)
        process.kill()
        assert chunks_of(federation, AGGREGATE) < 40, "killed too late to show anything"
        process = Process(federation)
    assert set(results.values()) == {SessionPhase.FINISHED}
    assert process.end()[0] == 0
    assert all(np.array_equal(site.state, np.full(80_000, 222)) for site in sites)
    kinds = assert_log_is_whole(federation)
    assert kinds.count("upload.received") == 6
    assert kinds.count("round.closed") == 2
    assert kinds.count("process.started") == 3


def test_it_loads_nothing_that_could_open_an_update_and_keeps_no_key(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, rounds=1)
    process = Process(federation)
    with sites_at_work(federation):
        until(lambda: any(line.get("phase") == "AGGREGATED" for line in process.lines))
        mapped = Path(f"/proc/{process.process.pid}/maps").read_text(encoding="utf-8")
    assert process.end()[0] == 0
    assert not [name for name in FORBIDDEN if name in mapped]
    kept = {path.name for path in federation.coordinator.rglob("*") if path.is_file()}
    kept = {name for name in kept if not re.fullmatch(r"[0-9a-f]{64}", name)}
    assert kept == {
        *("kit.json", "authority.pem", "chain.pem", "tls.key", "signing.key", "roster.json"),
        *("session.json", "coordinator.db", "coordinator.lock"),
        *("entries.jsonl", "checkpoints.jsonl", "checkpoint", "lock"),
    }


def test_importing_the_coordinator_imports_no_torch_and_no_tenseal() -> None:
    program = (
        "import sys, fedmrg_secure.coordinator.serve, fedmrg_secure.cli.main;"
        "print([m for m in ('torch', 'tenseal', 'transformers', 'peft', 'opacus') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_full_disk_is_told_and_the_upload_goes_through_once_there_is_room(
    tmp_path: Path,
) -> None:
    wide = SchemeParameters.for_config("insecure-plaintext", sites=3, max_abs_value=1 << 40)
    federation = make_federation(tmp_path, rounds=1, values=300_000, parameters=wide)
    process = Process(federation)
    hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)[1]
    # No file may grow beyond 600 KiB: the database stays below, a frame of 700 kB does not.
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (600 << 10, hard))
    with sites_at_work(federation) as (sites, results):
        until(lambda: any(line.get("phase") == "UPLOADING" for line in process.lines))
        with federation.client("alpha", patience_s=0.5) as client:
            client.get_status()
            time.sleep(0.7)
            assert client.upload_status(1).stored == ()
        assert not list((federation.coordinator / "blobs").glob("??/*"))
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert set(results.values()) == {SessionPhase.FINISHED}
    assert process.end()[0] == 0
    assert set(sites[0].state) == {111}


def test_a_busy_port_is_a_clear_error(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        federation.port = other.getsockname()[1]
        code, error = Process(federation).end()
    assert code == 1
    assert "FMRG-8501" in error
    assert f"127.0.0.1:{federation.port}" in error
    assert "choose another port" in error


def test_one_coordinator_a_folder_and_an_orderly_stop(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    first = Process(federation)
    federation.port = 0
    code, error = Process(federation).end()
    assert (code, "FMRG-8502" in error) == (1, True), error
    first.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    first.process.send_signal(signal.SIGTERM)
    code, error = first.end()
    assert code == 0
    assert error.splitlines() == [
        "FMRG-5103  roster epoch 1 of drill does not follow epoch 1 of drill"
    ], "a hangup without a newer roster is told and changes nothing"
    assert first.lines[-1] == {"event": "stopped"}
    assert assert_log_is_whole(federation) == ["session.created", "process.started"]


def test_a_failed_session_exits_with_1_and_the_reason(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, join_deadline_ms=100)
    code, error = Process(federation).end()
    assert code == 1
    assert "FMRG-5102" in error
    assert "absent: alpha, beta, gamma" in error


def test_an_absent_manifest_is_wrong_input(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    (federation.coordinator / "session.json").unlink()
    code, error = Process(federation).end()
    assert code == 2
    assert "session.json  FMRG-5020" in error
