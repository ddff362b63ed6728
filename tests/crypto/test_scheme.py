from __future__ import annotations

import numpy as np
import pytest

from fedmrg_secure.crypto.errors import OpeningRefused, ResidueOutOfRange, ValuesOutOfRange
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
from fedmrg_secure.crypto.scheme import EncryptedChunk, check_sum, to_blocks

PARAMETERS = SchemeParameters.for_config(CKKS_SHARED, sites=3, max_abs_value=2**20, max_norm=2**20)
BLOCK = PARAMETERS.block_values


def test_values_are_padded_with_zeros_to_whole_blocks() -> None:
    blocks = to_blocks(np.arange(BLOCK + 2), PARAMETERS)
    assert blocks.shape == (2, BLOCK)
    assert blocks.reshape(-1)[: BLOCK + 2].tolist() == list(range(BLOCK + 2))
    assert not blocks[1, 2:].any()


@pytest.mark.parametrize("edge", [2**20, -(2**20)])
def test_a_coordinate_at_the_bound_passes_and_one_beyond_does_not(edge: int) -> None:
    values = np.zeros(5, dtype=np.int64)
    values[3] = edge
    to_blocks(values, PARAMETERS)
    values[3] += np.sign(edge)
    with pytest.raises(ValuesOutOfRange, match=f"a coordinate is {2**20 + 1}"):
        to_blocks(values, PARAMETERS)


@pytest.mark.parametrize("extreme", [np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_the_ends_of_int64_are_refused(extreme: int) -> None:
    with pytest.raises(ValuesOutOfRange):
        to_blocks(np.array([extreme]), PARAMETERS)


def test_a_block_beyond_the_norm_is_refused_though_each_coordinate_passes() -> None:
    values = np.zeros(BLOCK, dtype=np.int64)
    values[:2] = 2**20
    with pytest.raises(ValuesOutOfRange, match="a block has norm"):
        to_blocks(values, PARAMETERS)


def test_rounding_a_clipped_update_to_the_grid_stays_within_the_norm() -> None:
    """Every coordinate half a step above the grid: the most that rounding can add."""
    random = np.random.default_rng(0)
    exact = random.normal(size=BLOCK)
    exact *= 2**20 / np.linalg.norm(exact)
    outward = np.sign(exact) * np.floor(np.abs(exact) + 0.5)
    to_blocks(outward.astype(np.int64), PARAMETERS)


@pytest.mark.parametrize("count", [0, PARAMETERS.chunk_values + 1])
def test_other_chunk_sizes_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="a chunk has"):
        to_blocks(np.zeros(count, dtype=np.int64), PARAMETERS)


def test_a_chunk_gives_back_its_residues_and_refuses_those_beyond_the_modulus() -> None:
    residues = np.arange(2048, dtype=np.uint64)
    residues[7] = PARAMETERS.modulus - 1
    chunk = EncryptedChunk.of(residues, b"seed", PARAMETERS)
    np.testing.assert_array_equal(chunk.residues, residues)
    residues[7] += np.uint64(1)
    with pytest.raises(ResidueOutOfRange, match="residue 7"):
        EncryptedChunk.of(residues, b"seed", PARAMETERS)


def test_a_sum_within_the_sites_bounds_passes_and_one_beyond_does_not() -> None:
    total = np.zeros((2, BLOCK), dtype=np.int64)
    total[1, 7] = 2 * 2**20
    check_sum(total, 2, PARAMETERS)
    with pytest.raises(OpeningRefused, match="1 sites may send"):
        check_sum(total, 1, PARAMETERS)
    total[1] = 2**20
    with pytest.raises(OpeningRefused):
        check_sum(total, 2, PARAMETERS)
