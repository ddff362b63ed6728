"""A run's folder as frozen values: the only way in which reports learn of a run.

A run that failed or is still going leaves parts out; those are None or empty here. A part that
cannot be read is left out too and named in `Run.problems`, so that the page shows what is missing
instead of nothing at all. Only a folder without a readable ``run.json`` and ``config.yaml`` is
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.reports.fields import Fields, RunFileInvalid, parse_json, read_text
from fedmrg_secure.reports.run import (
    ROLES,
    Communication,
    DiscontinuedLedger,
    EvaluationRow,
    LogHead,
    Manifest,
    PooledRow,
    PrivacySpent,
    RoundRow,
    Run,
    Sample,
    Summary,
    UnreadableLedger,
    title_of,
)

_UNITS: Final = ("patient", "record")

_Value = TypeVar("_Value")

_MAX_IMAGE_BYTES: Final = 8 * 2**20
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"


class NotARunFolder(InputError):
    """The folder holds no run."""

    code: ClassVar[str] = "FMRG-6502"


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

    rows = attempt(lambda: _metrics(root / "metrics.jsonl", problems), _Rows())
    empty = _summary(Fields({}, ""))
    return Run(
        root=root,
        manifest=manifest,
        config=config,
        session=attempt(lambda: _load(root / "coordinator" / "session.json").flat(), {}),
        rounds=tuple(rows.rounds.values()),
        evaluations=tuple(rows.evaluations.values()),
        generic=tuple(rows.generic.values()),
        pooled=tuple(rows.pooled.values()),
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


@dataclass
class _Rows:
    """Rows of ``metrics.jsonl``; of rows about the same thing the last counts."""

    rounds: dict[tuple[int, str], RoundRow] = field(default_factory=dict)
    evaluations: dict[tuple[int, str, bool], EvaluationRow] = field(default_factory=dict)
    generic: dict[tuple[int, str, bool], EvaluationRow] = field(default_factory=dict)
    pooled: dict[tuple[int, str], PooledRow] = field(default_factory=dict)

    def add(self, fields: Fields) -> None:
        kind = fields.choice("kind", ("round", "evaluation", "generic", "pooled"))
        if kind == "round":
            row = _round_row(fields)
            self.rounds[row.round, row.site] = row
        elif kind in ("evaluation", "generic"):
            judged = _evaluation_row(fields)
            known = self.evaluations if kind == "evaluation" else self.generic
            known[judged.round, judged.centre, judged.final] = judged
        else:
            pooled = _pooled_row(fields)
            self.pooled[pooled.round, pooled.role] = pooled


def _metrics(path: Path, problems: list[str]) -> _Rows:
    """All rows; lines that cannot be read go to `problems`."""
    rows = _Rows()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            rows.add(Fields(parse_json(line, path.name), path.name))
        except FedmrgError as error:
            problems.append(f"{path.name}, line {number} is left out: {error}")
    return rows


def _round_row(fields: Fields) -> RoundRow:
    sizes = fields.numbers("bytes")
    return RoundRow(
        round=fields.integer("round"),
        site=fields.text("site"),
        loss=fields.number("loss") if "loss" in fields else None,
        losses=fields.numbers("losses"),
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
        role=fields.choice("role", ROLES),
        records=fields.integer("records"),
        final=fields.flag("final", False),
        path=fields.text("path", "generic"),
        metrics=fields.numbers("metrics"),
    )


def _pooled_row(fields: Fields) -> PooledRow:
    return PooledRow(
        round=fields.integer("round"),
        role=fields.choice("role", ROLES),
        records=fields.integer("records"),
        metrics=fields.numbers("metrics"),
    )


def _summary(fields: Fields) -> Summary:
    seconds = fields.section("seconds") if "seconds" in fields else None
    ledgers = fields.sections("privacy")
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
        passes=max(fields.integer("passes", 1), 1),
        scheme=fields.scalars("scheme"),
        logs=tuple(
            LogHead(party, head.integer("size"), head.text("root"))
            for party, head in fields.sections("log").items()
        ),
        privacy=tuple(
            _privacy_spent(site, part) for site, part in ledgers.items() if "unreadable" not in part
        ),
        unreadable=tuple(
            UnreadableLedger(site, part.text("unreadable"))
            for site, part in ledgers.items()
            if "unreadable" in part
        ),
        discontinued=tuple(
            DiscontinuedLedger(
                part.text("site"),
                part.integer("round"),
                part.text("reason"),
                part.names("noticed_by"),
            )
            for part in fields.rows("ledgers_discontinued")
        ),
    )


def _privacy_spent(site: str, fields: Fields) -> PrivacySpent:
    return PrivacySpent(
        site=site,
        unit=fields.choice("unit", _UNITS),
        delta=fields.number("delta"),
        epsilon=fields.number("epsilon"),
        rounds=fields.integer("rounds"),
        noise_multiplier=fields.number("noise_multiplier"),
        sampling_rate=fields.number("sampling_rate"),
        population=fields.integer("population"),
        spent=fields.number("spent"),
        budget=fields.number("budget"),
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
        raise RunFileInvalid("samples.json is not a list", location=str(path))
    return tuple(
        _sample(Fields(item, str(path), f"[{at}]"), folder) for at, item in enumerate(content)
    )


def _sample(fields: Fields, folder: Path) -> Sample:
    return Sample(
        centre=fields.text("centre"),
        role=fields.choice("role", ROLES),
        record_id=fields.text("record_id", ""),
        image_png=_image(folder, fields.text("image")),
        reference=fields.text("reference"),
        untrained=fields.text("untrained", ""),
        generated=fields.text("generated", ""),
        generic=fields.text("generic", ""),
        path=fields.text("path", "generic"),
        statuses=fields.numbers("statuses"),
    )


def _image(folder: Path, name: str) -> bytes:
    """The bytes of a PNG directly inside `folder`."""
    path = folder / name
    if Path(name).name != name or not path.is_file() or path.is_symlink():
        raise RunFileInvalid(f"{name!r} is not a file of {folder}", location=str(folder))
    if path.stat().st_size > _MAX_IMAGE_BYTES:
        raise RunFileInvalid(f"{name} is larger than {_MAX_IMAGE_BYTES} bytes", location=str(path))
    content = path.read_bytes()
    if not content.startswith(_PNG_MAGIC):
        raise RunFileInvalid(f"{name} is not a PNG", location=str(path))
    return content
