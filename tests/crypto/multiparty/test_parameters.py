from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.crypto.capacity import check_capacity, max_precision_bits
from fedmrg_secure.crypto.errors import CapacityExceeded, ErrorBoundExceeded, UnsafeParameters
from fedmrg_secure.crypto.multiparty_budget import (
    RING_MODULUS,
    TAIL_SIGMAS,
    WIRE_BITS,
    noise_bound,
    noise_variance,
    wire_unit,
)
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SCHEMES, SchemeParameters
from fedmrg_secure.crypto.primes import ntt_prime
from tests.crypto.multiparty.federation import parameters_for

PARAMETERS = parameters_for(4)


def test_the_modulus_is_the_largest_prime_that_has_a_transform() -> None:
    assert ntt_prime(2048, 30) == RING_MODULUS


def test_the_scheme_came_last_so_that_older_ids_in_frames_stay() -> None:
    assert SCHEMES == ("ckks-shared", "insecure-plaintext", "ckks-multiparty")


@given(st.integers(1, 256), st.integers(1, 1 << 20), st.sampled_from(WIRE_BITS))
def test_every_configuration_holds_its_sum_with_the_largest_scale(
    sites: int, largest: int, wire_bits: int
) -> None:
    made = {"sites": sites, "max_abs_value": largest, "wire_bits": wire_bits}
    try:
        parameters = SchemeParameters.for_config(CKKS_MULTIPARTY, **made)
    except CapacityExceeded:
        assert sites * largest + noise_bound(sites, wire_bits) > (RING_MODULUS - 1) // 2
        return
    assert (parameters.modulus, parameters.residue_bits) == (1 << wire_bits, wire_bits)
    assert (parameters.opener_bytes, parameters.digits) == (0, 1)
    worst = sites * largest * parameters.scale + noise_bound(sites, wire_bits)
    assert worst <= (RING_MODULUS - 1) // 2 < worst + sites * largest
    assert SchemeParameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters
    assert parameters.sum_error_rms(sites) <= max(1, parameters.sum_error_bound(sites))
    with pytest.raises(CapacityExceeded):
        dataclasses.replace(parameters, scale=parameters.scale + 1)


def test_the_noise_of_a_sum() -> None:
    for wire_bits in WIRE_BITS:
        unit = float(wire_unit(wire_bits))
        variance = 3 * (10.5 + unit**2 / 12) + 1 / 12
        assert float(noise_variance(3, wire_bits)) == pytest.approx(variance)
        assert PARAMETERS.noise_sigma(3) > 0
        assert noise_bound(3, wire_bits) <= math.ceil(3 * (21 + unit / 2) + 0.5)
        assert noise_bound(200, wire_bits) <= math.ceil(
            TAIL_SIGMAS * math.sqrt(noise_variance(200, wire_bits)) + 0.5
        )
    assert 5e7 * 2 * math.exp(-(TAIL_SIGMAS**2) / 2) < 2**-60


def test_sums_are_exact_where_a_step_is_larger_than_twice_the_noise() -> None:
    for wire_bits in WIRE_BITS:
        parameters = parameters_for(4, 1000, wire_bits)
        exact = parameters.scale > 2 * noise_bound(4, wire_bits)
        assert (parameters.sum_error_bound(4) == 0) is exact
        assert (parameters.sum_error_rms(4) == 0) is exact


@pytest.mark.parametrize(
    "changes",
    [
        {"modulus": 1 << 22},
        {"modulus": (1 << 20) - 1},
        {"modulus": (1 << 20) - 5},
        {"modulus": RING_MODULUS},
        {"ring_degree": 1024},
        {"ring_degree": 4096},
        {"digits": 2},
        {"scale": 0},
    ],
    ids=str,
)
def test_foreign_parameters_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UnsafeParameters):
        dataclasses.replace(PARAMETERS, **changes)


@pytest.mark.parametrize("wire_bits", [0, 8, 15, 18, 31, 32])
def test_other_widths_are_refused(wire_bits: int) -> None:
    with pytest.raises(UnsafeParameters, match="16, 20, 24, 30"):
        SchemeParameters.for_config(CKKS_MULTIPARTY, sites=2, max_abs_value=2, wire_bits=wire_bits)


def test_more_than_the_ring_carries_is_refused_with_the_numbers() -> None:
    with pytest.raises(CapacityExceeded, match=r"need a modulus of 30\.\d bits, there are 30\.0"):
        SchemeParameters.for_config(CKKS_MULTIPARTY, sites=200, max_abs_value=1 << 22)


@given(st.integers(1, 600_000))
def test_chunks_cover_a_vector_and_its_check_block_exactly(values: int) -> None:
    end = blocks = 0
    for index in range(PARAMETERS.chunk_count(values)):
        part = PARAMETERS.chunk_slice(index, values)
        assert part.start == end
        assert 0 <= part.stop - part.start <= PARAMETERS.chunk_values
        in_chunk = PARAMETERS.chunk_blocks(index, values)
        assert 1 <= in_chunk <= PARAMETERS.blocks_per_chunk
        if index < PARAMETERS.chunk_count(values) - 1:
            assert in_chunk == PARAMETERS.blocks_per_chunk
        end, blocks = part.stop, blocks + in_chunk
    assert end == values
    assert 0 <= blocks * 2048 - (values + PARAMETERS.check_values) < 2048


def test_capacity_counts_the_wire_s_error() -> None:
    settings = {"sites": 4, "clip_norm": 1.0, "precision_bits": 20}
    parameters = check_capacity(CKKS_MULTIPARTY, **settings, wire_bits=30, max_error=2e-6)
    assert parameters.residue_bits == 30
    with pytest.raises(ErrorBoundExceeded, match="20 bits on the wire errs by up to"):
        check_capacity(CKKS_MULTIPARTY, **settings, wire_bits=20, max_error=2e-6)
    assert check_capacity(CKKS_MULTIPARTY, **settings).residue_bits == 20


def test_capacity_mends_what_does_not_fit() -> None:
    with pytest.raises(CapacityExceeded) as refused:
        check_capacity(CKKS_MULTIPARTY, sites=4, clip_norm=1.0, precision_bits=30)
    bits = max_precision_bits(CKKS_MULTIPARTY, sites=4)
    assert str(bits) in refused.value.hint
    check_capacity(CKKS_MULTIPARTY, sites=4, clip_norm=1.0, precision_bits=bits)
