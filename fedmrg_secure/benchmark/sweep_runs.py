"""The runs of a sweep: where each lies, how far it is, and doing one as ``fedmrg run`` does it.

A run is a whole federation in a folder of its own. Beside the folder lie the configuration that it
was started with (``.yaml``), what is known of it (``.json``), and a lock that is held for as long
as any process works on it, so that a sweep that is killed and started again waits for the end of
what it had started.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from fedmrg_secure.benchmark.children import Children, End
from fedmrg_secure.benchmark.jobs import content_digest, write_json
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.yaml_source import dump_run_config

State = Literal["new", "begun", "done", "changed"]
"""``changed``: there is a run, of another configuration or program version."""

STOPPED: Final = "it was stopped"
"""The error of a run that was ended with its sweep."""
STOP_PATIENCE_S: Final = 45.0
_LOCK_PATIENCE_S: Final = 90.0
_TAG: Final = "fedmrg/sweep-run/v1"
_PROGRAM: Final = ("-m", "fedmrg_secure.cli.main")
_SUPERVISED: Final = {"FEDMRG_SUPERVISED": "1"}
_ROUND: Final = re.compile(r"round (\d+)/(\d+)")
_STAMP: Final = re.compile(r"^\[ *[\d.]+ s\] ")
_ERRORS: Final = re.compile(r"^(\S+  )?FMRG-\d{4}  .*", re.MULTILINE | re.DOTALL)
_TRAINING_SHARE: Final = 0.9


class RunBusy(FedmrgError):
    """Another process works on this run of a sweep."""

    code: ClassVar[str] = "FMRG-8223"


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run.

    Attributes:
        point: name of its point.
        config: of the run; its name and seed are the run's own.
        folder: of the run.
    """

    point: str
    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def digest(self) -> str:
        """Hex hash of all that decides what comes out."""
        return content_digest(_TAG, {"config": self.config.model_dump(mode="json")})

    @property
    def config_file(self) -> Path:
        return self._beside("yaml")

    @property
    def record_file(self) -> Path:
        return self._beside("json")

    @property
    def lock_file(self) -> Path:
        return self._beside("lock")

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the program, to begin this run."""
        return ("run", str(self.config_file), "--out", str(self.folder))

    @property
    def command(self) -> str:
        """What a person types to make this run alone."""
        return shlex.join(["fedmrg", *self.arguments])

    @property
    def can_go_on(self) -> bool:
        """Whether a half run is still the run that was asked for when it goes on.

        A private training that was cut short is charged, and so is the one in its place: where the
        ledger is the run's own, beginning anew keeps the epsilon that the point is to have.
        """
        private = self.config.privacy
        return private is None or private.ledgers is not None

    def _beside(self, ending: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{ending}")


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a run that was started.

    Attributes:
        digest: of the run as it was started.
        config: the same, as JSON.
        attempts: how often it was started since it was begun anew: above 1, its own clock has not
            seen all of it.
        error: why it failed, or empty.
    """

    digest: str
    config: Mapping[str, Any]
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on a run ended; `error` is empty unless it failed."""

    name: str
    error: str


def read_record(run: SweepRun) -> Record | None:
    """What is known of the run; None where it was never started, or the record is torn."""
    try:
        content = json.loads(run.record_file.read_text(encoding="utf-8"))
        return Record(
            str(content["digest"]),
            dict(content["config"]),
            int(content["attempts"]),
            str(content["error"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def state_of(run: SweepRun) -> State:
    """How far a run is."""
    record = read_record(run)
    if record is None:
        return "new"
    if record.digest != run.digest:
        return "changed" if run.folder.exists() else "new"
    return "done" if _is_finished(run.folder) else "begun"


def differences(run: SweepRun) -> list[str]:
    """What a run in the folder was made with otherwise, such as ``training.rounds was 8, is 4``."""
    record = read_record(run)
    before = dict(_flat(record.config)) if record else {}
    after = dict(_flat(run.config.model_dump(mode="json")))
    return [
        f"{key} was {before.get(key)}, is {after.get(key)}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]


def perform(
    run: SweepRun, *, replace: bool, children: Children, on_line: Callable[[float, str], None]
) -> Outcome:
    """Bring a run to its end, from wherever it is.

    Args:
        run: which.
        replace: begin anew what is begun or changed; its folder is removed.
        children: starts the run's process.
        on_line: told the share that is done and what the run says.

    Returns:
        How it ended; a failure is no exception, since the other runs go on.
    """
    try:
        with _locked(run) as lock:
            return _perform(run, replace, children, on_line, lock)
    except FedmrgError as error:
        return Outcome(run.name, error.explain())


def _perform(
    run: SweepRun,
    replace: bool,
    children: Children,
    on_line: Callable[[float, str], None],
    lock: int,
) -> Outcome:
    state, record = state_of(run), read_record(run)
    if state == "done":
        return _report(run, children, lock)
    manifest = run.folder / "run.json"
    resume = state == "begun" and manifest.exists() and run.can_go_on and not replace
    if record is not None and not resume:
        shutil.rmtree(run.folder, ignore_errors=True)
    attempts = record.attempts + 1 if record is not None and resume else 1
    config = run.config.model_dump(mode="json")
    known = {"digest": run.digest, "config": config, "attempts": attempts, "error": ""}
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    run.config_file.write_text(dump_run_config(run.config), encoding="utf-8")
    write_json(run.record_file, known)

    share = 0.0

    def tell(line: str) -> None:
        nonlocal share
        if found := _ROUND.search(line):
            share = max(share, _TRAINING_SHARE * int(found[1]) / int(found[2]))
        on_line(min(share, _TRAINING_SHARE), _STAMP.sub("", line))

    end = children.run(
        [*_PROGRAM, *run.arguments, *(["--resume"] if resume else [])],
        tell,
        environment=_SUPERVISED,
        keep_open=(lock,),
    )
    error = ""
    if end.code != 0 or not _is_finished(run.folder):
        error = STOPPED if end.stopped else _reason(end)
    write_json(run.record_file, {**known, "error": error})
    return Outcome(run.name, error)


def _report(run: SweepRun, children: Children, lock: int) -> Outcome:
    """A finished run has its page too, which is what a sweep's page links to."""
    if (run.folder / "report.html").exists():
        return Outcome(run.name, "")
    end = children.run(
        [*_PROGRAM, "report", str(run.folder)],
        lambda _: None,
        environment=_SUPERVISED,
        keep_open=(lock,),
    )
    return Outcome(run.name, _reason(end) if end.code else "")


def _reason(end: End) -> str:
    """What a program that failed said: its errors, which come last, else its last line."""
    if found := _ERRORS.search(end.said):
        return found[0]
    said = f": {end.said.splitlines()[-1]}" if end.said else ""
    return f"it ended with exit code {end.code}{said}"


@contextmanager
def _locked(run: SweepRun) -> Iterator[int]:
    """Hold the run's lock; a child that inherits the descriptor holds it on.

    Raises:
        RunBusy: another process has held it for longer than a run takes to stop.
    """
    run.lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunBusy(
                        f"another process works on {run.folder}",
                        hint="wait for its end, or choose another --out",
                    ) from None
                time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_finished(folder: Path) -> bool:
    """Whether the run is over and judged: its summary is written last of all."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("status") == "finished"


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, each in value.items():
        if isinstance(each, Mapping) and each:
            yield from _flat(each, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", each
