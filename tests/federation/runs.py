"""Real federations for tests: `fedmrg run` as a user starts it, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import yaml
from safetensors.numpy import load_file

from fedmrg_secure.benchmark.simulate import simulate_federation
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.federation.plan import make_plan

T = TypeVar("T")

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 5,
    "data": {
        "source": "phantom",
        "image_size": 32,
        "patients_per_centre": 12,
        "patients_per_unseen_centre": 4,
    },
    "model": {"max_report_tokens": 48},
    "training": {"rounds": 2, "local_steps": 2, "batch_size": 4},
    # At 30 bits on the wire and this grid opened sums are exact: runs can be compared to the bit.
    "update": {"precision_bits": 18},
    "secure_aggregation": {"scheme": "ckks-multiparty", "wire_bits": 30},
    "federation": {"min_sites": 3, "site_timeout_s": 8},
    "evaluation": {
        "every": 2,
        "records_per_centre": 2,
        "final_records_per_centre": 2,
        "samples_per_centre": 1,
    },
}


def write_config(folder: Path, **sections: dict[str, Any]) -> Path:
    """`SMALL` with some sections' keys changed, as a file."""
    content = {**SMALL}
    for name, changes in sections.items():
        content[name] = {**content.get(name, {}), **changes}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


SHARED = {"scheme": "ckks-shared", "acknowledge_collusion_risk": True}
PLAINTEXT = {
    "scheme": "insecure-plaintext",
    "acknowledge_plaintext": True,
}


@dataclass
class Run:
    """A started ``fedmrg run``; its processes can be found, killed and waited for."""

    process: subprocess.Popen[str]
    folder: Path
    lines: list[str] = field(default_factory=list)

    def wait(self, timeout_s: float = 240) -> int:
        """The exit status; all output is in `lines` then."""
        output, _ = self.process.communicate(timeout=timeout_s)
        self.lines = output.splitlines()
        return self.process.returncode

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.Error:
            return []

    def child(self, *words: str, timeout_s: float = 60) -> psutil.Process:
        """The child whose command line holds all of `words`."""

        def find() -> psutil.Process | None:
            for process in self.children():
                try:
                    line = " ".join(process.cmdline())
                except psutil.Error:
                    continue
                if all(word in line for word in words):
                    return process
            return None

        return await_value(find, timeout_s)

    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return content

    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return content


def start(config: Path, folder: Path, *options: str) -> Run:
    """Start ``fedmrg run CONFIG --out FOLDER``."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "fedmrg_secure.cli.main", "run", str(config)),
            *("--out", str(folder), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return Run(process, folder)


def await_value(find: Callable[[], T | None], timeout_s: float = 90) -> T:
    """What `find` gives once it gives something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = find()
        if value is not None:
            return value
        time.sleep(0.02)
    raise TimeoutError("what the test waits for did not happen")


@dataclass(frozen=True)
class SentUpdate:
    """An encrypted update as it lay at its site, complete and about to be sent.

    Attributes:
        site: party name.
        frames: in chunk order.
        private: the file with the update and the site's own memory after training.
    """

    site: str
    frames: list[bytes]
    private: bytes


@contextmanager
def sent_updates(folder: Path) -> Iterator[list[SentUpdate]]:
    """What sites send while the run in `folder` goes on: every update that is seen in time."""
    found: dict[tuple[str, str], SentUpdate] = {}
    seen: list[SentUpdate] = []
    ended = threading.Event()

    def look() -> None:
        for path in folder.glob("sites/*/state/outgoing/upload.json"):
            site = path.parts[-4]
            try:
                content = json.loads(path.read_text())
                key = (site, content["plan_hash"])
                if key in found:
                    continue
                count = len(content["chunk_hashes"])
                frames = [
                    (path.parent / f"{index:06d}.frame").read_bytes() for index in range(count)
                ]
                private = (path.parents[1] / "update.safetensors").read_bytes()
            except (OSError, ValueError):
                continue  # sent and removed meanwhile
            found[key] = SentUpdate(site, frames, private)
            seen.append(found[key])

    def watch() -> None:
        while not ended.wait(0.01):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def process_log(run: Run, name: str) -> str:
    path = run.folder / "process-logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def stop(run: Run) -> None:
    """End a run that a failed test left behind, with all its processes."""
    for process in [*run.children()]:
        process.send_signal(signal.SIGKILL)
    run.process.kill()
    run.process.wait()


def assert_is_simulated(folder: Path) -> None:
    """What every site of a finished run ended with is the oracle's, to the last bit.

    Both what is public and what is the site's own, with the weight of path B that it has chosen.
    """
    config = load_run_config(folder / "config.yaml")
    plan = make_plan(config)
    centres = {site: load_centre(config.data, site) for site in plan.sites}
    oracle = simulate_federation(
        plan.generator,
        {site: centre.train for site, centre in centres.items()},
        config,
        validation={site: centre.validation for site, centre in centres.items()},
    )
    newest = f"round-{plan.protocol_rounds:04d}.safetensors"
    for site in plan.sites:
        state = folder / "sites" / site / "state"
        _assert_equal(load_file(state / newest), oracle.state)
        _assert_equal(load_file(state / "private.safetensors"), oracle.memories[site])


def _assert_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def site_states(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    """(site, round, bytes) of every shared state in a run's folder."""
    for path in sorted(folder.glob("sites/*/state/round-*.safetensors")):
        yield path.parts[-3], int(path.stem.removeprefix("round-")), path.read_bytes()
