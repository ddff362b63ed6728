from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.errors import (
    FrameLengthWrong,
    FrameMismatch,
    FrameNotOurs,
    ResidueOutOfRange,
)
from fedmrg_secure.crypto.frame import (
    AGGREGATE,
    FrameHeader,
    decode_frame,
    encode_frame,
    join_frame,
)
from fedmrg_secure.crypto.parameters import CKKS_SHARED, INSECURE_PLAINTEXT, SchemeParameters
from fedmrg_secure.crypto.residues import pack

PARAMETERS = SchemeParameters.for_config(CKKS_SHARED, sites=4, max_abs_value=2**20, max_norm=2**20)
PLAIN = SchemeParameters.for_config(INSECURE_PLAINTEXT, sites=4, max_abs_value=2**20)
HEADER = FrameHeader(
    parameters=PARAMETERS,
    session=bytes(range(32)),
    round=7,
    sender="ward-a",
    chunk_index=1,
    chunk_count=3,
    block_count=2,
)


def frame_of(header: FrameHeader, seed: int = 0) -> tuple[bytes, np.ndarray, bytes]:
    random = np.random.default_rng(seed)
    residues = random.integers(0, header.parameters.modulus, header.residue_count, dtype=np.uint64)
    openers = random.bytes(header.openers_bytes)
    return encode_frame(header, residues, openers), residues, openers


FRAME, RESIDUES, OPENERS = frame_of(HEADER)


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        dataclasses.replace(HEADER, sender=AGGREGATE, contributors=4),
        dataclasses.replace(HEADER, parameters=PLAIN),
    ],
    ids=["upload", "sum", "plaintext"],
)
def test_decode_inverts_encode(header: FrameHeader) -> None:
    frame, residues, openers = frame_of(header)
    assert len(frame) == header.frame_bytes
    decoded = decode_frame(frame, header)
    np.testing.assert_array_equal(decoded.residues, residues)
    assert decoded.openers == openers
    parts = decoded.openers_by_contributor(header.contributors)
    assert len(parts) == header.contributors
    assert b"".join(parts) == openers


def test_packed_residues_make_the_same_frame() -> None:
    packed = pack(RESIDUES, PARAMETERS.residue_bits)
    assert join_frame(HEADER, packed, OPENERS) == FRAME
    assert join_frame(HEADER, memoryview(packed), OPENERS) == FRAME


@pytest.mark.parametrize(("residues", "openers"), [(-1, 0), (0, -1), (1, -1), (-1, 1)])
def test_packed_residues_and_openers_have_the_header_s_lengths(residues: int, openers: int) -> None:
    packed = pack(RESIDUES, PARAMETERS.residue_bits)
    with pytest.raises(ValueError, match="the header wants"):
        join_frame(
            HEADER,
            (packed + b"\0")[: len(packed) + residues],
            (OPENERS + b"\0")[: len(OPENERS) + openers],
        )


def test_the_format_does_not_drift() -> None:
    """A known answer, written out by hand from the module's docstring."""
    header = FrameHeader(PLAIN, bytes(range(32)), 258, "ward-a", 0, 1, 1)
    residues = np.arange(2048, dtype=np.uint64)
    frame = encode_frame(header, residues, b"")
    expected = (
        b"FMRGFRM\x01"
        + b"\x02"
        + bytes.fromhex(PLAIN.digest)
        + bytes(range(32))
        + b"\x00\x00\x01\x02"
        + b"\x06ward-a"
        + b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"
        + b"".join(i.to_bytes(3, "little") for i in range(2048))
    )
    assert frame == expected


def test_a_full_aggregate_fits_a_grpc_message() -> None:
    parameters = SchemeParameters.for_config(
        CKKS_SHARED, sites=256, max_abs_value=2**20, max_norm=2**20
    )
    header = FrameHeader(parameters, bytes(32), 1, AGGREGATE, 0, 1, 64, contributors=256)
    assert header.frame_bytes < 4_000_000


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"", FrameLengthWrong),
        (FRAME[:-1], FrameLengthWrong),
        (FRAME[:20], FrameLengthWrong),
        (FRAME + b"\0", FrameLengthWrong),
        (FRAME + FRAME, FrameLengthWrong),
        (b"PK\x03\x04" + FRAME, FrameNotOurs),
        (FRAME[:7] + b"\x02" + FRAME[8:], FrameNotOurs),
    ],
    ids=["empty", "one short", "header only", "one long", "twice", "a zip", "next version"],
)
def test_frames_of_another_length_or_kind(frame: bytes, error: type[FedmrgError]) -> None:
    with pytest.raises(error):
        decode_frame(frame, HEADER)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": PLAIN}, "scheme"),
        ({"parameters": dataclasses.replace(PARAMETERS, blocks_per_chunk=9)}, "parameters"),
        ({"session": bytes(32)}, "session"),
        ({"round": 8}, "round"),
        ({"sender": "ward-b"}, "sender"),
        ({"sender": "ward-ab"}, "sender"),
        ({"sender": AGGREGATE}, "sender"),
        ({"chunk_index": 0}, "chunk index"),
        ({"chunk_count": 4}, "chunk count"),
        ({"block_count": 1}, "block count"),
        ({"contributors": 2}, "number of contributors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_frame_of_something_else_is_refused_by_name(
    changes: dict[str, object], field: str
) -> None:
    frame, _, _ = frame_of(dataclasses.replace(HEADER, **changes))
    with pytest.raises(FrameMismatch, match=f"the {field} of a frame"):
        decode_frame(frame, HEADER)


