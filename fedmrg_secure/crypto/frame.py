"""One chunk of residues on the wire: a fixed header, packed residues, openers.

This module loads neither tenseal nor torch: the coordinator uses it. A frame from a peer is
compared with the header that the receiver expects, byte by byte, before anything else is read.

Layout (integers big endian)::

    magic "FMRGFRM" | version 1 | scheme 1 | parameters digest 32 | session 32 | round 4
    | sender length 1 | sender | chunk index 4 | chunk count 4 | blocks 4 | contributors 4
    | residues, ceil(blocks * block_residues * residue_bits / 8), see `residues.pack`
    | openers, contributors * blocks * opener_bytes: contributor by contributor, block by block
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.errors import FrameLengthWrong, FrameMismatch, FrameNotOurs
from fedmrg_secure.crypto.parameters import SCHEMES, SchemeParameters
from fedmrg_secure.crypto.residues import check_residues, pack, packed_bytes, unpack

AGGREGATE: Final = "*aggregate"
"""Sender of the coordinator's sums; no party can have this name."""

_MAGIC: Final = b"FMRGFRM\x01"
_FIXED: Final = struct.Struct(">8sB32s32sIB")
_PLACE: Final = struct.Struct(">IIII")
_U32: Final = 2**32


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame is, in full: two frames with equal headers have equal lengths.

    Attributes:
        parameters: of the scheme, pinned by the session.
        session: the session's id or hash, 32 bytes.
        round: the round's number, 0 to 2^32 - 1.
        sender: a site's party name, or `AGGREGATE`.
        chunk_index: 0 to chunk_count - 1.
        chunk_count: chunks of the whole vector.
        block_count: blocks in this chunk, 1 to ``parameters.blocks_per_chunk``.
        contributors: sites whose openers follow: 1 in an upload, the included sites in a sum.
    """

    parameters: SchemeParameters
    session: bytes
    round: int
    sender: str
    chunk_index: int
    chunk_count: int
    block_count: int
    contributors: int = 1

    def __post_init__(self) -> None:
        if len(self.session) != 32:
            raise ValueError(f"a session id has 32 bytes, got {len(self.session)}")
        if not 0 <= self.round < _U32:
            raise ValueError(f"a round's number has 32 bits, got {self.round}")
        if not 1 <= len(self.sender.encode()) <= 255:
            raise ValueError("a sender's name has 1 to 255 bytes")
        if not 0 <= self.chunk_index < self.chunk_count < _U32:
            raise ValueError(f"chunk {self.chunk_index} of {self.chunk_count}")
        if not 1 <= self.block_count <= self.parameters.blocks_per_chunk:
            raise ValueError(f"a chunk has 1 to {self.parameters.blocks_per_chunk} blocks")
        if not 1 <= self.contributors <= self.parameters.sites:
            raise ValueError(f"a sum has 1 to {self.parameters.sites} contributors")

    @classmethod
    def of_chunk(
        cls,
        parameters: SchemeParameters,
        *,
        session: bytes,
        round: int,  # noqa: A002 (the protocol's word)
        sender: str,
        chunk_index: int,
        value_count: int,
        contributors: int = 1,
    ) -> FrameHeader:
        """The header of chunk `chunk_index` of a vector of `value_count` values."""
        return cls(
            parameters=parameters,
            session=session,
            round=round,
            sender=sender,
            chunk_index=chunk_index,
            chunk_count=parameters.chunk_count(value_count),
            block_count=parameters.chunk_blocks(chunk_index, value_count),
            contributors=contributors,
        )

    @property
    def residue_count(self) -> int:
        """Residues in the frame."""
        return self.block_count * self.parameters.block_residues

    @property
    def openers_bytes(self) -> int:
        """Bytes of all contributors' openers."""
        return self.contributors * self.block_count * self.parameters.opener_bytes

    @property
    def frame_bytes(self) -> int:
        """Exact length of the frame."""
        residues = packed_bytes(self.residue_count, self.parameters.residue_bits)
        return len(self.to_bytes()) + residues + self.openers_bytes

    def to_bytes(self) -> bytes:
        """The header as it begins a frame."""
        sender = self.sender.encode()
        return (
            _FIXED.pack(
                _MAGIC,
                SCHEMES.index(self.parameters.scheme) + 1,
                bytes.fromhex(self.parameters.digest),
                self.session,
                self.round,
                len(sender),
            )
            + sender
            + _PLACE.pack(self.chunk_index, self.chunk_count, self.block_count, self.contributors)
        )


