"""A run's folder as frozen values: the only way in which reports learn of a run.

A run that failed or is still going leaves parts out; those are None or empty here. A part that
cannot be read is left out too and named in `Run.problems`, so that the page shows what is missing
instead of nothing at all. Only a folder without a readable ``run.json`` and ``config.yaml`` is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.reports.fields import Fields, parse_json, read_text

_Value = TypeVar("_Value")

_MAX_IMAGE_BYTES: Final = 8 * 2**20
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"

Metrics = Mapping[str, float]
"""Metric name -> value; utility metrics are in [0, 1]."""


class NotARunFolder(InputError):
    """The folder holds no run."""

    code: ClassVar[str] = "FMRG-6502"


@dataclass(frozen=True, slots=True)
class Manifest:
    """``run.json``: what was started, with which software, and how it ended."""

    name: str
    status: str
    command: str
    version: str
    python: str
    started: str
    finished: str
    error: str
    sites: tuple[str, ...]
    unseen: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RoundRow:
    """What one site did in one round. `seconds` by phase; `loss` is None where none was finite."""

    round: int
    site: str
    loss: float | None
    steps: int
    records: int
    seconds: Mapping[str, float]
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """The metrics of one centre after one round; round 0 is the untrained model."""

    round: int
    centre: str
    title: str
    role: str
    records: int
    final: bool
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Communication:
    """Numbers of parameters, and bytes as they were on the wire."""

    parameters_sent: int
    parameters_total: int
    parameters_plain_lora: int
    bytes_up_per_round_per_site: int
    bytes_down_per_round_per_site: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """The head of one party's log: number of entries and RFC 6962 root, hex."""

    party: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class Summary:
    """``summary.json``: the evaluation's and the runner's part; either may be missing."""

    rounds: int
    sites: tuple[str, ...]
    unseen: tuple[str, ...]
    communication: Communication | None
    seconds_total: float | None
    peak_memory_mb: float | None
    scheme: Mapping[str, str]
    logs: tuple[LogHead, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One shown image with its texts; `statuses` is class -> probability of POSITIVE."""

    centre: str
    role: str
    record_id: str
    image_png: bytes
    reference: str
    untrained: str
    generated: str
    statuses: Metrics


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a report shows of a run."""

    root: Path
    manifest: Manifest
    config: RunConfig
    session: Mapping[str, str]
    rounds: tuple[RoundRow, ...]
    evaluations: tuple[EvaluationRow, ...]
    summary: Summary
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """Party names of the sites that train, as far as the folder tells."""
        from_rounds = tuple(dict.fromkeys(row.site for row in self.rounds))
        named = self.manifest.sites or tuple(self.config.federation.sites or ())
        return self.summary.sites or named or from_rounds

    @property
    def unseen(self) -> tuple[str, ...]:
        """Party names of the centres that never train, as far as the folder tells."""
        return self.summary.unseen or self.manifest.unseen


def require_run(root: Path) -> None:
    """Return if `root` holds a run's manifest and configuration.

    Raises:
        NotARunFolder: it does not.
    """
    for name in ("run.json", "config.yaml"):
        if not (root / name).is_file():
            raise NotARunFolder(
                f"{root} holds no {name}",
                hint="name the folder that `fedmrg run` made, e.g. runs/quickstart",
            )


def read_run(root: Path) -> Run:
    """Read a run's folder.

    Raises:
        NotARunFolder: no ``run.json`` or no ``config.yaml`` there.
        FedmrgError: ``run.json`` or ``config.yaml`` is invalid.
    """
    require_run(root)
    manifest = _manifest(_load(root / "run.json"))
    config = load_run_config(root / "config.yaml")
    problems: list[str] = []

    def attempt(read: Callable[[], _Value], otherwise: _Value) -> _Value:
        try:
            return read()
        except FileNotFoundError:
            return otherwise
        except (FedmrgError, OSError) as error:
            where = getattr(error, "location", "") or getattr(error, "filename", "") or ""
            place = Path(where).name if where else "a file"
            problems.append(f"{place} is left out: {error}")
            return otherwise

    no_rows: tuple[tuple[RoundRow, ...], tuple[EvaluationRow, ...]] = ((), ())
    rounds, evaluations = attempt(lambda: _metrics(root / "metrics.jsonl", problems), no_rows)
    empty = _summary(Fields({}, ""))
    return Run(
        root=root,
        manifest=manifest,
        config=config,
        session=attempt(lambda: _load(root / "session.json").flat(), {}),
        rounds=rounds,
        evaluations=evaluations,
        summary=attempt(lambda: _summary(_load(root / "summary.json")), empty),
        samples=attempt(lambda: _samples(root / "samples"), ()),
        problems=tuple(problems),
    )


def _load(path: Path) -> Fields:
    return Fields(parse_json(read_text(path), str(path)), str(path))


def _manifest(fields: Fields) -> Manifest:
    return Manifest(
        name=fields.text("name"),
        status=fields.text("status"),
        command=fields.text("command", ""),
        version=fields.text("version", ""),
        python=fields.text("python", ""),
        started=fields.text("started", ""),
        finished=fields.text("ended", ""),
        error=_error(fields),
        sites=fields.names("sites"),
        unseen=fields.names("unseen"),
        versions=fields.scalars("versions"),
    )


def _error(fields: Fields) -> str:
    """Why the run failed: a sentence, or an object with code and message."""
    if not fields.is_object("error"):
        return fields.text("error", "")
    error = fields.section("error")
    return " ".join(filter(None, (error.text("code", ""), error.text("message", ""))))


def _metrics(
    path: Path, problems: list[str]
) -> tuple[tuple[RoundRow, ...], tuple[EvaluationRow, ...]]:
    """Rows by file order; of rows for the same thing the last counts. Bad lines are problems."""
    rounds: dict[tuple[int, str], RoundRow] = {}
    evaluations: dict[tuple[int, str, bool], EvaluationRow] = {}
    lines = read_text(path).splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            fields = Fields(parse_json(line, path.name), path.name)
            if fields.choice("kind", ("round", "evaluation")) == "round":
                row = _round_row(fields)
                rounds[row.round, row.site] = row
            else:
                judged = _evaluation_row(fields)
                evaluations[judged.round, judged.centre, judged.final] = judged
        except FedmrgError as error:
            problems.append(f"{path.name}, line {number} is left out: {error}")
    return tuple(rounds.values()), tuple(evaluations.values())


def _round_row(fields: Fields) -> RoundRow:
    sizes = fields.numbers("bytes")
    return RoundRow(
        round=fields.integer("round"),
        site=fields.text("site"),
        loss=fields.number("loss") if "loss" in fields else None,
        steps=fields.integer("steps", 0),
        records=fields.integer("records", 0),
        seconds=fields.numbers("seconds"),
        bytes_up=int(sizes.get("up", 0)),
        bytes_down=int(sizes.get("down", 0)),
    )


def _evaluation_row(fields: Fields) -> EvaluationRow:
    centre = fields.text("centre")
    return EvaluationRow(
        round=fields.integer("round"),
        centre=centre,
        title=fields.text("title", "") or title_of(centre),
        role=fields.choice("role", ("participating", "unseen")),
        records=fields.integer("records"),
        final=fields.flag("final", False),
        metrics=fields.numbers("metrics"),
    )


def title_of(party: str) -> str:
    """A party's name as people read it: ``united-kingdom`` gives ``United Kingdom``."""
    return " ".join(word.capitalize() for word in party.split("-") if word)


def _summary(fields: Fields) -> Summary:
    seconds = fields.section("seconds") if "seconds" in fields else None
    total = seconds.number("total") if seconds is not None and "total" in seconds else None
    return Summary(
        rounds=fields.integer("rounds", 0),
        sites=fields.names("sites"),
        unseen=fields.names("unseen"),
        communication=(
            _communication(fields.section("communication")) if "communication" in fields else None
        ),
        seconds_total=total,
        peak_memory_mb=fields.number("peak_memory_mb") if "peak_memory_mb" in fields else None,
        scheme=fields.scalars("scheme"),
        logs=tuple(
            LogHead(party, head.integer("size"), head.text("root"))
            for party, head in fields.sections("log").items()
        ),
    )


def _communication(fields: Fields) -> Communication:
    return Communication(
        parameters_sent=fields.integer("parameters_sent"),
        parameters_total=fields.integer("parameters_total"),
        parameters_plain_lora=fields.integer("parameters_plain_lora"),
        bytes_up_per_round_per_site=fields.integer("bytes_up_per_round_per_site"),
        bytes_down_per_round_per_site=fields.integer("bytes_down_per_round_per_site"),
        total_bytes=fields.integer("total_bytes", 0),
    )


def _samples(folder: Path) -> tuple[Sample, ...]:
    path = folder / "samples.json"
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, list):
        raise NotARunFolder("samples.json is not a list", location=str(path))
    return tuple(
        _sample(Fields(item, str(path), f"[{at}]"), folder) for at, item in enumerate(content)
    )


def _sample(fields: Fields, folder: Path) -> Sample:
    return Sample(
        centre=fields.text("centre"),
        role=fields.choice("role", ("participating", "unseen")),
        record_id=fields.text("record_id", ""),
        image_png=_image(folder, fields.text("image")),
        reference=fields.text("reference"),
        untrained=fields.text("untrained", ""),
        generated=fields.text("generated", ""),
        statuses=fields.numbers("statuses"),
    )


def _image(folder: Path, name: str) -> bytes:
    """The bytes of a PNG directly inside `folder`."""
    path = folder / name
    if Path(name).name != name or not path.is_file() or path.is_symlink():
        raise NotARunFolder(f"{name!r} is not a file of {folder}", location=str(folder))
    if path.stat().st_size > _MAX_IMAGE_BYTES:
        raise NotARunFolder(f"{name} is larger than {_MAX_IMAGE_BYTES} bytes", location=str(path))
    content = path.read_bytes()
    if not content.startswith(_PNG_MAGIC):
        raise NotARunFolder(f"{name} is not a PNG", location=str(path))
    return content
