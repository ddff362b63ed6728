"""One row of ``fedmrg bench crypto``, measured in a process of its own.

The process plays every role, chunk by chunk as a federation streams: sites encrypt, the
coordinator adds, a site opens. Its peak memory is thus an upper bound on each role's. Started as
``python -m fedmrg_secure.benchmark.crypto_row CASE`` with a `Case` as JSON; prints JSON lines:
``{"progress": share}`` while it runs and ``{"row": {...}}`` at the end.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol

import numpy as np

from fedmrg_secure.core.types import FloatVector, ResidueVector
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.errors import CapacityExceeded, OpeningRefused
from fedmrg_secure.crypto.frame import (
    AGGREGATE,
    FrameHeader,
    decode_frame,
    encode_frame,
    join_frame,
)
from fedmrg_secure.crypto.multiparty.engine import engine_name
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, RoundKey, add_shares, combine
from fedmrg_secure.crypto.multiparty_budget import DEFAULT_WIRE_BITS
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.crypto.peer_baseline import PRIME_BITS, VECTOR_VALUES, TensealVectors
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.crypto.schemes import make_scheme, needs_key, new_key
from fedmrg_secure.update.fixed_point import FixedPoint

PEERS: Final = "tenseal-vectors"
UPDATE_SIGMA: Final = 0.01
"""Standard deviation of the made-up updates' coordinates."""

COORDINATE_SIGMAS: Final = 10
"""Bound on a coordinate for ``ckks-multiparty``, whose coordinates need one of their own: 0.1."""

_SESSION: Final = bytes(32)
_PLAN: Final = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Case:
    """What to measure.

    Attributes:
        scheme: one of `crypto.parameters.SCHEMES`, or `PEERS`.
        parameters: values of one site's update.
        sites: uploads in the sum.
        precision_bits: of the fixed-point grid; the peers have none.
        repeats: passes; the fastest counts for each phase.
        seed: of the made-up updates.
        wire_bits: of ``ckks-multiparty``; the others choose for themselves.
    """

    scheme: str
    parameters: int
    sites: int
    precision_bits: int
    repeats: int
    seed: int = 0
    wire_bits: int | None = None

    @property
    def name(self) -> str:
        """The row's name."""
        return self.scheme if self.wire_bits is None else f"{self.scheme}-{self.wire_bits}"

    @property
    def clip_norm(self) -> float:
        """Slightly above the norm that the made-up updates have."""
        return 1.05 * UPDATE_SIGMA * math.sqrt(self.parameters) + 5 * UPDATE_SIGMA

    def to_json(self) -> str:
        """The process's argument."""
        return json.dumps(asdict(self))


class Clock:
    """Seconds of this process's processor time and bytes made, by phase.

    Everything here runs on one thread, so on an idle machine these are seconds of the clock too.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.bytes: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the processor time inside to `name`."""
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start


class Way(Protocol):
    """A way to sum updates."""

    piece_values: int
    wire_bits: float
    precision_bits: int | None

    def mean(self, index: int, updates: list[FloatVector], clock: Clock) -> FloatVector:
        """The mean of the sites' updates of one piece, as a site gets to see it."""
        ...


class OurWay:
    """A scheme of ours, with its frames."""

    def __init__(self, case: Case) -> None:
        self._values = case.parameters
        if case.scheme == CKKS_MULTIPARTY:
            self._codec, self._parameters = _finest_grid(case)
            self._sites, self._opener = _round(case, self._parameters)
        else:
            self._codec = FixedPoint(case.clip_norm, case.precision_bits)
            self._parameters = check_capacity(
                case.scheme,
                sites=case.sites,
                clip_norm=case.clip_norm,
                precision_bits=case.precision_bits,
            )
            key = new_key(self._parameters) if needs_key(self._parameters) else None
            self._opener = make_scheme(self._parameters, key)
            self._sites = [self._opener] * case.sites
        self.precision_bits: int | None = self._codec.precision_bits
        self.piece_values = self._parameters.chunk_values
        self.wire_bits = self._parameters.residue_bits / self._parameters.digits

    def mean(self, index: int, updates: list[FloatVector], clock: Clock) -> FloatVector:
        """Encode, encrypt and frame; parse and add; frame, parse, open and decode."""
        total: ResidueVector | None = None
        openers = []
        for site, update in enumerate(updates):
            header = self._header(index, f"site-{site}", 1)
            with clock.phase("encrypt"):
                chunk = self._sites[site].encrypt_chunk(index, self._codec.encode(update))
                frame = join_frame(header, chunk.packed, chunk.openers)
            clock.bytes["up"] += len(frame)
            with clock.phase("receive"):
                received = decode_frame(frame, header)
            openers.append(received.openers)
            if total is None:
                total = received.residues
                continue
            with clock.phase("add"):
                add_mod(total, received.residues, self._parameters.modulus)
        if total is None:
            raise ValueError("a sum needs at least one site")
        header = self._header(index, AGGREGATE, len(updates))
        frame = encode_frame(header, total, b"".join(openers))
        clock.bytes["down"] += len(frame)
        with clock.phase("open"):
            received = decode_frame(frame, header)
            opened = self._opener.open_chunk(
                index,
                received.residues,
                received.openers_by_contributor(len(updates)),
                updates[0].size,
            )
            return self._codec.decode(opened, len(updates))

    def _header(self, index: int, sender: str, contributors: int) -> FrameHeader:
        return FrameHeader.of_chunk(
            self._parameters,
            session=_SESSION,
            round=1,
            sender=sender,
            chunk_index=index,
            value_count=self._values,
            contributors=contributors,
        )


