"""The sum: residues added modulo the modulus, chunk by chunk across sites.

This is the coordinator's whole arithmetic. In memory are one running sum, one decoded frame and one
encoded frame, whatever the number of sites and the size of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, decode_frame, encode_frame
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import add_mod


def add_chunk(
    frames: Iterator[bytes],
    headers: Sequence[FrameHeader],
    sum_header: FrameHeader,
) -> bytes:
    """The aggregate frame of one chunk.

    Args:
        frames: the included sites' frames of this chunk, in included order, read one by one.
        headers: what each of them must be.
        sum_header: what the result is; its contributors are as many as `headers`.

    Raises:
        FedmrgError: a stored frame is not what its header says.
    """
    total = np.zeros(sum_header.residue_count, dtype=np.uint64)
    openers: list[bytes] = []
    for header, data in zip(headers, frames, strict=True):
        frame = decode_frame(data, header)
        add_mod(total, frame.residues, header.parameters.modulus)
        openers.append(frame.openers)
    return encode_frame(sum_header, total, b"".join(openers))


def site_header(
    parameters: SchemeParameters,
    session: bytes,
    round_number: int,
    site: str,
    index: int,
    value_count: int,
) -> FrameHeader:
    """What chunk `index` of a site's upload must be."""
    return FrameHeader.of_chunk(
        parameters,
        session=session,
        round=round_number,
        sender=site,
        chunk_index=index,
        value_count=value_count,
    )


def sum_header(
    parameters: SchemeParameters,
    session: bytes,
    round_number: int,
    index: int,
    value_count: int,
    contributors: int,
) -> FrameHeader:
    """What chunk `index` of the sum of `contributors` uploads is."""
    return FrameHeader.of_chunk(
        parameters,
        session=session,
        round=round_number,
        sender=AGGREGATE,
        chunk_index=index,
        value_count=value_count,
        contributors=contributors,
    )
