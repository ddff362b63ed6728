from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import CapacityExceeded, UnsafeParameters
from fedmrg_secure.crypto.parameters import (
    CKKS_SHARED,
    INSECURE_PLAINTEXT,
    SchemeParameters,
)

PARAMETERS = SchemeParameters.for_config(CKKS_SHARED, sites=4, max_abs_value=2**20, max_norm=2**20)
schemes = st.sampled_from([CKKS_SHARED, INSECURE_PLAINTEXT])


@given(schemes, st.integers(1, 256), st.integers(8, 30))
def test_every_configuration_is_safe_and_holds_its_sum(scheme: str, sites: int, bits: int) -> None:
    parameters = SchemeParameters.for_config(
        scheme, sites=sites, max_abs_value=1 << bits, max_norm=1 << bits
    )
    assert parameters.required_modulus <= parameters.modulus < 2**56
    assert SchemeParameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters
    if scheme == CKKS_SHARED:
        assert parameters.modulus.bit_length() <= 54
        assert parameters.scale >= 2 * 10 * parameters.noise_sigma(sites)
        # The digits of a sum stay apart.
        assert parameters.digit_base > 2 * sites * parameters.max_abs_value


def test_the_wire_of_the_default_settings() -> None:
    assert (PARAMETERS.residue_bits, PARAMETERS.digits) == (54, 2)
    assert PARAMETERS.block_values == 4096
    assert PARAMETERS.opener_bytes == 64


def test_the_digest_does_not_drift() -> None:
    canonical = (
        b'{"blocks_per_chunk":64,"digits":2,"max_abs_value":1048576,"max_norm":1048576,'
        b'"modulus":"18014398509404161","ring_degree":2048,"scale":4213,"scheme":"ckks-shared",'
        b'"sites":4}'
    )
    tag = b"fedmrg/scheme-parameters/v1"
    preimage = b"".join(len(part).to_bytes(8, "big") + part for part in (tag, canonical))
    assert PARAMETERS.digest == hashlib.sha256(preimage).hexdigest()


def test_fewer_bits_of_precision_never_cost_more() -> None:
    widths = []
    for bits in range(8, 31):
        parameters = SchemeParameters.for_config(
            CKKS_SHARED, sites=4, max_abs_value=1 << bits, max_norm=1 << bits
        )
        widths.append(parameters.residue_bits / parameters.digits)
    assert widths == sorted(widths)


def test_the_noise_of_a_sum() -> None:
    # 21 coin pairs have variance 21/2; a real coordinate adds N/2 squared cosines in the mean.
    expected = math.sqrt((3 * 21 / 2 + 9 / 12) * 1024)
    assert PARAMETERS.noise_sigma(3) == pytest.approx(expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheme": "rot13"},
        {"modulus": PARAMETERS.modulus - 2},
        {"modulus": 2**55 + 4096 + 1},
        {"modulus": 1},
        {"ring_degree": 1024},
        {"scale": PARAMETERS.scale - 1},
        {"scale": 0},
        {"digits": 0},
        {"digits": 4},
        {"max_abs_value": 0},
        {"blocks_per_chunk": 65},
        {"scheme": INSECURE_PLAINTEXT},
    ],
    ids=str,
)
def test_foreign_parameters_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UnsafeParameters):
        dataclasses.replace(PARAMETERS, **changes)


@pytest.mark.parametrize(
    "changes", [{"sites": 0}, {"sites": 1025}, {"max_abs_value": 2**24, "max_norm": 2**24}], ids=str
)
def test_more_than_fits_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(CapacityExceeded):
        dataclasses.replace(PARAMETERS, **changes)


def test_more_than_any_safe_modulus_carries_is_refused_with_the_numbers() -> None:
    with pytest.raises(CapacityExceeded, match=r"need a modulus of .* bits, .* allows 54"):
        SchemeParameters.for_config(CKKS_SHARED, sites=256, max_abs_value=2**40)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"sites": True},
        {"sites": "4"},
        {"modulus": 5},
        {"modulus": "0x11"},
        {"modulus": "９"},
    ],
    ids=str,
)
def test_json_of_another_form_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UnsafeParameters):
        SchemeParameters.from_json({**PARAMETERS.to_json(), **changes})
    with pytest.raises(UnsafeParameters):
        SchemeParameters.from_json([])


def test_the_digest_covers_every_field() -> None:
    digests = {PARAMETERS.digest}
    for scheme in (CKKS_SHARED, INSECURE_PLAINTEXT):
        for sites in (2, 3):
            for bits in (10, 11):
                made = SchemeParameters.for_config(scheme, sites=sites, max_abs_value=1 << bits)
                digests.add(made.digest)
    for name in ("scale", "max_norm"):
        changed = dataclasses.replace(PARAMETERS, **{name: getattr(PARAMETERS, name) + 1})
        digests.add(changed.digest)
    digests.add(dataclasses.replace(PARAMETERS, blocks_per_chunk=8).digest)
    assert len(digests) == 12


@given(st.integers(1, 3_000_000))
def test_chunks_cover_a_vector_exactly(values: int) -> None:
    end = 0
    for index in range(PARAMETERS.chunk_count(values)):
        part = PARAMETERS.chunk_slice(index, values)
        assert part.start == end
        assert 0 < part.stop - part.start <= PARAMETERS.chunk_values
        blocks = PARAMETERS.chunk_blocks(index, values)
        assert 0 <= blocks * PARAMETERS.block_values - (part.stop - part.start) < 4096
        end = part.stop
    assert end == values
    with pytest.raises(ValueError, match="chunk"):
        PARAMETERS.chunk_slice(PARAMETERS.chunk_count(values), values)
