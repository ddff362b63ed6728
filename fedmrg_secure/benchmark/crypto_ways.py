"""The ways to sum updates that ``fedmrg bench crypto`` compares: ours and TenSEAL's."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from fedmrg_secure.core.types import FloatVector, ResidueVector
from fedmrg_secure.crypto.capacity import check_capacity, error_bound
from fedmrg_secure.crypto.errors import CapacityExceeded, OpeningRefused
from fedmrg_secure.crypto.frame import (
    AGGREGATE,
    FrameHeader,
    decode_frame,
    encode_frame,
    join_frame,
    vector_bytes,
)
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, RoundKey, add_shares, combine
from fedmrg_secure.crypto.multiparty_budget import DEFAULT_WIRE_BITS
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.crypto.peer_baseline import PRIME_BITS, VECTOR_VALUES, TensealVectors
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.crypto.schemes import make_scheme, needs_key, new_key
from fedmrg_secure.update.fixed_point import FixedPoint

UPDATE_SIGMA: Final = 0.01
"""Standard deviation of the made-up updates' coordinates."""

COORDINATE_SIGMAS: Final = 10
"""Bound on a coordinate for ``ckks-multiparty``, whose coordinates need one of their own: 0.1."""

_SESSION: Final = bytes(32)
_PLAN: Final = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a way promises before anything is measured.

    Attributes:
        range: the bound on which its grid rests: of a coordinate for ``ckks-multiparty``, of the
            norm for the others; in the updates' units.
        error_bound: of a coordinate of the mean, as a share of `range`.
        precision_bits: of the grid.
        uplink_bytes, downlink_bytes: exact bytes of one site's vector and of the sum.
    """

    range: float
    error_bound: float
    precision_bits: int
    uplink_bytes: int
    downlink_bytes: int


class Way(Protocol):
    """A way to sum updates, piece by piece; the pieces are independent."""

    piece_values: int
    wire_bits: float
    limits: Limits | None
    is_concurrent: bool

    def encrypt(self, site: int, index: int, update: FloatVector) -> bytes:
        """What one site sends for one piece, from float64 to bytes."""
        ...

    def receive(self, site: int, index: int, upload: bytes) -> Any:
        """An upload as the coordinator can add it."""
        ...

    def add(self, total: Any, received: Any) -> None:
        """Add to what was received first, in place."""
        ...

    def publish(self, index: int, total: Any) -> bytes:
        """What the coordinator sends for one piece."""
        ...

    def open(self, index: int, download: bytes, count: int) -> FloatVector:
        """The mean of one piece of `count` values."""
        ...


class OurWay:
    """A scheme of ours, with its frames."""

    def __init__(
        self, scheme: str, *, values: int, sites: int, precision_bits: int, wire_bits: int | None
    ) -> None:
        """Args:
            scheme: one of `crypto.parameters.SCHEMES`.
            values: of one site's vector.
            sites: uploads in the sum.
            precision_bits: of the grid; ``ckks-multiparty`` takes as fine a one as fits.
            wire_bits: of ``ckks-multiparty``.

        Raises:
            CapacityExceeded: such a sum does not fit.
        """
        self._values, self._count = values, sites
        self._sites: list[Scheme]
        self._opener: Scheme
        if scheme == CKKS_MULTIPARTY:
            self._codec, self._parameters = _finest_grid(sites, wire_bits or DEFAULT_WIRE_BITS)
            self._sites, self._opener = _round(self._parameters, values, sites)
        else:
            self._codec = FixedPoint(norm_bound(values), precision_bits)
            self._parameters = check_capacity(
                scheme,
                sites=sites,
                clip_norm=self._codec.clip_norm,
                precision_bits=precision_bits,
            )
            key = new_key(self._parameters) if needs_key(self._parameters) else None
            self._opener = make_scheme(self._parameters, key)
            self._sites = [self._opener] * sites
        self.piece_values = self._parameters.chunk_values
        self.wire_bits = self._parameters.residue_bits / self._parameters.digits
        self.is_concurrent = self._opener.is_concurrent
        self.limits: Limits | None = self._limits()

    def _limits(self) -> Limits:
        bits = self._codec.precision_bits
        noise = self._parameters.sum_error_bound(self._count)
        grid = error_bound(sites=self._count, precision_bits=bits, total_weight=self._count)
        return Limits(
            range=self._codec.clip_norm,
            error_bound=grid + math.ldexp(noise / self._count, -bits),
            precision_bits=bits,
            uplink_bytes=vector_bytes(self._parameters, self._values, sender="site-0"),
            downlink_bytes=vector_bytes(
                self._parameters, self._values, sender=AGGREGATE, contributors=self._count
            ),
        )

    def encrypt(self, site: int, index: int, update: FloatVector) -> bytes:
        chunk = self._sites[site].encrypt_chunk(index, self._codec.encode(update))
        return join_frame(self._header(index, f"site-{site}", 1), chunk.packed, chunk.openers)

    def receive(self, site: int, index: int, upload: bytes) -> _Sum:
        frame = decode_frame(upload, self._header(index, f"site-{site}", 1))
        return _Sum(frame.residues, [frame.openers])

    def add(self, total: _Sum, received: _Sum) -> None:
        add_mod(total.residues, received.residues, self._parameters.modulus)
        total.openers.extend(received.openers)

    def publish(self, index: int, total: _Sum) -> bytes:
        header = self._header(index, AGGREGATE, len(total.openers))
        return encode_frame(header, total.residues, b"".join(total.openers))

    def open(self, index: int, download: bytes, count: int) -> FloatVector:
        received = decode_frame(download, self._header(index, AGGREGATE, self._count))
        openers = received.openers_by_contributor(self._count)
        opened = self._opener.open_chunk(index, received.residues, openers, count)
        return self._codec.decode(opened, self._count)

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


@dataclass(frozen=True, slots=True)
class _Sum:
    residues: ResidueVector
    openers: list[bytes]


def norm_bound(values: int) -> float:
    """Slightly above the norm that the made-up updates have."""
    return 1.05 * UPDATE_SIGMA * math.sqrt(values) + 5 * UPDATE_SIGMA


def _finest_grid(sites: int, wire_bits: int) -> tuple[FixedPoint, SchemeParameters]:
    """A grid of 16 units of the ring or more, so that the wire's rounding is what is measured."""
    bound = COORDINATE_SIGMAS * UPDATE_SIGMA
    for bits in range(30, 8, -1):
        codec = FixedPoint(bound, bits)
        try:
            parameters = SchemeParameters.for_config(
                CKKS_MULTIPARTY,
                sites=sites,
                max_abs_value=codec.max_abs_value,
                wire_bits=wire_bits,
            )
        except CapacityExceeded:
            continue
        if parameters.scale >= 16:
            return codec, parameters
    raise CapacityExceeded(f"{sites} sites do not fit with {wire_bits} bits on the wire")


def _round(
    parameters: SchemeParameters, values: int, sites: int
) -> tuple[list[Scheme], CkksMultiparty]:
    """Each site's scheme with a key of its own, and one that opens, compiled code loaded."""
    trial = CkksMultiparty(parameters, _PLAN, 1, RoundKey.generate(parameters))
    trial.encrypt_chunk(0, np.zeros(1, dtype=np.int64))
    keys = [RoundKey.generate(parameters) for _ in range(sites)]
    dealt = [key.shares(1, 1)[0] for key in keys]
    sum_key = combine([add_shares(dealt)], 1)
    opener = CkksMultiparty(parameters, _PLAN, values, sum_key=sum_key)
    trial_sum = np.zeros(parameters.chunk_blocks(0, 1) * parameters.block_residues, np.uint64)
    with suppress(OpeningRefused):
        CkksMultiparty(parameters, _PLAN, 1, sum_key=sum_key).open_chunk(0, trial_sum, [b""], 1)
    return [CkksMultiparty(parameters, _PLAN, values, key) for key in keys], opener


class PeersWay:
    """TenSEAL vectors at the parameters that other frameworks document."""

    piece_values = VECTOR_VALUES
    wire_bits = 2.0 * 2 * sum(PRIME_BITS[:-1])
    limits: Limits | None = None
    is_concurrent = False

    def __init__(self, sites: int) -> None:
        self._vectors = TensealVectors()
        self._count = sites

    def encrypt(self, site: int, index: int, update: FloatVector) -> bytes:
        return self._vectors.encrypt(update)

    def receive(self, site: int, index: int, upload: bytes) -> Any:
        return self._vectors.load(upload)

    def add(self, total: Any, received: Any) -> None:
        total.add_(received)

    def publish(self, index: int, total: Any) -> bytes:
        return bytes(total.serialize())

    def open(self, index: int, download: bytes, count: int) -> FloatVector:
        return np.array(self._vectors.open(download)) / self._count
