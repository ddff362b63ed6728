"""Public parameters of a scheme: ring, modulus, scale, noise budget, chunking.

This module loads neither tenseal nor torch: the coordinator uses it.

The noise budget of ``ckks-shared`` (docs/secure-aggregation.md has the derivation):

* A site's integers v (a block of N of them, two to a slot) become coefficients
  ``m = round(scale * embedding(v))`` with ``|m_j| <= scale * ||v||_2 / sqrt(N / 2)``.
* A fresh symmetric encryption adds e with N independent coefficients of variance
  ``NOISE_VARIANCE`` (SEAL's centred binomial, 21 coin pairs) and the rounding above at most 1/2.
* Decoding the sum of n sites gives ``scale * sum(v) + noise`` in each real coordinate, noise of
  variance ``n * (NOISE_VARIANCE + 1/12) * N / 2``.
* The scale puts half a grid step at `MARGIN_SIGMAS` standard deviations, so that rounding
  ``decoded / scale`` gives the exact integer sum; a centred binomial is sub-Gaussian, so a
  coordinate fails with probability below ``2 exp(-MARGIN_SIGMAS^2 / 2) < 4e-22``.
* The sum fits while ``scale * n * norm / sqrt(N / 2) + 22 * n < modulus / 2``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final

from fedmrg_secure.core.canonical import JsonValue, hash_json
from fedmrg_secure.crypto.errors import CapacityExceeded, UnsafeParameters

CKKS_SHARED: Final = "ckks-shared"
INSECURE_PLAINTEXT: Final = "insecure-plaintext"
SCHEMES: Final = (CKKS_SHARED, INSECURE_PLAINTEXT)

MAX_MODULUS_BITS: Final = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438}
"""Ring degree -> largest log2 q for 128-bit classical security with a ternary secret.

Source: Albrecht et al., Homomorphic Encryption Security Standard (2018), table 1.
"""

RING_DEGREE: Final = 2048
MODULUS: Final = 1099511590913
"""The largest 40-bit prime that is 1 modulo 2 * RING_DEGREE; SEAL chooses the same."""

NOISE_VARIANCE: Final = Fraction(21, 2)
MAX_NOISE: Final = 21
MARGIN_SIGMAS: Final = 10
MAX_SITES: Final = 256
"""Keeps an aggregate frame, with an opener of every site, below gRPC's 4 MB."""

BLOCKS_PER_CHUNK: Final = 128
SEED_BYTES: Final = 64
_TAG: Final = "fedmrg/scheme-parameters/v1"
_ROUNDING_VARIANCE: Final = Fraction(1, 12)


