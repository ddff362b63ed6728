"""The folder of one run: where things lie, and the few files that the runner itself writes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure import __version__
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.yaml_source import dump_run_config

_VERSIONED: Final = (
    "torch", "transformers", "peft", "tenseal", "cryptography", "grpcio", "numpy", "protobuf",
)  # fmt: skip


class RunFolderInUse(InputError):
    """The output folder already holds a run."""

    code: ClassVar[str] = "FMRG-6101"


class NothingToResume(InputError):
    """The folder holds no run that can go on."""

    code: ClassVar[str] = "FMRG-6102"


class ResumeMismatch(InputError):
    """The configuration differs from the one the run was started with."""

    code: ClassVar[str] = "FMRG-6103"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder.

    Attributes:
        root: the folder itself.
    """

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "run.json"

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def coordinator(self) -> Path:
        return self.root / "coordinator"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def process_logs(self) -> Path:
        return self.root / "process-logs"

    def site(self, name: str) -> Path:
        return self.root / "sites" / name

    def read_manifest(self) -> dict[str, Any]:
        """The content of ``run.json``.

        Raises:
            NothingToResume: there is no readable one.
        """
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise NothingToResume(
                f"{self.root} holds no readable run.json",
                hint="start the run without --resume",
            ) from error
        if not isinstance(content, dict):
            raise NothingToResume(f"{self.manifest} is not a JSON object")
        return content

    def update_manifest(self, **fields: Any) -> None:
        """Merge `fields` into ``run.json``, atomically."""
        content = self.read_manifest() if self.manifest.exists() else {}
        write_json(self.manifest, {**content, **fields})

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one row to ``metrics.jsonl`` in a single write, so that writers do not mix.

        A line that was torn by a kill is ended first, so that it does not take this row with it.
        """
        line = (json.dumps(row, sort_keys=True) + "\n").encode()
        with self.metrics.open("a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``; a torn last line is left out."""
        if not self.metrics.exists():
            return []
        rows = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def read_summary(self) -> dict[str, Any]:
        """The content of ``summary.json``; empty while there is none."""
        if not self.summary.exists():
            return {}
        content = json.loads(self.summary.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}

    def is_over(self) -> bool:
        """Whether nothing is left to do.

        A kill between the last round and the summary leaves a model that nobody has judged.

        Raises:
            NothingToResume: there is no readable ``run.json``.
        """
        content = self.read_manifest()
        judged = self.read_summary().get("status") == "finished"
        return content.get("status") == "finished" and (judged or "trained" not in content)


def create_run_folder(config: RunConfig, out: Path | None, *, command: str) -> RunFolder:
    """Make the folder of a new run: `out`, or the first free of ``runs/NAME``, ``runs/NAME-2``...

    Raises:
        RunFolderInUse: `out` exists and is not empty.
    """
    root = out if out is not None else _first_free(Path("runs"), config.name)
    if root.exists() and any(root.iterdir()):
        raise RunFolderInUse(
            f"{root} is not empty",
            hint="choose another --out, or go on with the run in it by --resume",
        )
    root.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(root)
    folder.config.write_text(dump_run_config(config), encoding="utf-8")
    folder.update_manifest(
        name=config.name,
        status="starting",
        version=__version__,
        command=command,
        started=now(),
        python=platform.python_version(),
        versions={name: metadata.version(name) for name in _VERSIONED},
    )
    return folder


def reopen_run_folder(config: RunConfig, out: Path | None) -> RunFolder:
    """The folder of an interrupted run: `out`, or the newest ``runs/NAME*`` that did not finish.

    Raises:
        NothingToResume: there is none, or it has finished.
        ResumeMismatch: the run was started with another configuration.
    """
    root = out if out is not None else _newest_unfinished(Path("runs"), config.name)
    folder = RunFolder(root)
    if folder.is_over():
        raise NothingToResume(
            f"the run in {root} has finished",
            hint=f"look at it: fedmrg report {root}",
        )
    if folder.config.read_text(encoding="utf-8") != dump_run_config(config):
        raise ResumeMismatch(
            f"the configuration differs from {folder.config}",
            hint=f"resume with the run's own: fedmrg run {folder.config} --out {root} --resume",
        )
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    scratch = path.with_name(path.name + ".part")
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def now() -> str:
    """The time as RFC 3339 UTC seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first_free(parent: Path, name: str) -> Path:
    candidate = parent / name
    number = 2
    while candidate.exists() and any(candidate.iterdir()):
        candidate = parent / f"{name}-{number}"
        number += 1
    return candidate


def _newest_unfinished(parent: Path, name: str) -> Path:
    found = []
    for manifest in parent.glob(f"{name}*/run.json"):
        content = RunFolder(manifest.parent).read_manifest()
        if content.get("name") == name and not RunFolder(manifest.parent).is_over():
            found.append(manifest)
    if not found:
        raise NothingToResume(
            f"no interrupted run of {name!r} under {parent}/",
            hint="start it without --resume, or name its folder with --out",
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent
