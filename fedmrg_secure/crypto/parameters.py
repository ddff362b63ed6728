"""Public parameters of a scheme: ring, modulus, scale, digits, chunking.

This module loads neither tenseal nor torch: the coordinator uses it. `crypto.budget` says what
fits and what is safe.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final

from fedmrg_secure.core.canonical import JsonValue, hash_json
from fedmrg_secure.crypto import budget, multiparty_budget
from fedmrg_secure.crypto.errors import CapacityExceeded, UnsafeParameters
from fedmrg_secure.crypto.primes import is_prime, ntt_prime
from fedmrg_secure.crypto.residues import MAX_RESIDUE_BITS, MIN_RESIDUE_BITS

CKKS_SHARED: Final = "ckks-shared"
INSECURE_PLAINTEXT: Final = "insecure-plaintext"
CKKS_MULTIPARTY: Final = "ckks-multiparty"
SCHEMES: Final = (CKKS_SHARED, INSECURE_PLAINTEXT, CKKS_MULTIPARTY)
"""In the order of their ids in a frame, which are places in this tuple plus 1: append only."""


RING_DEGREE: Final = 2048
MAX_DIGITS: Final = 3
MAX_SITES: Final = 1024
"""Keeps an aggregate frame, with an opener of every site, below gRPC's 4 MB."""

BLOCKS_PER_CHUNK: Final = 64
SEED_BYTES: Final = 64
_MIN_MODULUS_BITS: Final = 24
_TAG: Final = "fedmrg/scheme-parameters/v1"


@dataclass(frozen=True)
class SchemeParameters:
    """Everything public that two parties must agree on to add and open sums.

    Attributes:
        scheme: one of `SCHEMES`.
        ring_degree: N; for ``insecure-plaintext`` the number of residues of a block.
        modulus: residues are in [0, modulus), and what the coordinator adds modulo; for
            ``ckks-shared`` a prime, 1 modulo 2N; for ``ckks-multiparty`` 2^w, w the wire's width.
        scale: units of `ring_modulus` a grid step; 1 for ``insecure-plaintext``.
        digits: values that share a coordinate, 1 to `MAX_DIGITS`.
        sites: the largest number of sites in one sum, 1 to `MAX_SITES`.
        max_abs_value: bound on a coordinate of one site's integers.
        max_norm: bound on the L2 norm of one site's integers before rounding to the grid.
        blocks_per_chunk: blocks that travel in one frame.

    Raises:
        UnsafeParameters: outside the HE standard's table at 128 bits, or no known scheme.
        CapacityExceeded: the sum of `sites` such vectors does not fit with the noise margin.
    """

    scheme: str
    ring_degree: int
    modulus: int
    scale: int
    digits: int
    sites: int
    max_abs_value: int
    max_norm: int
    blocks_per_chunk: int = BLOCKS_PER_CHUNK

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UnsafeParameters(
                f"{self.scheme!r} is not a scheme", hint=f"choose one of {', '.join(SCHEMES)}"
            )
        _check_sites(self.sites)
        if min(self.max_abs_value, self.max_norm, self.scale, self.blocks_per_chunk) < 1:
            raise UnsafeParameters("every bound and size of a scheme must be at least 1")
        if self.blocks_per_chunk > BLOCKS_PER_CHUNK or not 1 <= self.digits <= MAX_DIGITS:
            raise UnsafeParameters("a chunk or a coordinate holds too many values")
        if not MIN_RESIDUE_BITS <= self.residue_bits <= MAX_RESIDUE_BITS:
            raise UnsafeParameters(
                f"a modulus has {MIN_RESIDUE_BITS} to {MAX_RESIDUE_BITS} bits, not "
                f"{self.residue_bits}"
            )
        if self.scheme == CKKS_SHARED:
            self._check_shared()
        elif self.scheme == CKKS_MULTIPARTY:
            self._check_multiparty()
        elif self.scale != 1 or self.digits != 1 or self.ring_degree != RING_DEGREE:
            raise UnsafeParameters("insecure-plaintext has scale 1 and one digit")
        if self.required_modulus > self.ring_modulus:
            raise CapacityExceeded(
                f"{self.sites} sites with values up to {self.max_abs_value} need a modulus of "
                f"{math.log2(self.required_modulus):.1f} bits, there are "
                f"{math.log2(self.ring_modulus):.1f}",
                hint="lower update.precision_bits or the number of sites",
            )

    def _check_shared(self) -> None:
        budget.check_security(self.ring_degree, self.modulus)
        if self.modulus % (2 * self.ring_degree) != 1 or not is_prime(self.modulus):
            raise UnsafeParameters("the modulus is not a prime that is 1 modulo 2N")
        if self.scale < budget.required_scale(self.ring_degree, self.sites):
            raise UnsafeParameters(
                f"a scale of {self.scale} lets noise reach the grid at {self.sites} sites"
            )

    def _check_multiparty(self) -> None:
        budget.check_security(self.ring_degree, self.ring_modulus)
        if self.ring_degree != multiparty_budget.RING_DEGREE or self.digits != 1:
            raise UnsafeParameters(f"{self.scheme} has ring degree {RING_DEGREE} and one digit")
        _check_wire_bits(self.residue_bits)
        if self.modulus != 1 << self.residue_bits:
            raise UnsafeParameters(f"the wire's modulus of {self.scheme} is a power of 2")

    @classmethod
    def for_config(
        cls,
        scheme: str,
        *,
        sites: int,
        max_abs_value: int,
        max_norm: int | None = None,
        wire_bits: int = multiparty_budget.DEFAULT_WIRE_BITS,
    ) -> SchemeParameters:
        """The parameters with the fewest bits a value on the wire.

        Args:
            scheme: one of `SCHEMES`.
            sites: the largest number of sites in one sum.
            max_abs_value: bound on a coordinate of one site's integers, >= 1.
            max_norm: bound on the L2 norm of one site's vector in grid steps before rounding;
                None where only the coordinates are bounded, which costs about 5.5 bits with
                ``ckks-shared`` and nothing with the others.
            wire_bits: of ``ckks-multiparty``, one of `multiparty_budget.WIRE_BITS`; the others
                choose for themselves.

        Raises:
            UnsafeParameters: no known scheme or width.
            CapacityExceeded: no modulus within 128-bit security carries the sum.
        """
        _check_sites(sites)
        if max_norm is None:
            max_norm = max_abs_value * (math.isqrt(MAX_DIGITS * RING_DEGREE) + 1)
        bounds = {"sites": sites, "max_abs_value": max_abs_value, "max_norm": max_norm}
        if scheme == CKKS_MULTIPARTY:
            _check_wire_bits(wire_bits)
            scale = multiparty_budget.largest_scale(sites, max_abs_value, wire_bits)
            # Without room for a single unit a step, the constructor says what is missing.
            return cls(scheme, RING_DEGREE, 1 << wire_bits, max(scale, 1), digits=1, **bounds)
        if scheme != CKKS_SHARED:
            whole_bytes = -(-(2 * sites * max_abs_value + 1).bit_length() // 8)
            modulus = 256**whole_bytes - 1
            return cls(scheme, RING_DEGREE, modulus, scale=1, digits=1, **bounds)
        scale = budget.required_scale(RING_DEGREE, sites)
        limit = budget.MAX_MODULUS_BITS[RING_DEGREE]
        fitting = []
        for digits in range(1, MAX_DIGITS + 1):
            needed = budget.required_modulus(RING_DEGREE, scale, digits, **bounds)
            bits = max(needed.bit_length(), _MIN_MODULUS_BITS)
            if bits <= limit and ntt_prime(RING_DEGREE, bits) < needed:
                bits += 1
            if bits <= limit:
                fitting.append((Fraction(bits, digits), digits, bits))
        if not fitting:
            needed = budget.required_modulus(RING_DEGREE, scale, 1, **bounds)
            raise CapacityExceeded(
                f"{sites} sites with values up to {max_abs_value} need a modulus of "
                f"{math.log2(needed):.1f} bits, 128-bit security allows {limit}",
                hint="lower update.precision_bits or the number of sites",
            )
        _, digits, bits = min(fitting)
        modulus = ntt_prime(RING_DEGREE, bits)
        return cls(scheme, RING_DEGREE, modulus, scale=scale, digits=digits, **bounds)

    @property
    def required_modulus(self) -> int:
        """The smallest `ring_modulus` that carries the sum of `sites` vectors within the bounds."""
        if self.scheme == INSECURE_PLAINTEXT:
            return 2 * self.sites * self.max_abs_value + 1
        if self.scheme == CKKS_MULTIPARTY:
            return multiparty_budget.required_ring_modulus(
                self.sites, self.max_abs_value, self.scale, self.residue_bits
            )
        return budget.required_modulus(
            self.ring_degree,
            self.scale,
            self.digits,
            sites=self.sites,
            max_abs_value=self.max_abs_value,
            max_norm=self.max_norm,
        )

    @property
    def ring_modulus(self) -> int:
        """q, in which values and noise lie; the wire's `modulus` except for ``ckks-multiparty``."""
        return multiparty_budget.RING_MODULUS if self.scheme == CKKS_MULTIPARTY else self.modulus

    @property
    def check_values(self) -> int:
        """Zeros that close a vector, the last coefficients of its last block."""
        return multiparty_budget.CHECK_VALUES if self.scheme == CKKS_MULTIPARTY else 0

    def sum_error_bound(self, sites: int) -> int:
        """A bound on ``|opened - exact|`` of a coordinate of a sum, in grid steps.

        Args:
            sites: how many are in the sum.

        Guarantee:
            Holds for a whole vector of up to 5e7 values of honest sites with probability above
            1 - 2^-60; 0 where opened sums are exact.
        """
        if self.scheme != CKKS_MULTIPARTY:
            return 0
        return multiparty_budget.sum_error_bound(sites, self.scale, self.residue_bits)

    def sum_error_rms(self, sites: int) -> float:
        """Root mean square of ``opened - exact`` in grid steps, 0 where sums are exact."""
        if self.scheme != CKKS_MULTIPARTY:
            return 0.0
        return multiparty_budget.sum_error_rms(sites, self.scale, self.residue_bits)

    @property
    def digit_base(self) -> int:
        """What one digit is worth in the next: no digit of a sum reaches half of it."""
        return budget.digit_base(self.sites, self.max_abs_value)

    @property
    def residue_bits(self) -> int:
        """Width of a residue on the wire, bits."""
        return (self.modulus - 1).bit_length()

    @property
    def block_values(self) -> int:
        """Values of a block: `digits` in each of N coordinates or coefficients."""
        return self.ring_degree * self.digits

    @property
    def block_residues(self) -> int:
        """Residues of a block on the wire: c0 alone, c1 travels as a seed."""
        return self.ring_degree

    @property
    def opener_bytes(self) -> int:
        """Bytes of one site's opener of one block: SEAL's seed of c1."""
        return SEED_BYTES if self.scheme == CKKS_SHARED else 0

    @property
    def chunk_values(self) -> int:
        """Values of a full chunk."""
        return self.block_values * self.blocks_per_chunk

    @property
    def max_block_norm(self) -> int:
        """Bound on the L2 norm of one site's integers in one block, rounding to the grid included.

        Rounding moves each of `block_values` by at most 1/2, the norm by at most half the root.
        """
        return budget.max_block_norm(self.block_values, self.max_abs_value, self.max_norm)

    def noise_sigma(self, sites: int) -> float:
        """Standard deviation of the noise of a sum of `sites`, units of `ring_modulus`."""
        if self.scheme == CKKS_MULTIPARTY:
            return math.sqrt(multiparty_budget.noise_variance(sites, self.residue_bits))
        return math.sqrt(budget.noise_variance(self.ring_degree, sites))

    def chunk_count(self, values: int) -> int:
        """Chunks of a vector of `values` values and its `check_values`."""
        if values < 1:
            raise ValueError(f"a vector has at least one value, got {values}")
        return -(-(values + self.check_values) // self.chunk_values)

    def chunk_slice(self, index: int, values: int) -> slice:
        """Where chunk `index` lies in a vector of `values` values.

        The last chunk's slice is empty where it holds nothing but the check block.
        """
        if not 0 <= index < self.chunk_count(values):
            raise ValueError(f"chunk {index} of {self.chunk_count(values)}")
        start = index * self.chunk_values
        return slice(min(start, values), min(start + self.chunk_values, values))

    def chunk_blocks(self, index: int, values: int) -> int:
        """Blocks of chunk `index`; a vector is padded with zeros to whole blocks."""
        if not 0 <= index < self.chunk_count(values):
            raise ValueError(f"chunk {index} of {self.chunk_count(values)}")
        start = index * self.chunk_values
        stop = min(start + self.chunk_values, values + self.check_values)
        return -(-(stop - start) // self.block_values)

    def to_json(self) -> dict[str, JsonValue]:
        """All fields: what a session manifest pins. The modulus, above JSON's 2^53, as decimals."""
        return {**asdict(self), "modulus": str(self.modulus)}

    @classmethod
    def from_json(cls, value: object) -> SchemeParameters:
        """The inverse of `to_json`, checked in full.

        Raises:
            UnsafeParameters, CapacityExceeded: as the constructor, or not of that form.
        """
        kinds = dict.fromkeys(cls.__dataclass_fields__, int) | {"scheme": str, "modulus": str}
        if not isinstance(value, dict) or set(value) != set(kinds):
            raise UnsafeParameters(f"scheme parameters have exactly the fields {', '.join(kinds)}")
        for name, kind in kinds.items():
            if type(value[name]) is not kind:
                raise UnsafeParameters(f"{name} of the scheme parameters must be {kind.__name__}")
        if not re.fullmatch("[1-9][0-9]{0,18}", value["modulus"], re.ASCII):
            raise UnsafeParameters("the modulus is not a decimal number")
        return cls(**{**value, "modulus": int(value["modulus"])})

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON, under a domain-separation tag."""
        return hash_json(_TAG, self.to_json()).hex()


def _check_wire_bits(wire_bits: int) -> None:
    if wire_bits not in multiparty_budget.WIRE_BITS:
        widths = ", ".join(map(str, multiparty_budget.WIRE_BITS))
        raise UnsafeParameters(
            f"{CKKS_MULTIPARTY} has no wire of {wire_bits} bits: {widths}",
            hint="choose one of these",
        )


def _check_sites(sites: int) -> None:
    if not 1 <= sites <= MAX_SITES:
        raise CapacityExceeded(
            f"one federation has 1 to {MAX_SITES} sites, got {sites}",
            hint="merge institutions that share a network into one site",
        )
