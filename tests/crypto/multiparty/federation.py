"""A federation of ``ckks-multiparty`` in a few lines, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from fedmrg_secure.crypto.multiparty.scheme import (
    CkksMultiparty,
    KeyShare,
    RoundKey,
    SumKey,
    add_shares,
    combine,
)
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.crypto.residues import add_mod

PLAN = hashlib.sha256(b"a plan").digest()


def parameters_for(
    sites: int, max_abs_value: int = 10_000, wire_bits: int = 20, blocks_per_chunk: int = 64
) -> SchemeParameters:
    made = SchemeParameters.for_config(
        CKKS_MULTIPARTY, sites=sites, max_abs_value=max_abs_value, wire_bits=wire_bits
    )
    values = made.to_json() | {"blocks_per_chunk": blocks_per_chunk}
    return SchemeParameters.from_json(values)


@dataclass
class Federation:
    """Sites that have encrypted; what the coordinator and the share holders make of it."""

    parameters: SchemeParameters
    values: np.ndarray  # (sites, value_count)
    plan: bytes = PLAN
    threshold: int = 1
    keys: list[RoundKey] = field(init=False)
    uploads: list[list[np.ndarray]] = field(init=False)  # [site][chunk]

    def __post_init__(self) -> None:
        self.keys = [RoundKey.generate(self.parameters) for _ in self.values]
        self.uploads = [
            [self.encrypt(site, index) for index in range(self.chunks)]
            for site in range(len(self.values))
        ]

    @property
    def count(self) -> int:
        return self.values.shape[1]

    @property
    def chunks(self) -> int:
        return self.parameters.chunk_count(self.count)

    def scheme(self, site: int) -> CkksMultiparty:
        return CkksMultiparty(self.parameters, self.plan, self.count, key=self.keys[site])

    def encrypt(self, site: int, index: int) -> np.ndarray:
        place = self.parameters.chunk_slice(index, self.count)
        return self.scheme(site).encrypt_chunk(index, self.values[site, place]).residues

    def summed(self, included: list[int] | None = None) -> list[np.ndarray]:
        """The coordinator's sums, chunk by chunk."""
        sums = []
        for index in range(self.chunks):
            parts = [self.uploads[site][index] for site in self.included(included)]
            total = parts[0].copy()
            for part in parts[1:]:
                add_mod(total, part, self.parameters.modulus)
            sums.append(total)
        return sums

    def share_sums(self, included: list[int] | None = None) -> list[KeyShare]:
        """Each holder's sum over the included sites."""
        holders = len(self.values)
        dealt = [self.keys[i].shares(holders, self.threshold) for i in self.included(included)]
        return [add_shares([shares[holder] for shares in dealt]) for holder in range(holders)]

    def sum_key(self, included: list[int] | None = None) -> SumKey:
        return combine(self.share_sums(included), self.threshold)

    def open(
        self,
        sums: list[np.ndarray],
        sum_key: SumKey | None = None,
        sites: int | None = None,
        plan: bytes | None = None,
    ) -> np.ndarray:
        scheme = CkksMultiparty(
            self.parameters,
            self.plan if plan is None else plan,
            self.count,
            sum_key=sum_key or self.sum_key(),
        )
        openers = [b""] * (sites or len(self.values))
        parts = []
        for index, residues in enumerate(sums):
            place = self.parameters.chunk_slice(index, self.count)
            parts.append(scheme.open_chunk(index, residues, openers, place.stop - place.start))
        return np.concatenate(parts)

    def included(self, included: list[int] | None) -> list[int]:
        return list(range(len(self.values))) if included is None else included


def updates(sites: int, count: int, bound: int, seed: int = 0) -> np.ndarray:
    """Values within the bound, shape (sites, count)."""
    return np.random.default_rng(seed).integers(-bound, bound + 1, (sites, count))
