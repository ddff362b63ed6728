"""``benchmark.json`` as `fedmrg bench model` writes it, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.reports.result_files import Part, read_result

FILE = "benchmark.json"
Role = Literal["participating", "unseen"]


class NotABenchmark(InputError):
    """The folder holds no finished benchmark."""

    code: ClassVar[str] = "FMRG-6511"


class Row(Part):
    """A figure of one method at one centre, ``all`` (their mean) or ``pooled``."""

    method: str
    table: Literal["adaptability", "generalizability"]
    centre: str
    metric: str
    mean: float
    std: float
    seeds: int
    p_value_vs_fedavg: float | None


class Method(Part):
    """How a method was run and what it cost."""

    name: str
    summary: str
    scope: Literal["federated", "local", "central"]
    definition: dict[str, str | int | float | bool]
    tuned: dict[str, str | int | float | bool]
    factorization: str
    rank: int
    rounds: int
    uplink_bytes: int
    wall_s: tuple[float, ...]


class CentreInfo(Part):
    """A centre that was judged."""

    name: str
    title: str
    role: Role
    records: int


class Sent(Part):
    """What a site sends in a round under one way of sending."""

    name: str
    computed: bool
    passes: int
    values: int
    bytes: int
    share: float


class Reaching(Part):
    """When a method's curve reaches the reference's last point; `computed`: it was not run."""

    method: str
    computed: bool
    role: Role
    metric: str
    target: float
    round: int | None
    uplink_bytes: int | None


class Point(Part):
    """One point of one seed's curve."""

    round: int
    uplink_bytes: int
    participating: dict[str, float] = Field(default_factory=dict)
    unseen: dict[str, float] = Field(default_factory=dict)


class Sample(Part):
    """A test record and what methods wrote for it."""

    centre: str
    title: str
    role: Role
    record: str
    reference: str
    written: dict[str, str]


class Benchmark(Part):
    """The whole file."""

    format: Literal[1]
    task: str
    split: str
    commands: tuple[str, ...]
    versions: dict[str, str]
    seeds: tuple[int, ...]
    resamples: int
    reference: str | None
    synthetic: bool
    training_records: dict[str, int]
    centres: tuple[CentreInfo, ...]
    methods: tuple[Method, ...]
    rows: tuple[Row, ...]
    communication: tuple[Sent, ...]
    reaching: tuple[Reaching, ...]
    curves: dict[str, tuple[tuple[Point, ...], ...]]
    samples: tuple[Sample, ...]


def read_benchmark(root: Path) -> Benchmark:
    """The benchmark in a folder.

    Raises:
        NotABenchmark: there is no ``benchmark.json``.
        RunFileInvalid: it is not of the form that the program writes.
    """
    path = root / FILE
    if not path.is_file():
        raise NotABenchmark(
            f"{root} holds no {FILE}", hint="`fedmrg bench model --out` writes one when it is done"
        )
    return read_result(path, Benchmark, written_by="fedmrg bench model")
