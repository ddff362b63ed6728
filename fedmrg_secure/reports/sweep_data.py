"""``sweep.json`` as `fedmrg sweep` writes it, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.reports.result_files import Part, read_result

FILE: Final = "sweep.json"
Table = Literal["adaptability", "generalizability"]


class NotASweep(InputError):
    """The folder holds no sweep."""

    code: ClassVar[str] = "FMRG-6521"


class RunOf(Part):
    """One run of a point; `folder` is seen from the sweep's own."""

    seed: int
    done: bool
    error: str
    folder: Annotated[str, Field(pattern=r"^runs/[A-Za-z0-9][A-Za-z0-9._-]*/seed-\d+$")]
    command: str
    largest_epsilon: float | None
    uplink_bytes: int | None
    wall_s: float | None
    train_s: float | None

    @property
    def link(self) -> str:
        """The run's page."""
        return f"{self.folder}/report.html"


class Fronts(Part):
    """The tables on whose fronts a point is."""

    epsilon: tuple[Table, ...]
    bytes: tuple[Table, ...]


class Point(Part):
    """One point of the grid."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    settings: dict[str, str]
    scheme: str
    private: bool
    unit: str | None
    delta: float | None
    target_epsilon: float | None
    epsilon: dict[str, float]
    largest_epsilon: float | None
    reference: str | None
    uplink_bytes: int | None
    downlink_bytes: int | None
    total_bytes: int | None
    wall_s: float | None
    wall_seeds: int
    phases: dict[str, float]
    front: Fronts
    runs: tuple[RunOf, ...]

    @property
    def done(self) -> tuple[RunOf, ...]:
        return tuple(run for run in self.runs if run.done)

    @property
    def title(self) -> str:
        """As people read it: ``epsilon 8, rank 4``."""
        return ", ".join(f"{axis} {label}" for axis, label in self.settings.items())


class Kept(Part):
    """The share of the reference's gain over the untrained model."""

    share: float
    low: float | None
    high: float | None
    seeds: int


class Value(Part):
    """A figure of one run."""

    seed: int
    untrained: float
    final: float


class Row(Part):
    """A figure of one point."""

    point: str
    table: Table
    metric: str
    mean: float
    std: float
    low: float | None
    high: float | None
    seeds: int
    untrained: float
    gain: float
    kept: Kept | None
    values: tuple[Value, ...]


class Failure(Part):
    """A run that failed and what it said."""

    run: str
    error: str


class SweepResult(Part):
    """The whole file."""

    format: Literal[1]
    name: str
    file: str
    commands: tuple[str, ...]
    version: str
    executor: str
    runs_at_once: int
    synthetic: bool
    seeds: tuple[int, ...]
    sites: int
    axes: dict[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    centre: str
    points: tuple[Point, ...]
    rows: tuple[Row, ...]
    failed: tuple[Failure, ...]


def read_sweep(root: Path) -> SweepResult:
    """The sweep in a folder.

    Raises:
        NotASweep: there is no ``sweep.json``.
        RunFileInvalid: it is not of the form that the program writes.
    """
    path = root / FILE
    if not path.is_file():
        raise NotASweep(f"{root} holds no {FILE}", hint="`fedmrg sweep --out` writes one")
    return read_result(path, SweepResult, written_by="fedmrg sweep")