def test_huge_declared_sizes_are_refused_without_being_believed() -> None:
    start = len(HEADER.to_bytes()) - 8
    lying = FRAME[:start] + b"\xff" * 8 + FRAME[start + 8 :]
    with pytest.raises(FrameMismatch, match="block count"):
        decode_frame(lying, HEADER)


@pytest.mark.parametrize("place", [0, 4095])
def test_a_residue_equal_to_the_modulus_is_refused(place: int) -> None:
    residues = RESIDUES.copy()
    residues[place] = PARAMETERS.modulus
    with pytest.raises(ResidueOutOfRange, match=f"residue {place}"):
        encode_frame(HEADER, residues, OPENERS)
    # The same bytes from a peer that does not check.
    start = len(HEADER.to_bytes())
    whole = int.from_bytes(FRAME[start : start + 4096 * 54 // 8], "little")
    mask = ((1 << 54) - 1) << (54 * place)
    whole = whole & ~mask | PARAMETERS.modulus << (54 * place)
    frame = FRAME[:start] + whole.to_bytes(4096 * 54 // 8, "little") + OPENERS
    with pytest.raises(ResidueOutOfRange, match=f"residue {place}"):
        decode_frame(frame, HEADER)


@pytest.mark.parametrize("field", ["residues", "openers"])
def test_encode_refuses_what_does_not_fit_the_header(field: str) -> None:
    residues = RESIDUES[:-1] if field == "residues" else RESIDUES
    openers = OPENERS[:-1] if field == "openers" else OPENERS
    with pytest.raises(ValueError, match="the header wants"):
        encode_frame(HEADER, residues, openers)


@pytest.mark.parametrize(
    "changes",
    [
        {"session": b"short"},
        {"round": -1},
        {"round": 2**32},
        {"sender": ""},
        {"sender": "x" * 256},
        {"chunk_index": 3},
        {"block_count": 0},
        {"block_count": 65},
        {"contributors": 0},
        {"contributors": 5},
    ],
    ids=str,
)
def test_impossible_headers_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"has|chunk"):
        dataclasses.replace(HEADER, **changes)


@given(st.binary(max_size=300))
def test_random_bytes_give_only_our_errors(data: bytes) -> None:
    with pytest.raises(FedmrgError):
        decode_frame(data, HEADER)


@given(
    st.lists(
        st.tuples(st.integers(0, len(FRAME) - 1), st.integers(1, 255)), min_size=1, max_size=4
    ),
    st.integers(-40, 40),
)
@settings(max_examples=200, deadline=None)
def test_mutated_frames_decode_to_residues_in_range_or_our_error(
    flips: list[tuple[int, int]], grow: int
) -> None:
    mutated = bytearray(FRAME)
    for place, mask in flips:
        mutated[place] ^= mask
    data = bytes(mutated[:grow]) if grow < 0 else bytes(mutated) + bytes(grow)
    try:
        decoded = decode_frame(data, HEADER)
    except (FrameLengthWrong, FrameMismatch, FrameNotOurs, ResidueOutOfRange):
        return
    assert len(data) == len(FRAME)
    assert data[: len(HEADER.to_bytes())] == HEADER.to_bytes()
    assert int(decoded.residues.max()) < PARAMETERS.modulus
    assert len(decoded.openers) == HEADER.openers_bytes


def test_what_the_coordinator_imports_can_open_nothing() -> None:
    modules = ("capacity", "errors", "frame", "parameters", "residues", "scheme")
    script = (
        f"import sys; from fedmrg_secure.crypto import {', '.join(modules)}; "
        "print([m for m in ('tenseal', '_sealapi_cpp', 'torch', 'zstandard') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
