"""One job of the benchmark: a method under one seed, and the file that its result is kept in.

A result holds everything that tables and tests of significance need: which records were judged,
what was written for each, with which probabilities, and what it cost. So a benchmark is its folder
of results: it can be interrupted at any time, goes on where it was, and a table can be made anew
without training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.methods import METHODS, Method
from fedmrg_secure.benchmark.tasks import BenchmarkTask
from fedmrg_secure.core.canonical import hash_json
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError

Split = Literal["validation", "test"]
FORMAT: Final = 1
_TAG: Final = "fedmrg/benchmark-job/v1"


class ResultUnreadable(FedmrgError):
    """A result file of a benchmark is not what a job writes."""

    code: ClassVar[str] = "FMRG-8213"


@dataclass(frozen=True, slots=True)
class Job:
    """What one process does.

    Attributes:
        task: name of the task.
        method: name of the method.
        config: of the run; its seed is the job's.
        split: which records are judged.
        curve_every: training rounds between two points of the score curve; 0: no curve.
    """

    task: str
    method: str
    config: RunConfig
    split: Split
    curve_every: int

    @property
    def scope(self) -> str:
        return METHODS[self.method].scope

    @property
    def name(self) -> str:
        """Of its result file and in progress lines."""
        return f"{self.method}-seed{self.config.seed}"

    @property
    def digest(self) -> str:
        """Hex hash of all that decides the result, and of the method's name."""
        return content_digest(_TAG, self.to_json())

    @property
    def training(self) -> str:
        """Hex hash of all that decides the result: of jobs that are equal in it one is run.

        Two methods whose configurations come to the same, such as `fedmrg` and `rank-8`, are.
        """
        return content_digest(_TAG, self.to_json() | {"method": self.scope})

    def to_json(self) -> dict[str, Any]:
        """All fields, the configuration with its defaults."""
        return {
            "task": self.task,
            "method": self.method,
            "config": self.config.model_dump(mode="json"),
            "split": self.split,
            "curve_every": self.curve_every,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        """The inverse of `to_json`."""
        config = RunConfig.model_validate_json(json.dumps(value["config"]), strict=True)
        return cls(
            value["task"], value["method"], config, value["split"], int(value["curve_every"])
        )


def content_digest(tag: str, content: Mapping[str, Any]) -> str:
    """Hex hash of what decides a result: JSON that may hold real numbers, and our version."""
    whole = {**content, "format": FORMAT, "version": __version__}
    # Real numbers have no place in hashed JSON; their text does.
    return hash_json(tag, json.dumps(whole, sort_keys=True)).hex()


@dataclass(frozen=True, slots=True)
class Written:
    """What one model wrote at a centre.

    Attributes:
        model: the site whose own model it is; empty where there is one model for all.
        reports: generated, one a record.
        metrics: each in [0, 1].
    """

    model: str
    reports: tuple[str, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CentreResult:
    """A centre and what was written there.

    Attributes:
        name: party name.
        title: as people write it.
        role: ``participating`` or ``unseen``.
        records, patients: ids, in judging order.
        references: the records' own reports.
        written: by the models that a newcomer or the site itself would use: one, or, at an unseen
            centre after `local`, one of each site. A figure is the mean over them.
    """

    name: str
    title: str
    role: str
    records: tuple[str, ...]
    patients: tuple[str, ...]
    references: tuple[str, ...]
    written: tuple[Written, ...]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job leaves.

    Attributes:
        digest: of the job.
        task, method, seed, split: of the job.
        centres: participating ones first.
        pooled: role -> metrics of all its records as one set, mean over models.
        curve: points ``{"round", "uplink_bytes", "participating", "unseen"}``, metrics by role.
        mixes: site -> the weight of path B it has chosen; empty without such a path.
        training_records: of each site.
        rounds: training rounds.
        passes: encrypted sums a training round takes.
        values_sent: of one site in one training round.
        shared_values, total_values: of the model.
        uplink_bytes: of one site over the whole run, exact frames on the wire.
        train_s, wall_s: seconds of the training alone and of the whole job.
        config: of the run.
        versions: of the libraries.
    """

    digest: str
    task: str
    method: str
    seed: int
    split: str
    centres: tuple[CentreResult, ...]
    pooled: Mapping[str, Mapping[str, float]]
    curve: tuple[Mapping[str, Any], ...]
    mixes: Mapping[str, float]
    training_records: Mapping[str, int]
    rounds: int
    passes: int
    values_sent: int
    shared_values: int
    total_values: int
    uplink_bytes: int
    train_s: float
    wall_s: float
    config: Mapping[str, Any]
    versions: Mapping[str, str]


def make_jobs(
    task: BenchmarkTask,
    methods: Sequence[Method],
    *,
    seeds: int,
    sites: int,
    split: Split,
    curve_every: int,
) -> tuple[Job, ...]:
    """Every method under every seed; all methods of a seed before the next seed.

    Args:
        task: what they have in common; its own seed is the first one.
        methods: of `benchmark.methods`.
        seeds: how many.
        sites: how many sites train.
        split: which records are judged.
        curve_every: rounds between points of the score curve; 0: none.

    Raises:
        ErrorGroup: a method's configuration does not fit together.
    """
    return tuple(
        Job(task.name, method.name, task.config(method, seed, sites=sites), split, curve_every)
        for seed in range(task.base.seed, task.base.seed + seeds)
        for method in methods
    )


class ResultFolder:
    """The results of one benchmark.

    Args:
        root: the folder; ``jobs/`` in it holds one JSON file a job.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, job: Job) -> Path:
        return self.root / "jobs" / f"{job.name}.json"

    def read(self, job: Job) -> JobResult | None:
        """The result of exactly this job; None where there is none or another configuration's.

        Raises:
            ResultUnreadable: the file is broken.
        """
        path = self.path(job)
        if not path.exists():
            return None
        try:
            result = _from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise ResultUnreadable(
                f"this is no result of a benchmark job ({type(error).__name__})",
                hint="remove the file; the job then runs again",
                location=str(path),
            ) from None
        return result if result.digest == job.digest else None

    def write(self, job: Job, result: JobResult) -> None:
        """Keep a result: the file appears whole or not at all."""
        write_json(self.path(job), asdict(result))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON object atomically; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".part")
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _from_json(value: dict[str, Any]) -> JobResult:
    centres = tuple(
        CentreResult(
            **{
                **centre,
                "records": tuple(centre["records"]),
                "patients": tuple(centre["patients"]),
                "references": tuple(centre["references"]),
                "written": tuple(
                    Written(each["model"], tuple(each["reports"]), each["metrics"])
                    for each in centre["written"]
                ),
            }
        )
        for centre in value["centres"]
    )
    return JobResult(**{**value, "centres": centres, "curve": tuple(value["curve"])})
