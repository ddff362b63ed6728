"""``benchmark.json`` as `fedmrg bench model` writes it, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.reports.fields import RunFileInvalid, read_text

FILE = "benchmark.json"
Role = Literal["participating", "unseen"]


class NotABenchmark(InputError):
    """The folder holds no finished benchmark."""

    code: ClassVar[str] = "FMRG-6511"


class _Part(BaseModel):
    """A part of the file; later versions may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Row(_Part):
    """A figure of one method at one centre, ``all`` (their mean) or ``pooled``."""

    method: str
    table: Literal["adaptability", "generalizability"]
    centre: str
    metric: str
    mean: float
    std: float
    seeds: int
    p_value_vs_fedavg: float | None


class Method(_Part):
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


class CentreInfo(_Part):
    """A centre that was judged."""

    name: str
    title: str
    role: Role
    records: int


class Sent(_Part):
    """What a site sends in a round under one way of sending."""

    name: str
    computed: bool
    passes: int
    values: int
    bytes: int
    share: float


class Reaching(_Part):
    """When a method's curve reaches the reference's last point; `computed`: it was not run."""

    method: str
    computed: bool
    role: Role
    metric: str
    target: float
    round: int | None
    uplink_bytes: int | None


class Point(_Part):
    """One point of one seed's curve."""

    round: int
    uplink_bytes: int
    participating: dict[str, float] = {}
    unseen: dict[str, float] = {}


class Sample(_Part):
    """A test record and what methods wrote for it."""

    centre: str
    title: str
    role: Role
    record: str
    reference: str
    written: dict[str, str]


class Benchmark(_Part):
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
    try:
        return Benchmark.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunFileInvalid(
            f"{place or 'the content'}: {first['msg'].lower()}",
            hint="the same `fedmrg bench model` command writes it anew, without training",
            location=str(path),
        ) from None