def vector_bytes(
    parameters: SchemeParameters, value_count: int, *, sender: str, contributors: int = 1
) -> int:
    """Exact bytes of all frames that carry one vector.

    Args:
        parameters: of the scheme.
        value_count: values of the vector, >= 1.
        sender: a site's party name, or `AGGREGATE`.
        contributors: 1 for an upload, the included sites for a sum.
    """
    return sum(
        FrameHeader.of_chunk(
            parameters,
            session=bytes(32),
            round=1,
            sender=sender,
            chunk_index=index,
            value_count=value_count,
            contributors=contributors,
        ).frame_bytes
        for index in range(parameters.chunk_count(value_count))
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame carries.

    Attributes:
        residues: shape (blocks * block_residues,), uint64, each below the modulus.
        openers: the contributors' openers, joined in the order of the header's layout.
    """

    residues: ResidueVector
    openers: bytes

    def openers_by_contributor(self, contributors: int) -> list[bytes]:
        """The openers of each contributor, in the order in which they were included."""
        size = len(self.openers) // contributors
        return [self.openers[i * size : (i + 1) * size] for i in range(contributors)]


def encode_frame(header: FrameHeader, residues: ResidueVector, openers: bytes) -> bytes:
    """The frame's bytes.

    Args:
        header: says how many residues and opener bytes there must be.
        residues: shape (header.residue_count,), uint64, each below the modulus.
        openers: `header.openers_bytes` bytes.

    Raises:
        ResidueOutOfRange: a residue is at or above the modulus.
    """
    if residues.shape != (header.residue_count,) or len(openers) != header.openers_bytes:
        raise ValueError(
            f"the header wants {header.residue_count} residues and {header.openers_bytes} opener "
            f"bytes, got {residues.shape} and {len(openers)}"
        )
    check_residues(residues, header.parameters.modulus)
    return join_frame(header, pack(residues, header.parameters.residue_bits), openers)


def join_frame(header: FrameHeader, packed: bytes | memoryview, openers: bytes) -> bytes:
    """`encode_frame` of residues that are packed already (`scheme.EncryptedChunk`).

    Args:
        header: says how many bytes there must be.
        packed: residues below the modulus, as `residues.pack` lays them out.
        openers: `header.openers_bytes` bytes.
    """
    frame = b"".join((header.to_bytes(), packed, openers))
    if len(openers) != header.openers_bytes or len(frame) != header.frame_bytes:
        raise ValueError(
            f"the header wants a frame of {header.frame_bytes} bytes, {header.openers_bytes} of "
            f"them openers, got {len(frame)} and {len(openers)}"
        )
    return frame


def decode_frame(data: bytes, expected: FrameHeader) -> Frame:
    """The content of a peer's frame, which must be exactly the expected one.

    Args:
        data: bytes from anybody.
        expected: what the receiver asked for, from its own pinned manifest and state.

    Raises:
        FrameNotOurs: no frame of this version.
        FrameMismatch: another scheme, session, round, sender, chunk, or number of blocks.
        FrameLengthWrong: a byte too few or too many.
        ResidueOutOfRange: a residue at or above the modulus.
    """
    header = expected.to_bytes()
    if data[: len(_MAGIC)] != _MAGIC[: len(data)]:
        raise FrameNotOurs("these bytes are no frame of this version")
    if data[: len(header)] != header[: len(data)]:
        _explain_mismatch(data, expected)
    if len(data) != expected.frame_bytes:
        raise FrameLengthWrong(
            f"chunk {expected.chunk_index} of {expected.sender} must have {expected.frame_bytes} "
            f"bytes, got {len(data)}"
        )
    parameters = expected.parameters
    end = expected.frame_bytes - expected.openers_bytes
    residues = unpack(
        memoryview(data)[len(header) : end], expected.residue_count, parameters.residue_bits
    )
    check_residues(residues, parameters.modulus)
    return Frame(residues, bytes(data[end:]))


def _explain_mismatch(data: bytes, expected: FrameHeader) -> None:
    """Raise `FrameMismatch` naming the first field that differs."""
    sender = len(expected.sender.encode())
    fields = (
        ("version", len(_MAGIC)),
        ("scheme", 1),
        ("parameters", 32),
        ("session", 32),
        ("round", 4),
        ("sender", 1 + sender),
        ("chunk index", 4),
        ("chunk count", 4),
        ("block count", 4),
        ("number of contributors", 4),
    )
    header = expected.to_bytes()
    start = 0
    for name, size in fields:
        given = data[start : start + size]
        if given != header[start : start + len(given)]:
            raise FrameMismatch(
                f"the {name} of a frame is not the one of chunk {expected.chunk_index} of "
                f"{expected.sender} in round {expected.round}"
            )
        start += size
