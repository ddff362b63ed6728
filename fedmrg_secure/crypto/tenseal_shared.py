"""``ckks-shared``: symmetric CKKS under one key that all sites share and the coordinator lacks.

The ring arithmetic, sampling and encryption are SEAL's, through ``tenseal.sealapi``; this module
turns blocks of integers into (c0, seed) pairs and sums of them back into integers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import numpy as np
from tenseal import sealapi

from fedmrg_secure.core.types import FloatVector, IntVector, ResidueVector
from fedmrg_secure.crypto.digits import join_digits, split_digits
from fedmrg_secure.crypto.errors import (
    KeyUnusable,
    OpeningRefused,
    ResidueOutOfRange,
    SealUnavailable,
)
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
from fedmrg_secure.crypto.residues import check_residues, pack, packed_bytes, unpack
from fedmrg_secure.crypto.scheme import EncryptedChunk, check_sum, to_blocks
from fedmrg_secure.crypto.seal_files import MemoryFile, SealFormat, read_version

_KEY_TAG: Final = b"FMRGCKKS\x01"
MAX_RMS_SIGMAS: Final = 2.0
"""Allowed root mean square of a block's noise: an honest one is within 1.2 at ten deviations of its
own spread; a wrong key gives 5.7 or more."""
MAX_SIGMAS: Final = 9.0
"""Allowed noise of one coordinate: a tenth below the point where rounding would err."""


class CkksShared:
    """One party's view of the shared key: encrypts its own update, opens sums.

    Guarantee:
        `open_chunk` returns the exact integer sum or raises. What it returns is a function of the
        encrypted integers alone, never of the key or of the encryption noise, so releasing it
        gives nothing to the attack of Li and Micciancio (2021) on approximate decryptions.

    Assumes:
        The coordinator does not hold the key; no site gives it away. The parties are honest about
        their own ciphertexts: CKKS is malleable, so integrity of uploads and of the sum rests on
        signatures and hashes elsewhere.

    Edge cases:
        ===============================  ======================================================
        wrong key, altered sum           `OpeningRefused`, with overwhelming probability
        a missing or foreign opener      `OpeningRefused`
        the same opener twice            `OpeningRefused`
        any call after a refused opening `KeyUnusable`: refusals would be an oracle, one bit each
        ===============================  ======================================================
    """

    def __init__(self, parameters: SchemeParameters, key: SecretBytes) -> None:
        """Args: parameters: of ``ckks-shared``. key: from `new_key` for the same parameters.

        Raises:
            KeyUnusable: key bytes of another length, version or ring.
            SealUnavailable: the installed SEAL does not do what is expected of it.
        """
        self._parameters = parameters
        self._ring = _SealRing(parameters)
        secret = self._ring.load_key(_key_residues(parameters, key))
        self._encryptor = sealapi.Encryptor(self._ring.context, secret)
        self._decryptor = sealapi.Decryptor(self._ring.context, secret)
        self._memory = MemoryFile()
        self._key_is_spoiled = False
        self._self_test()

    @staticmethod
    def new_key(parameters: SchemeParameters) -> SecretBytes:
        """A fresh ternary secret key from SEAL's generator, for every site of one key epoch."""
        residues = _SealRing(parameters).make_key()
        return SecretBytes(_key_header(parameters) + pack(residues, parameters.residue_bits))

    @property
    def parameters(self) -> SchemeParameters:
        """The public parameters."""
        return self._parameters

    @property
    def is_concurrent(self) -> bool:
        """False: SEAL's objects here are shared, and its calls hold the interpreter's lock."""
        return False

    def encrypt_chunk(self, index: int, values: IntVector) -> EncryptedChunk:
        """See `crypto.scheme.Scheme`; every call draws fresh noise and fresh seeds."""
        self._check_key()
        blocks = to_blocks(values, self._parameters)
        c0 = np.empty((len(blocks), self._parameters.block_residues), dtype=np.uint64)
        seeds = []
        coordinates = join_digits(blocks, self._parameters)
        slots = np.empty(coordinates.shape[1] // 2, dtype=np.complex128)
        for row, block in enumerate(coordinates):
            # Two coordinates a slot: the first half of a block real, the second imaginary.
            slots.real, slots.imag = np.split(block, 2)
            c0[row], seed = self._encrypt(slots.tolist())
            seeds.append(seed)
        return EncryptedChunk.of(c0.reshape(-1), b"".join(seeds), self._parameters)

    def open_chunk(
        self, index: int, residues: ResidueVector, openers: Sequence[bytes], value_count: int
    ) -> IntVector:
        """See `crypto.scheme.Scheme`."""
        self._check_key()
        seeds = self._split_openers(residues, openers, value_count)
        check_residues(residues, self._parameters.modulus)
        c0 = residues.reshape(len(seeds), -1)
        try:
            decoded = np.stack([self._decrypt(*block) for block in zip(c0, seeds, strict=True)])
            total = np.rint(decoded)
            self._check_noise(decoded - total, len(openers))
            exact = split_digits(total.astype(np.int64), self._parameters)
            check_sum(exact, len(openers), self._parameters)
            if exact.reshape(-1)[value_count:].any():
                raise _refused("the padding of the opened sum is not zero")
        except OpeningRefused:
            self._key_is_spoiled = True
            raise
        return exact.reshape(-1)[:value_count]

    def _encrypt(self, slots: list[complex]) -> tuple[ResidueVector, bytes]:
        plaintext = self._ring.plaintext
        self._ring.encoder.encode(slots, float(self._parameters.scale), plaintext)
        self._encryptor.encrypt_symmetric(plaintext).save(self._memory.path)
        form = self._ring.form
        return form.split_ciphertext(self._memory.read(form.ciphertext_bytes))

    def _decrypt(self, c0: ResidueVector, seeds: list[bytes]) -> FloatVector:
        """The block ``c0 + sum(expand(seed)) * s`` decoded, in grid steps with noise."""
        ring, memory, form = self._ring, self._memory, self._ring.form
        memory.write(form.seeded_ciphertext(c0, seeds[0]))
        ring.total.load(ring.context, memory.path)
        # The other sites' c0 are in the sum already: only their c1 is missing.
        memory.write(bytes(form.array_bytes), form.array_offset)
        for seed in seeds[1:]:
            memory.write(seed, form.seed_offset)
            ring.other.load(ring.context, memory.path)
            ring.evaluator.add_inplace(ring.total, ring.other)
        self._decryptor.decrypt(ring.total, ring.plaintext)
        slots = np.fromiter(ring.encoder.decode_complex(ring.plaintext), np.complex128)
        return np.concatenate((slots.real, slots.imag))

    def _split_openers(
        self, residues: ResidueVector, openers: Sequence[bytes], value_count: int
    ) -> list[list[bytes]]:
        """The seeds of each block, of every site: shape (blocks, sites)."""
        parameters = self._parameters
        blocks = -(-value_count // parameters.block_values)
        if residues.shape != (blocks * parameters.block_residues,):
            raise ValueError(f"{value_count} values are {blocks} blocks, not {residues.shape}")
        if not 1 <= len(openers) <= parameters.sites:
            raise ValueError(f"a sum has 1 to {parameters.sites} sites, got {len(openers)}")
        size = parameters.opener_bytes
        if any(len(opener) != blocks * size for opener in openers):
            raise ValueError(f"an opener of {blocks} blocks has {blocks * size} bytes")
        seeds = [[o[b * size : (b + 1) * size] for o in openers] for b in range(blocks)]
        if any(len(set(block)) != len(block) for block in seeds):
            raise _refused("one upload is in the sum twice")
        return seeds

    def _check_noise(self, residual: FloatVector, sites: int) -> None:
        """Refuse a block whose distance to the grid is not that of fresh encryptions' noise."""
        sigma = self._parameters.noise_sigma(sites) / self._parameters.scale
        rms = float(np.sqrt(np.mean(residual * residual, axis=1)).max())
        if not rms <= MAX_RMS_SIGMAS * sigma or not np.abs(residual).max() <= MAX_SIGMAS * sigma:
            raise _refused("the sum does not open under this key")

    def _check_key(self) -> None:
        if self._key_is_spoiled:
            raise KeyUnusable(
                "this key refused to open a sum and must not be used again",
                hint="end the session; a new one makes a new key",
            )

    def _self_test(self) -> None:
        """Encrypt and open one block: the installed SEAL's formats and noise are as assumed."""
        edge = min(self._parameters.max_abs_value, self._parameters.max_norm)
        values = np.array([edge - 1, -1, 1], dtype=np.int64)
        chunk = self.encrypt_chunk(0, values)
        opened = self.open_chunk(0, chunk.residues, [chunk.openers], values.size)
        if not np.array_equal(opened, values):
            raise SealUnavailable("a freshly encrypted block does not open to itself")

    def __repr__(self) -> str:
        return f"CkksShared({self._parameters!r}, key=<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a scheme with a secret key cannot be pickled or copied")


class _SealRing:
    """SEAL's objects for one parameter set, without a key."""

    def __init__(self, parameters: SchemeParameters) -> None:
        if parameters.scheme != CKKS_SHARED:
            raise ValueError(f"these are parameters of {parameters.scheme}")
        encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        encryption.set_poly_modulus_degree(parameters.ring_degree)
        encryption.set_coeff_modulus([sealapi.Modulus(parameters.modulus)])
        self.context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)
        if not self.context.parameters_set():
            raise SealUnavailable(
                f"SEAL refuses the parameters: {self.context.parameters_error_message()}"
            )
        self.encoder = sealapi.CKKSEncoder(self.context)
        self.evaluator = sealapi.Evaluator(self.context)
        self.plaintext = sealapi.Plaintext()
        self.total = sealapi.Ciphertext()
        self.other = sealapi.Ciphertext()
        with MemoryFile() as memory:
            encryption.save(memory.path)
            major, minor = read_version(memory.read(16))
        self.form = SealFormat(
            major=major,
            minor=minor,
            parms_id=struct.pack("<4Q", *self.context.first_parms_id()),
            ring_degree=parameters.ring_degree,
            scale=float(parameters.scale),
        )

    def make_key(self) -> ResidueVector:
        """A new secret key, shape (N,), in SEAL's NTT order."""
        secret = sealapi.KeyGenerator(self.context).secret_key()
        with MemoryFile() as memory:
            secret.save(memory.path)
            return self.form.split_secret_key(memory.read(16 * self.form.ciphertext_bytes))

    def load_key(self, residues: ResidueVector) -> Any:
        """SEAL's secret key of checked residues."""
        secret = sealapi.SecretKey()
        with MemoryFile() as memory:
            memory.write(self.form.secret_key(residues))
            secret.load(self.context, memory.path)
        return secret


def _key_header(parameters: SchemeParameters) -> bytes:
    return _KEY_TAG + bytes.fromhex(parameters.digest)


def _key_residues(parameters: SchemeParameters, key: SecretBytes) -> ResidueVector:
    header = _key_header(parameters)
    revealed = key.reveal()
    body = packed_bytes(parameters.block_residues, parameters.residue_bits)
    if len(revealed) != len(header) + body or not revealed.startswith(header):
        raise KeyUnusable(
            "these bytes are no key of this session's parameters",
            hint="the key maker and this site must run the same session",
        )
    try:
        residues = unpack(
            revealed[len(header) :], parameters.block_residues, parameters.residue_bits
        )
        check_residues(residues, parameters.modulus)
    except ResidueOutOfRange:
        # The cause would quote a residue of the key.
        raise KeyUnusable("a residue of the key is not below the modulus") from None
    return residues


def _refused(why: str) -> OpeningRefused:
    return OpeningRefused(
        why, hint="the coordinator, a site or a key is not what it should be; end the session"
    )
