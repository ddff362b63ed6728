"""``ckks-multiparty`` as a scheme: a site's own key encrypts, the sum's key opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

import numpy as np

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import KeyUnusable, OpeningRefused
from fedmrg_secure.crypto.multiparty import engine
from fedmrg_secure.crypto.multiparty.combining import combine
from fedmrg_secure.crypto.multiparty.crs import ReferenceString, crs_key
from fedmrg_secure.crypto.multiparty.noise import Coins
from fedmrg_secure.crypto.multiparty.round_key import RoundKey
from fedmrg_secure.crypto.multiparty.shares import KeyShare, SumKey, add_shares
from fedmrg_secure.crypto.multiparty_budget import noise_bound
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.crypto.residues import check_residues
from fedmrg_secure.crypto.scheme import EncryptedChunk, check_sum, check_values

__all__ = ["CkksMultiparty", "KeyShare", "RoundKey", "SumKey", "add_shares", "combine"]


class CkksMultiparty:
    """One site's view of one round: encrypts under its own key, opens under the sum's.

    Chunks are independent: several threads may encrypt or open different ones at once.

    Guarantee:
        `encrypt_chunk` never uses one a_k twice under one key for two contents. `open_chunk`
        returns a sum that errs by at most ``parameters.sum_error_bound(sites)`` in a coordinate, or
        raises; a sum that this key does not belong to is refused with the last chunk.

    Assumes:
        The plan's hash is fresh, and the same at all sites. Fewer sites than the threshold pool
        their shares. Ring-LWE with these parameters is hard. The scheme is malleable: that an
        upload is the site's own and the sum is the sum of uploads rests on signatures and hashes.

    Edge cases:
        =====================================  =============================================
        encrypting without a key               `KeyUnusable`
        a chunk twice, the same values         the same bytes again
        a chunk twice, other values            `KeySpent`
        opening without the sum's key          `KeyUnusable`
        wrong key, missing or foreign upload   `OpeningRefused` with the last chunk
        a change that keeps the check block    not seen here: hashes of the frames tell it
        =====================================  =============================================
    """

    def __init__(
        self,
        parameters: SchemeParameters,
        plan_hash: bytes,
        value_count: int,
        key: RoundKey | None = None,
        sum_key: SumKey | None = None,
    ) -> None:
        """Args:
            parameters: of ``ckks-multiparty``.
            plan_hash: of the round's plan, 32 bytes.
            value_count: values of the whole vector, >= 1: says where the check block lies.
            key: this site's, for encrypting; bound to the plan here.
            sum_key: for opening.

        Raises:
            KeySpent: the key belongs to another plan.
            KeyUnusable: the key was made for other parameters.
        """
        if parameters.scheme != CKKS_MULTIPARTY:
            raise ValueError(f"these are parameters of {parameters.scheme}")
        self._parameters = parameters
        self._value_count = value_count
        self._chunk_count = parameters.chunk_count(value_count)
        self._crs_key = crs_key(plan_hash)
        if key is not None:
            key.bind(plan_hash, parameters)
        self._key = key
        self._sum_key = sum_key

    @property
    def parameters(self) -> SchemeParameters:
        """The public parameters."""
        return self._parameters

    @property
    def is_concurrent(self) -> bool:
        """True: chunks share nothing but keys that do not change."""
        return True

    def encrypt_chunk(self, index: int, values: IntVector) -> EncryptedChunk:
        """See `crypto.scheme.Scheme`; the last chunk may have no values at all."""
        if self._key is None:
            raise KeyUnusable("this scheme object was made without a round key to encrypt with")
        parameters = self._parameters
        place = parameters.chunk_slice(index, self._value_count)
        if values.shape != (place.stop - place.start,):
            raise ValueError(f"chunk {index} has {place.stop - place.start} values")
        blocks = self._to_blocks(index, values)
        check_values(blocks, parameters)
        coins = Coins(self._key.error_key(index, blocks))
        reference = ReferenceString(self._crs_key, self._first_block(index))
        bits = parameters.residue_bits
        keyed = engine.make_blocks(self._key.transform(), scale=parameters.scale, wire_bits=bits)
        packed = np.empty((len(blocks), parameters.block_residues * bits // 64), dtype=np.uint64)
        try:
            for piece, count in _pieces(len(blocks)):
                reference_blocks, coin_blocks = reference.take(count), coins.take(count)
                keyed.encrypt(reference_blocks, coin_blocks, blocks[piece], packed[piece])
        finally:
            keyed.wipe()
            coins.wipe()
        return EncryptedChunk(packed.reshape(-1).data.cast("B"), b"", bits)

    def open_chunk(
        self, index: int, residues: ResidueVector, openers: Sequence[bytes], value_count: int
    ) -> IntVector:
        """See `crypto.scheme.Scheme`; the number of openers is the number of sites in the sum."""
        if self._sum_key is None:
            raise KeyUnusable("this scheme object was made without a key to open the sum with")
        place = self._parameters.chunk_slice(index, self._value_count)
        if value_count != place.stop - place.start:
            raise ValueError(f"chunk {index} has {place.stop - place.start} values")
        if any(openers):
            raise OpeningRefused(f"{CKKS_MULTIPARTY} has no openers")
        blocks = self._checked(index, residues, len(openers))
        if index == self._chunk_count - 1:
            self._check_last_block(self._sum_key, blocks[-1:], len(openers))
        opened = self._open(self._sum_key, self._first_block(index), blocks)
        check_sum(opened, len(openers), self._parameters)
        padding = opened.reshape(-1)[value_count:]
        if padding.size and np.abs(padding).max() > self._parameters.sum_error_bound(len(openers)):
            raise _refused("the padding of the opened sum is more than noise")
        return opened.reshape(-1)[:value_count]

    def check_sum_key(self, sum_key: SumKey, residues: ResidueVector, sites: int) -> None:
        """Refuse a key that does not open the vector's last block: quick, for `combine`.

        Args:
            sum_key: to be tried.
            residues: the sum of the last chunk, as for `open_chunk`.
            sites: how many are in the sum.

        Raises:
            OpeningRefused: the check block is more than noise under this key.
        """
        blocks = self._checked(self._chunk_count - 1, residues, sites)
        self._check_last_block(sum_key, blocks[-1:], sites)

    def _check_last_block(self, sum_key: SumKey, block: ResidueVector, sites: int) -> None:
        parameters = self._parameters
        last = -(-(self._value_count + parameters.check_values) // parameters.block_values) - 1
        ring = self._open(sum_key, last, block, scale=1)[0, -parameters.check_values :]
        if np.abs(ring).max() > noise_bound(sites, parameters.residue_bits):
            raise _refused("the check block of the opened sum is more than noise")

    def _open(
        self, sum_key: SumKey, first_block: int, blocks: ResidueVector, scale: int | None = None
    ) -> IntVector:
        reference = ReferenceString(self._crs_key, first_block)
        keyed = engine.make_blocks(
            sum_key.transform(),
            scale=self._parameters.scale if scale is None else scale,
            wire_bits=self._parameters.residue_bits,
        )
        opened = np.empty(blocks.shape, dtype=np.int64)
        try:
            for piece, count in _pieces(len(blocks)):
                keyed.open(reference.take(count), blocks[piece], opened[piece])
        finally:
            keyed.wipe()
        return opened

    def _checked(self, index: int, residues: ResidueVector, sites: int) -> ResidueVector:
        """A sum's residues as blocks, shape (blocks, N)."""
        parameters = self._parameters
        count = parameters.chunk_blocks(index, self._value_count)
        if residues.shape != (count * parameters.block_residues,):
            raise ValueError(f"chunk {index} has {count} blocks, not {residues.shape}")
        if not 1 <= sites <= parameters.sites:
            raise ValueError(f"a sum has 1 to {parameters.sites} sites, got {sites}")
        check_residues(residues, parameters.modulus)
        return residues.reshape(count, -1)

    def _to_blocks(self, index: int, values: IntVector) -> IntVector:
        """The chunk's values and zeros, shape (blocks, N)."""
        shape = (
            self._parameters.chunk_blocks(index, self._value_count),
            self._parameters.block_values,
        )
        if values.size == shape[0] * shape[1]:
            return np.ascontiguousarray(values, dtype=np.int64).reshape(shape)
        blocks = np.zeros(shape, dtype=np.int64)
        blocks.reshape(-1)[: values.size] = values
        return blocks

    def _first_block(self, index: int) -> int:
        return index * self._parameters.blocks_per_chunk

    def __repr__(self) -> str:
        return f"CkksMultiparty({self._parameters!r}, keys=<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a scheme with a secret key cannot be pickled or copied")


def _pieces(blocks: int) -> Iterator[tuple[slice, int]]:
    """Slices of a few blocks and how many they are."""
    for start in range(0, blocks, engine.PIECE):
        stop = min(start + engine.PIECE, blocks)
        yield slice(start, stop), stop - start


def _refused(why: str) -> OpeningRefused:
    return OpeningRefused(
        why, hint="the coordinator, a site or a key is not what it should be; end the session"
    )