def _finest_grid(case: Case) -> tuple[FixedPoint, SchemeParameters]:
    """A grid of 16 units of the ring or more, so that the wire's rounding is what is measured."""
    bound = COORDINATE_SIGMAS * UPDATE_SIGMA
    for bits in range(30, 8, -1):
        codec = FixedPoint(bound, bits)
        try:
            parameters = SchemeParameters.for_config(
                case.scheme,
                sites=case.sites,
                max_abs_value=codec.max_abs_value,
                wire_bits=case.wire_bits or DEFAULT_WIRE_BITS,
            )
        except CapacityExceeded:
            continue
        if parameters.scale >= 16:
            return codec, parameters
    raise CapacityExceeded(f"{case.sites} sites do not fit with {case.wire_bits} bits on the wire")


def _round(case: Case, parameters: SchemeParameters) -> tuple[list[Scheme], Scheme]:
    """Each site's scheme with a key of its own, and one that opens, compiled code loaded."""
    trial = CkksMultiparty(parameters, _PLAN, 1, RoundKey.generate(parameters))
    trial.encrypt_chunk(0, np.zeros(1, dtype=np.int64))
    keys = [RoundKey.generate(parameters) for _ in range(case.sites)]
    dealt = [key.shares(1, 1)[0] for key in keys]
    sum_key = combine([add_shares(dealt)], 1)
    opener = CkksMultiparty(parameters, _PLAN, case.parameters, sum_key=sum_key)
    trial_sum = np.zeros(parameters.chunk_blocks(0, 1) * parameters.block_residues, np.uint64)
    with suppress(OpeningRefused):
        CkksMultiparty(parameters, _PLAN, 1, sum_key=sum_key).open_chunk(0, trial_sum, [b""], 1)
    return [CkksMultiparty(parameters, _PLAN, case.parameters, key) for key in keys], opener


class PeersWay:
    """TenSEAL vectors at the parameters that other frameworks document."""

    piece_values = VECTOR_VALUES
    wire_bits = 2.0 * 2 * sum(PRIME_BITS[:-1])
    precision_bits: int | None = None

    def __init__(self) -> None:
        self._vectors = TensealVectors()

    def mean(self, index: int, updates: list[FloatVector], clock: Clock) -> FloatVector:
        """Encrypt and serialise; load and add; serialise, load and decrypt."""
        total = None
        for update in updates:
            with clock.phase("encrypt"):
                upload = self._vectors.encrypt(update)
            clock.bytes["up"] += len(upload)
            with clock.phase("receive"):
                received = self._vectors.load(upload)
            if total is None:
                total = received
                continue
            with clock.phase("add"):
                total.add_(received)
        if total is None:
            raise ValueError("a sum needs at least one site")
        download = bytes(total.serialize())
        clock.bytes["down"] += len(download)
        with clock.phase("open"):
            return np.array(self._vectors.open(download)) / len(updates)


def measure(case: Case) -> Iterator[dict[str, Any]]:
    """Progress objects, then the row."""
    way: Way = PeersWay() if case.scheme == PEERS else OurWay(case)
    pieces = -(-case.parameters // way.piece_values)
    clocks = []
    squares = largest = 0.0
    for repeat in range(case.repeats):
        clock = Clock()
        for index in range(pieces):
            updates = _updates(case, index, way.piece_values)
            exact = np.mean(updates, axis=0)
            error = np.abs(way.mean(index, updates, clock) - exact)
            squares += float(error @ error)
            largest = max(largest, float(error.max()))
            yield {"progress": (repeat + (index + 1) / pieces) / case.repeats}
        clocks.append(clock)
    count = case.parameters * case.repeats
    yield {"row": _row(case, way, clocks, math.sqrt(squares / count), largest)}


def _updates(case: Case, index: int, piece_values: int) -> list[FloatVector]:
    """Normal updates of one piece, made anew each time so that nothing need be kept."""
    count = min(piece_values, case.parameters - index * piece_values)
    return [
        np.random.default_rng((case.seed, index, site)).normal(0, UPDATE_SIGMA, count)
        for site in range(case.sites)
    ]


def _row(case: Case, way: Way, clocks: list[Clock], rms: float, largest: float) -> dict[str, Any]:
    uploaded = case.parameters * case.sites
    added = case.parameters * (case.sites - 1)

    def rate(values: int, phase: str) -> float | None:
        fastest = min(clock.seconds[phase] for clock in clocks)
        return values / fastest / 1e6 if fastest else None

    row: dict[str, Any] = {
        "scheme": case.scheme,
        "wire_bits": way.wire_bits,
        "parameters": case.parameters,
        "sites": case.sites,
        "uplink_bytes_per_parameter": clocks[0].bytes["up"] / uploaded,
        "downlink_bytes_per_parameter": clocks[0].bytes["down"] / case.parameters,
        "encrypt_mparam_s": rate(uploaded, "encrypt"),
        "receive_mparam_s": rate(uploaded, "receive"),
        "add_mparam_s": rate(added, "add"),
        "open_mparam_s": rate(case.parameters, "open"),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "rms_error": rms,
        "max_error": largest,
    }
    if case.scheme == PEERS:
        return {**row, "baseline": True}
    row["precision_bits"] = way.precision_bits
    if case.scheme == CKKS_MULTIPARTY:
        row |= {"engine": engine_name(), "clip_range": COORDINATE_SIGMAS * UPDATE_SIGMA}
    return row


def main() -> None:
    """Measure the case given as the only argument."""
    values = json.loads(sys.argv[1])
    case = Case(**{field.name: values[field.name] for field in fields(Case)})
    for line in measure(case):
        print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
