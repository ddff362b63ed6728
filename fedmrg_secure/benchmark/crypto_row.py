"""One row of ``fedmrg bench crypto``, measured in a process of its own.

The process plays every role, piece by piece as a federation streams: sites encrypt, the coordinator
adds, a site opens. One site's vector lies in memory whole, as at a site; so the peak memory is an
upper bound on each role's. Started as ``python -m fedmrg_secure.benchmark.crypto_row CASE`` with a
`Case` as JSON; prints JSON lines: ``{"progress": share}`` while it runs and ``{"row": {...}}`` at
the end.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import repeat
from typing import Any, Final

import numpy as np

from fedmrg_secure.benchmark.crypto_ways import UPDATE_SIGMA, OurWay, PeersWay, Way
from fedmrg_secure.benchmark.peak_memory import peak_memory_mb
from fedmrg_secure.core.ahead import map_ahead
from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.crypto.errors import CapacityExceeded
from fedmrg_secure.crypto.multiparty.engine import engine_name
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY

PEERS: Final = "tenseal-vectors"
_LARGE_ARRAY_BYTES: Final = 1 << 24
_YARDSTICKS: Final = 3
_PIECES_A_THREAD: Final = 4
"""Pieces that are measured together where several threads work on them."""


@dataclass(frozen=True, slots=True)
class Case:
    """What to measure.

    Attributes:
        scheme: one of `crypto.parameters.SCHEMES`, or `PEERS`.
        parameters: values of one site's update.
        sites: uploads in the sum.
        precision_bits: of the fixed-point grid; the peers have none.
        repeats: passes over the vector.
        threads: of a site that encrypts and opens.
        seconds: after which no further piece is begun; the first is measured in any case.
        seed: of the made-up updates.
        wire_bits: of ``ckks-multiparty``; the others choose for themselves.
        max_error: largest allowed error of a coordinate of the mean, as a share of the range.
    """

    scheme: str
    parameters: int
    sites: int
    precision_bits: int
    repeats: int
    threads: int = 1
    seconds: float = 3.0
    seed: int = 0
    wire_bits: int | None = None
    max_error: float = 1e-5

    @property
    def name(self) -> str:
        """The way that is measured."""
        return self.scheme if self.wire_bits is None else f"{self.scheme}-{self.wire_bits}"

    def to_json(self) -> str:
        """The process's argument."""
        return json.dumps(asdict(self))


class Meter:
    """Rates by phase, one a group of pieces.

    With one thread the seconds are the process's processor time: on an idle machine the same as
    seconds of the clock, on a busy one without the time that others had. With more they are
    seconds of the clock.
    """

    def __init__(self, threads: int) -> None:
        self.clock = "processor" if threads == 1 else "wall"
        self._now = time.process_time if threads == 1 else time.perf_counter
        self._rates: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def measure(self, seconds: defaultdict[str, float], phase: str) -> Iterator[None]:
        """Add the time inside to a group's seconds of a phase."""
        start, wall_start = self._now(), time.perf_counter()
        yield
        seconds[phase] += self._now() - start
        seconds[f"{phase}_wall"] += time.perf_counter() - wall_start

    def keep(self, phase: str, values: int, seconds: float) -> None:
        """A group's figure; nothing where the phase took no time."""
        if values and seconds > 0:
            self._rates[phase].append(values / seconds)

    def rate(self, phase: str) -> float | None:
        """The median over groups, million values a second."""
        rates = self._rates[phase]
        return statistics.median(rates) / 1e6 if rates else None


@dataclass(slots=True)
class Found:
    """What is added up over all groups."""

    values: int = 0
    pieces: int = 0
    up: int = 0
    down: int = 0
    squares: float = 0.0
    largest: float = 0.0


