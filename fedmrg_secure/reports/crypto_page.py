"""One self-contained page about ``fedmrg bench crypto``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from fedmrg_secure.reports.crypto_plots import Axis, Series, log_chart
from fedmrg_secure.reports.html import page_environment, stylesheet, write_page
from fedmrg_secure.reports.wording import significant

DEFAULT: Final = "ckks-multiparty-20"
PEERS: Final = "tenseal-vectors"
_RATE: Final = "million parameters a second"
_TONES: Final = (
    DEFAULT,
    "ckks-shared",
    PEERS,
    "ckks-multiparty-24",
    "ckks-multiparty-16",
    "ckks-multiparty-30",
    "insecure-plaintext",
)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class CryptoRow(_Strict):
    """One row, see `benchmark.crypto_row`; without figures where it does not fit."""

    name: str
    scheme: str
    parameters: int = Field(ge=1)
    sites: int = Field(ge=1)
    threads: int = Field(ge=1)
    fits: bool
    reason: str = ""
    uplink_bytes_per_parameter: float = Field(0.0, ge=0)
    downlink_bytes_per_parameter: float = Field(0.0, ge=0)
    encrypt_mparam_s: float | None = None
    receive_mparam_s: float | None = None
    add_mparam_s: float | None = None
    open_mparam_s: float | None = None
    measured_parameters: int = 0
    peak_memory_mb: float = 0.0
    base_memory_mb: float = 0.0
    rms_error: float = 0.0
    max_error: float = 0.0
    error_bound: float | None = None
    clip_range: float | None = None
    within_max_error: bool = True
    engine: str = ""
    encrypt_times_peers: float | None = None
    open_times_peers: float | None = None
    uplink_times_smaller: float | None = None
    encrypt_times_one_thread: float | None = None

    @property
    def share_of_range(self) -> float | None:
        """The error bound as a share of the range."""
        if self.error_bound is None or not self.clip_range:
            return None
        return self.error_bound / self.clip_range


class Machine(_Strict):
    """Where it was measured."""

    cores: int
    architecture: str
    python: str


class CryptoBenchmark(_Strict):
    """What ``fedmrg bench crypto --json`` prints."""

    rows: tuple[CryptoRow, ...]
    complete: bool
    max_error: float = Field(gt=0)
    seconds_a_row: float
    version: str
    machine: Machine


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one size and number of sites."""

    parameters: int
    sites: int
    rows: tuple[CryptoRow, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the page."""

    title: str
    note: str
    picture: Markup


def write_crypto_page(target: Path, summary: dict[str, Any]) -> Path:
    """Write the page, atomically, and return its path.

    Args:
        target: the file.
        summary: from `benchmark.crypto.summarise`.

    Raises:
        pydantic.ValidationError: the summary is of another form.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_page(target, render_crypto(CryptoBenchmark.model_validate(summary)))


def render_crypto(benchmark: CryptoBenchmark) -> str:
    """The page as HTML."""
    tables = _tables(benchmark.rows)
    base = _base(tables)
    context: dict[str, Any] = {
        "css": Markup(stylesheet()),  # noqa: S704 - our own file
        "benchmark": benchmark,
        "tables": tables,
        "base": base,
        "best": _find(base, DEFAULT) if base else None,
        "peers": _find(base, PEERS) if base else None,
        "charts": _charts(benchmark, base),
        "spans": _spans(tables),
        "threaded": [row for row in benchmark.rows if row.fits and row.threads > 1],
        "default": DEFAULT,
        "figure": _figure,
        "small": _small,
        "tone": _tone,
    }
    return page_environment().get_template("crypto.html.j2").render(context)


def _tables(rows: Sequence[CryptoRow]) -> list[Table]:
    points = dict.fromkeys((row.parameters, row.sites) for row in rows)
    return [
        Table(size, sites, tuple(r for r in rows if (r.parameters, r.sites) == (size, sites)))
        for size, sites in sorted(points)
    ]


def _base(tables: Sequence[Table]) -> Table | None:
    """The table with most rows, of these the first: what is shown at the top."""
    return max(tables, key=lambda table: len(table.rows), default=None)


def _find(table: Table, name: str) -> CryptoRow | None:
    found = (row for row in table.rows if row.name == name and row.threads == 1 and row.fits)
    return next(found, None)


def _spans(tables: Sequence[Table]) -> dict[str, tuple[float, float]]:
    """Scheme -> lowest and highest ratio of its encryption rate to the peers'."""
    ratios: dict[str, list[float]] = {}
    for table in tables:
        for row in table.rows:
            if row.encrypt_times_peers is not None and row.scheme != "insecure-plaintext":
                ratios.setdefault(row.name, []).append(row.encrypt_times_peers)
    return {name: (min(found), max(found)) for name, found in ratios.items()}


_BY_SIZE: Final = (
    ("Encrypt", "encrypt_mparam_s", _RATE),
    ("Open", "open_mparam_s", _RATE),
    ("Peak memory", "peak_memory_mb", "MB"),
)
_BY_SITES: Final = (
    ("Encrypt", "encrypt_mparam_s", _RATE),
    ("Open", "open_mparam_s", _RATE),
    ("Coordinator's adding", "add_mparam_s", _RATE),
    ("Error bound of the mean", "share_of_range", "share of the range; hollow: above the limit"),
)
"""Title, the row's figure, and what it is in."""


def _charts(benchmark: CryptoBenchmark, base: Table | None) -> list[Chart]:
    """Figures by size at the base's number of sites, and by sites at its size."""
    if base is None:
        return []
    alone = [row for row in benchmark.rows if row.fits and row.threads == 1]
    by_size = [row for row in alone if row.sites == base.sites]
    by_sites = [row for row in alone if row.parameters == base.parameters]
    found = []
    if len({row.parameters for row in by_size}) > 1:
        fixed = f"{base.sites} sites"
        axis = Axis("parameters of one site", _count)
        for title, figure, unit in _BY_SIZE:
            lines = _lines(by_size, "parameters", figure)
            found.append(_chart(f"{title}, by size", f"{unit}; {fixed}", lines, axis))
    if len({row.sites for row in by_sites}) > 1:
        fixed = f"{base.parameters:,} parameters"
        axis = Axis("sites", "{:g}".format)
        for title, figure, unit in _BY_SITES:
            lines = _lines(by_sites, "sites", figure)
            limit = benchmark.max_error if figure == "share_of_range" else None
            found.append(_chart(f"{title}, by sites", f"{unit}; {fixed}", lines, axis, limit))
    return found


def _lines(rows: Sequence[CryptoRow], place: str, figure: str) -> list[Series]:
    lines = []
    for name in dict.fromkeys(row.name for row in rows):
        own = [row for row in rows if row.name == name and getattr(row, figure)]
        points = sorted((float(getattr(row, place)), float(getattr(row, figure))) for row in own)
        above = (float(getattr(row, place)) for row in own if not row.within_max_error)
        hollow = frozenset(above if figure == "share_of_range" else ())
        if points:
            lines.append(Series(_short(name), _tone(name), tuple(points), hollow))
    return lines


def _chart(
    title: str, note: str, lines: Sequence[Series], x_axis: Axis, limit: float | None = None
) -> Chart:
    text = _figure if limit is None else _small
    picture = log_chart(
        lines,
        x_axis,
        Axis("", text),
        description=f"{title}, {note}",
        limit=None if limit is None else (limit, f"max_error {limit:g}"),
    )
    return Chart(title, note, picture)


def _tone(name: str) -> int:
    return _TONES.index(name) if name in _TONES else len(_TONES) - 1


def _short(name: str) -> str:
    """As it fits beside a line."""
    if name == PEERS:
        return "TenSEAL (peers)"
    return name.removeprefix("ckks-").removeprefix("insecure-")


def _figure(value: float | None) -> str:
    """Three significant digits, grouped: ``1,230``; a dash for None."""
    return "–" if value is None else significant(value) if value < 999.5 else f"{value:,.0f}"


def _small(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def _count(value: float) -> str:
    """``100000`` as ``100k``, ``50000000`` as ``50M``."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