@dataclass(frozen=True)
class SchemeParameters:
    """Everything public that two parties must agree on to add and open sums.

    Attributes:
        scheme: one of `SCHEMES`.
        ring_degree: N; for ``insecure-plaintext`` the number of values of a block.
        modulus: residues are in [0, modulus).
        scale: residue units a grid step; 1 for ``insecure-plaintext``.
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
    sites: int
    max_abs_value: int
    max_norm: int
    blocks_per_chunk: int = BLOCKS_PER_CHUNK

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UnsafeParameters(
                f"{self.scheme!r} is not a scheme", hint=f"choose one of {', '.join(SCHEMES)}"
            )
        if not 1 <= self.sites <= MAX_SITES:
            raise CapacityExceeded(
                f"one federation has 1 to {MAX_SITES} sites, got {self.sites}",
                hint="merge institutions that share a network into one site",
            )
        if min(self.max_abs_value, self.max_norm, self.scale, self.blocks_per_chunk) < 1:
            raise UnsafeParameters("every bound and size of a scheme must be at least 1")
        if self.scheme == CKKS_SHARED:
            check_security(self.ring_degree, self.modulus)
            if self.scale < required_scale(self.ring_degree, self.sites):
                raise UnsafeParameters(
                    f"a scale of {self.scale} lets noise reach the grid at {self.sites} sites"
                )
        if self.residue_bits > 56:
            raise UnsafeParameters(f"a modulus has at most 56 bits, got {self.residue_bits}")
        self._check_capacity()

    @classmethod
    def for_config(
        cls, scheme: str, *, sites: int, max_abs_value: int, max_norm: int | None = None
    ) -> SchemeParameters:
        """The parameters this software uses for a federation.

        Args:
            scheme: one of `SCHEMES`.
            sites: the largest number of sites in one sum.
            max_abs_value: bound on a coordinate of one site's integers, >= 1.
            max_norm: bound on the L2 norm of one site's vector in grid steps before rounding;
                None where only the coordinates are bounded, which costs log2(sqrt(N)) = 5.5 bits
                of capacity.
        """
        if max_norm is None:
            max_norm = max_abs_value * (math.isqrt(RING_DEGREE) + 1)
        scale = required_scale(RING_DEGREE, sites) if scheme == CKKS_SHARED else 1
        return cls(
            scheme=scheme,
            ring_degree=RING_DEGREE,
            modulus=MODULUS,
            scale=scale,
            sites=sites,
            max_abs_value=max_abs_value,
            max_norm=max_norm,
        )

    @property
    def residue_bits(self) -> int:
        """Width of a residue on the wire, bits."""
        return (self.modulus - 1).bit_length()

    @property
    def block_values(self) -> int:
        """Values of a block: N, two in each of N/2 complex slots."""
        return self.ring_degree

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

        Rounding moves each of N coordinates by at most 1/2, so the norm by at most sqrt(N) / 2.
        """
        rounded = self.max_norm + math.isqrt(self.block_values) // 2 + 1
        dense = self.max_abs_value * (math.isqrt(self.block_values) + 1)
        return min(rounded, dense)

    def noise_sigma(self, sites: int) -> float:
        """Standard deviation of the decoded noise of a sum of `sites`, residue units."""
        return math.sqrt(_noise_variance(self.ring_degree, sites))

    def chunk_count(self, values: int) -> int:
        """Chunks of a vector of `values` values."""
        if values < 1:
            raise ValueError(f"a vector has at least one value, got {values}")
        return -(-values // self.chunk_values)

    def chunk_slice(self, index: int, values: int) -> slice:
        """Where chunk `index` lies in a vector of `values` values."""
        if not 0 <= index < self.chunk_count(values):
            raise ValueError(f"chunk {index} of {self.chunk_count(values)}")
        start = index * self.chunk_values
        return slice(start, min(start + self.chunk_values, values))

    def chunk_blocks(self, index: int, values: int) -> int:
        """Blocks of chunk `index`; the last block of a vector is padded with zeros."""
        chunk = self.chunk_slice(index, values)
        count: int = chunk.stop - chunk.start
        return -(-count // self.block_values)

    def to_json(self) -> dict[str, JsonValue]:
        """All fields: what a session manifest pins. `modulus` fits JSON's 53 bits."""
        return {**asdict(self)}

    @classmethod
    def from_json(cls, value: object) -> SchemeParameters:
        """The inverse of `to_json`, checked in full; raises `UnsafeParameters`."""
        kinds = {name: str if name == "scheme" else int for name in cls.__dataclass_fields__}
        if not isinstance(value, dict) or set(value) != set(kinds):
            raise UnsafeParameters(f"scheme parameters have exactly the fields {', '.join(kinds)}")
        for name, kind in kinds.items():
            if type(value[name]) is not kind:
                raise UnsafeParameters(f"{name} of the scheme parameters must be {kind.__name__}")
        return cls(**value)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON, under a domain-separation tag."""
        return hash_json(_TAG, self.to_json()).hex()

    def _check_capacity(self) -> None:
        sum_norm = self.sites * self.max_block_norm
        if self.scheme == INSECURE_PLAINTEXT:
            needed = 2 * self.sites * self.max_abs_value + 1
        else:
            # |m_j| <= scale * norm / sqrt(N/2); isqrt rounds down, which errs on the safe side.
            coefficient = -(-self.scale * sum_norm // math.isqrt(self.ring_degree // 2))
            needed = 2 * (coefficient + (MAX_NOISE + 1) * self.sites) + 1
        if needed > self.modulus:
            raise CapacityExceeded(
                f"{self.sites} sites with values up to {self.max_abs_value} "
                f"(norm {self.max_norm}) need a modulus of {math.log2(needed):.1f} bits; "
                f"there are {math.log2(self.modulus):.1f}",
                hint="lower update.precision_bits or the number of sites",
            )


def check_security(ring_degree: int, modulus: int) -> None:
    """Refuse a ring outside the HE standard's 128-bit table.

    Raises:
        UnsafeParameters: an unknown ring degree, or a modulus too large for it.
    """
    allowed = MAX_MODULUS_BITS.get(ring_degree)
    if allowed is None:
        raise UnsafeParameters(
            f"ring degree {ring_degree} is not in the HE standard's table",
            hint=f"choose one of {', '.join(map(str, MAX_MODULUS_BITS))}",
        )
    if modulus.bit_length() > allowed:
        raise UnsafeParameters(
            f"a modulus of {modulus.bit_length()} bits at ring degree {ring_degree} is below "
            f"128-bit security, which allows {allowed} bits"
        )


def required_scale(ring_degree: int, sites: int) -> int:
    """The smallest scale that keeps a sum's noise `MARGIN_SIGMAS` below half a grid step."""
    sigma = math.sqrt(_noise_variance(ring_degree, max(sites, 1)))
    return math.ceil(2 * MARGIN_SIGMAS * sigma)


def _noise_variance(ring_degree: int, sites: int) -> float:
    return float(sites * (NOISE_VARIANCE + _ROUNDING_VARIANCE) * ring_degree / 2)