def measure(case: Case) -> Iterator[dict[str, Any]]:
    """Progress objects, then the row."""
    try:
        way = _way(case)
    except CapacityExceeded as error:
        yield {"row": {**_what(case), "fits": False, "reason": error.message}}
        return
    yardstick = _Yardstick() if case.scheme != PEERS and case.threads == 1 else None
    base = peak_memory_mb()
    # A site that has trained has freed large arrays, after which the allocator keeps what is freed
    # instead of handing it back page by page; this process shall be like it.
    np.empty(_LARGE_ARRAY_BYTES, dtype=np.uint8)
    vector = np.random.default_rng(case.seed).standard_normal(case.parameters)
    vector *= UPDATE_SIGMA
    threads = case.threads if way.is_concurrent else 1
    meter, found = Meter(case.threads), Found()
    groups = _groups(-(-case.parameters // way.piece_values), threads)
    _warm_up(case, way, vector, groups[0][:1])
    start = time.perf_counter()
    for times in range(case.repeats):
        for number, group in enumerate(groups):
            _measure_group(case, way, vector, group, threads, meter, found)
            if yardstick is not None:
                yardstick.measure(meter)
            done = (times + (number + 1) / len(groups)) / case.repeats
            spent = (time.perf_counter() - start) / case.seconds
            yield {"progress": min(1.0, max(done, spent))}
            if spent >= 1:
                break
        if spent >= 1:
            break
    yield {"row": _row(case, way, meter, found, base)}


class _Yardstick:
    """The peers' encryption between our groups, so that a ratio has both from the same seconds."""

    def __init__(self) -> None:
        self._way = PeersWay(1)
        self._vector = np.random.default_rng(0).normal(0, UPDATE_SIGMA, PeersWay.piece_values)
        self._way.encrypt(0, 0, self._vector)

    def measure(self, meter: Meter) -> None:
        for _ in range(_YARDSTICKS):
            seconds: defaultdict[str, float] = defaultdict(float)
            with meter.measure(seconds, "peers"):
                self._way.encrypt(0, 0, self._vector)
            meter.keep("peers", self._vector.size, seconds["peers"])


def _way(case: Case) -> Way:
    if case.scheme == PEERS:
        return PeersWay(case.sites)
    return OurWay(
        case.scheme,
        values=case.parameters,
        sites=case.sites,
        precision_bits=case.precision_bits,
        wire_bits=case.wire_bits,
    )


def _groups(pieces: int, threads: int) -> list[list[int]]:
    """All pieces in groups: the last group first, then spread over the vector.

    The last piece has the check block; and of a vector that is too long to be measured whole, what
    is measured should lie everywhere.
    """
    size = 1 if threads == 1 else _PIECES_A_THREAD * threads
    groups = [list(range(start, min(start + size, pieces))) for start in range(0, pieces, size)]
    bits = max(1, (len(groups) - 1).bit_length())
    spread = sorted(range(len(groups)), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return [groups[-1], *(groups[place] for place in spread if place != len(groups) - 1)]


def _update(case: Case, vector: FloatVector, site: int, index: int, size: int) -> FloatVector:
    """A site's piece: of the whole vector for the first, made anew each time for the others."""
    piece = vector[index * size : (index + 1) * size]
    if site == 0:
        return piece
    return np.random.default_rng((case.seed, index, site)).normal(0, UPDATE_SIGMA, piece.size)


def _warm_up(case: Case, way: Way, vector: FloatVector, group: list[int]) -> None:
    for index in group:
        upload = way.encrypt(0, index, _update(case, vector, 0, index, way.piece_values))
        way.receive(0, index, upload)


def _measure_group(
    case: Case,
    way: Way,
    vector: FloatVector,
    group: list[int],
    threads: int,
    meter: Meter,
    found: Found,
) -> None:
    """Encrypt, receive and add each site's pieces; then publish and open the sums."""
    seconds: defaultdict[str, float] = defaultdict(float)
    totals: list[Any] = []
    exact: list[FloatVector] = []
    for site in range(case.sites):
        updates = [_update(case, vector, site, index, way.piece_values) for index in group]
        with meter.measure(seconds, "encrypt"):
            jobs = zip(repeat(site), group, updates, strict=False)
            uploads = list(map_ahead(lambda job: way.encrypt(*job), jobs, workers=threads))
        found.up += sum(map(len, uploads))
        for place, (index, upload) in enumerate(zip(group, uploads, strict=True)):
            with meter.measure(seconds, "receive"):
                received = way.receive(site, index, upload)
            if site == 0:
                totals.append(received)
                exact.append(updates[place].copy())
                continue
            with meter.measure(seconds, "add"):
                way.add(totals[place], received)
            exact[place] += updates[place]
    downloads = [way.publish(*job) for job in zip(group, totals, strict=True)]
    found.down += sum(map(len, downloads))
    counts = [piece.size for piece in exact]
    with meter.measure(seconds, "open"):
        jobs_down = zip(group, downloads, counts, strict=True)
        means = list(map_ahead(lambda job: way.open(*job), jobs_down, workers=threads))
    for mean, total in zip(means, exact, strict=True):
        error = np.abs(mean - total / case.sites)
        found.squares += float(error @ error)
        found.largest = max(found.largest, float(error.max()))
    values = sum(counts)
    found.values += values
    found.pieces += len(group)
    meter.keep("encrypt", values * case.sites, seconds["encrypt"])
    meter.keep("encrypt_wall", values * case.sites, seconds["encrypt_wall"])
    meter.keep("receive", values * case.sites, seconds["receive"])
    meter.keep("add", values * (case.sites - 1), seconds["add"])
    meter.keep("open", values, seconds["open"])


def _what(case: Case) -> dict[str, Any]:
    return {
        "scheme": case.scheme,
        "name": case.name,
        "parameters": case.parameters,
        "sites": case.sites,
        "threads": case.threads,
    }


def _row(case: Case, way: Way, meter: Meter, found: Found, base_mb: float) -> dict[str, Any]:
    share = -(-case.parameters // way.piece_values) / (found.pieces * case.parameters)
    row: dict[str, Any] = {
        **_what(case),
        "fits": True,
        "wire_bits": way.wire_bits,
        # A vector's last piece takes as many bytes as any other.
        "uplink_bytes_per_parameter": found.up / case.sites * share,
        "downlink_bytes_per_parameter": found.down * share,
        **{
            f"{phase}_mparam_s": meter.rate(phase)
            for phase in ("encrypt", "receive", "add", "open", "encrypt_wall")
        },
        "clock": meter.clock,
        "measured_parameters": found.values,
        "peak_memory_mb": peak_memory_mb(),
        "base_memory_mb": base_mb,
        "rms_error": math.sqrt(found.squares / found.values),
        "max_error": found.largest,
    }
    if case.scheme == PEERS:
        return {**row, "baseline": True}
    limits = way.limits
    assert limits is not None
    row |= {
        # Exact, of the whole vector, where only a part was measured too.
        "uplink_bytes_per_parameter": limits.uplink_bytes / case.parameters,
        "downlink_bytes_per_parameter": limits.downlink_bytes / case.parameters,
        "precision_bits": limits.precision_bits,
        "clip_range": limits.range,
        "error_bound": limits.error_bound * limits.range,
        "within_max_error": limits.error_bound <= case.max_error,
    }
    if case.threads == 1:
        peers = meter.rate("peers")
        row["peers_encrypt_mparam_s"] = peers
        row["encrypt_times_peers"] = row["encrypt_mparam_s"] / peers
    if case.scheme == CKKS_MULTIPARTY:
        row["engine"] = engine_name()
    return row


def main() -> None:
    """Measure the case given as the only argument."""
    values = json.loads(sys.argv[1])
    case = Case(**{field.name: values[field.name] for field in fields(Case)})
    for line in measure(case):
        print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
