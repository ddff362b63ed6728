"""The interface of every scheme: how integers become residues, and how a sum is opened.

The coordinator only adds residues modulo `SchemeParameters.modulus` (`residues.add_mod`) and
concatenates openers; it needs nothing of what is below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedmrg_secure.core.types import FloatVector, IntVector, ResidueVector
from fedmrg_secure.crypto.errors import OpeningRefused, ValuesOutOfRange
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import check_residues, pack, unpack


@dataclass(frozen=True, slots=True)
class EncryptedChunk:
    """One chunk as it goes into a frame.

    Attributes:
        packed: blocks * block_residues residues below the modulus, laid out as by `residues.pack`.
        openers: blocks * opener_bytes bytes, opaque to the coordinator.
        residue_bits: width of a packed residue.
    """

    packed: bytes | memoryview
    openers: bytes
    residue_bits: int

    @classmethod
    def of(
        cls, residues: ResidueVector, openers: bytes, parameters: SchemeParameters
    ) -> EncryptedChunk:
        """A chunk of residues that are not packed yet.

        Raises:
            ResidueOutOfRange: a residue is at or above the modulus.
        """
        check_residues(residues, parameters.modulus)
        return cls(pack(residues, parameters.residue_bits), openers, parameters.residue_bits)

    @property
    def residues(self) -> ResidueVector:
        """Shape (blocks * block_residues,), uint64; unpacked anew at each call."""
        # A block has a multiple of 8 residues, so no bit of the last byte is unused.
        count = 8 * len(self.packed) // self.residue_bits
        return unpack(self.packed, count, self.residue_bits)


class Scheme(Protocol):
    """What a site holds to encrypt its own update and to open the federation's sum."""

    @property
    def parameters(self) -> SchemeParameters:
        """The public parameters."""
        ...

    @property
    def is_concurrent(self) -> bool:
        """Whether several threads may encrypt or open different chunks at a time."""
        ...

    def encrypt_chunk(self, index: int, values: IntVector) -> EncryptedChunk:
        """Encrypt one chunk.

        Args:
            index: the chunk's place in the vector, from 0.
            values: shape (count,), int64, those of ``parameters.chunk_slice(index, ...)``, within
                ``parameters.max_abs_value`` and, in each block, ``parameters.max_block_norm``.

        Raises:
            ValuesOutOfRange: beyond those bounds; nothing was encrypted.
            KeyUnusable: there is no key, or it must not encrypt this.
        """
        ...

    def open_chunk(
        self, index: int, residues: ResidueVector, openers: Sequence[bytes], value_count: int
    ) -> IntVector:
        """Open the sum of one chunk of several sites.

        Args:
            index: the chunk's place in the vector, from 0.
            residues: the sum modulo the modulus, shape (blocks * block_residues,), uint64.
            openers: the openers of each site in the sum, in any order, each once; empty bytes
                where ``parameters.opener_bytes`` is 0: their number is the number of sites.
            value_count: values of this chunk, without the padding.

        Returns:
            The integer sum in grid steps, shape (value_count,), int64: exact up to
            ``parameters.sum_error_bound(len(openers))``.

        Raises:
            OpeningRefused: wrong key, a changed sum, a missing or foreign opener, values beyond
                what the sites together may send.
        """
        ...


def to_blocks(values: IntVector, parameters: SchemeParameters) -> IntVector:
    """Values padded with zeros to whole blocks, shape (blocks, block_values), bounds checked.

    Raises:
        ValuesOutOfRange: a coordinate or a block's norm exceeds what the noise budget provides for.
    """
    if not 1 <= values.size <= parameters.chunk_values or values.ndim != 1:
        raise ValueError(f"a chunk has 1 to {parameters.chunk_values} values, got {values.shape}")
    padding = -values.size % parameters.block_values
    # A copy only where zeros are missing: most chunks are full.
    blocks = (np.pad(values, (0, padding)) if padding else values).reshape(
        -1, parameters.block_values
    )
    check_values(blocks, parameters)
    return blocks


def check_values(blocks: IntVector, parameters: SchemeParameters) -> None:
    """Refuse one site's values beyond the bounds.

    Args:
        blocks: shape (blocks, block_values), int64.

    Raises:
        ValuesOutOfRange: a coordinate or a block's norm exceeds what the noise budget provides for.
    """
    largest = int(max(blocks.max(), -int(blocks.min())))
    if largest > parameters.max_abs_value:
        raise ValuesOutOfRange(
            f"a coordinate is {largest}, the session's parameters allow {parameters.max_abs_value}",
            hint="clip the update and use the session's precision_bits",
        )
    if largest * math.sqrt(blocks.shape[1]) < parameters.max_block_norm:
        return
    norm = _largest_norm(blocks)
    if norm > parameters.max_block_norm:
        raise ValuesOutOfRange(
            f"a block has norm {norm:.0f}, the session's parameters allow "
            f"{parameters.max_block_norm}",
            hint="clip the update before encoding it",
        )


def check_sum(total: IntVector, sites: int, parameters: SchemeParameters) -> None:
    """Refuse a sum that `sites` honest sites cannot have sent.

    Args:
        total: shape (blocks, block_values), int64, padding included.

    Raises:
        OpeningRefused: a coordinate or a block's norm exceeds `sites` times one site's bound and
            the honest noise.
    """
    noise = parameters.sum_error_bound(sites)
    largest = int(np.abs(total).max())
    side = math.sqrt(parameters.block_values)
    norm_bound = sites * parameters.max_block_norm + noise * side
    if largest > sites * parameters.max_abs_value + noise or (
        largest * side >= norm_bound and _largest_norm(total) > norm_bound
    ):
        raise OpeningRefused(
            f"the opened sum exceeds what {sites} sites may send",
            hint="a site or the coordinator does not follow the protocol; end the session",
        )


def _largest_norm(blocks: IntVector) -> float:
    """The largest L2 norm of a row, rounded down by more than float64 can err."""
    return max(math.sqrt(float(row @ row)) for row in map(_as_float, blocks)) * (1 - 2**-40)


def _as_float(row: IntVector) -> FloatVector:
    return row.astype(np.float64)
