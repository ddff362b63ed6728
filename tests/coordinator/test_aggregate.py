"""The streamed sum against a plaintext oracle, for both kinds of frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.coordinator.aggregate import add_chunk, site_header, sum_header
from fedmrg_secure.crypto.errors import FrameMismatch
from fedmrg_secure.crypto.frame import decode_frame, encode_frame
from fedmrg_secure.crypto.parameters import SchemeParameters

SESSION = b"\1" * 32
VALUES = 100


def frames_of(parameters: SchemeParameters, names: list[str], seed: int):
    rng = np.random.default_rng(seed)
    headers = [site_header(parameters, SESSION, 3, name, 0, VALUES) for name in names]
    residues = [
        rng.integers(0, parameters.modulus, header.residue_count, dtype=np.uint64)
        for header in headers
    ]
    openers = [rng.bytes(header.openers_bytes) for header in headers]
    frames = [encode_frame(*parts) for parts in zip(headers, residues, openers, strict=True)]
    return headers, residues, openers, frames


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["ckks-shared", "insecure-plaintext"]), st.integers(1, 6), st.integers(0, 99)
)
def test_residues_add_modulo_the_modulus_and_openers_stand_in_order(
    scheme: str, count: int, seed: int
) -> None:
    parameters = SchemeParameters.for_config(scheme, sites=6, max_abs_value=1 << 10)
    names = [f"site-{i}" for i in range(count)]
    headers, residues, openers, frames = frames_of(parameters, names, seed)
    result = sum_header(parameters, SESSION, 3, 0, VALUES, count)
    frame = decode_frame(add_chunk(iter(frames), headers, result), result)
    oracle = sum(part.astype(object) for part in residues) % parameters.modulus
    assert np.array_equal(frame.residues, oracle.astype(np.uint64))
    assert frame.openers_by_contributor(count) == openers


def test_a_frame_in_anothers_place_is_refused() -> None:
    parameters = SchemeParameters.for_config("insecure-plaintext", sites=2, max_abs_value=9)
    headers, _, _, frames = frames_of(parameters, ["alpha", "beta"], 1)
    with pytest.raises(FrameMismatch):
        add_chunk(iter(frames[::-1]), headers, sum_header(parameters, SESSION, 3, 0, VALUES, 2))


def test_a_missing_frame_is_never_skipped() -> None:
    parameters = SchemeParameters.for_config("insecure-plaintext", sites=2, max_abs_value=9)
    headers, _, _, frames = frames_of(parameters, ["alpha", "beta"], 1)
    with pytest.raises(ValueError, match="shorter"):
        add_chunk(iter(frames[:1]), headers, sum_header(parameters, SESSION, 3, 0, VALUES, 2))
