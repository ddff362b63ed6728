"""Simulated sites: real identities, connections and frame sizes, random residues and shares."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from fedmrg_secure.benchmark.loopback import RoundBenchmarkFailed
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, decode_frame, vector_bytes
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.multiparty.scheme import RoundKey
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import add_mod, pack
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.crypto.seal_key import seal
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan
from fedmrg_secure.protocol.transport import CoordinatorClient

_VARIANTS: Final = 4
"""Different chunks of residues; every site uploads them in another order."""


@dataclass
class Crowd:
    """The simulated sites and what they are made from."""

    manifest: SessionManifest
    clients: dict[str, CoordinatorClient]
    sealed_bytes: int
    plan: RoundPlan | None = None

    @cached_property
    def parameters(self) -> SchemeParameters:
        return SchemeParameters.from_json(self.manifest.scheme_parameters)

    @cached_property
    def residues(self) -> list[ResidueVector]:
        """Random residues for a whole chunk, shape (residues a chunk,), in `_VARIANTS` variants."""
        random = np.random.default_rng(0)
        count = self._header(next(iter(self.clients)), 0).residue_count
        modulus = self.parameters.modulus
        return [
            random.integers(0, modulus, count, dtype=np.uint64).astype(np.uint64)
            for _ in range(_VARIANTS)
        ]

    @cached_property
    def packed(self) -> dict[tuple[int, int], bytes]:
        """The variants as they travel, by variant and number of residues."""
        first = next(iter(self.clients))
        counts = {self._header(first, index).residue_count for index in range(self.chunks)}
        return {
            (variant, count): pack(residues[:count], self.parameters.residue_bits)
            for variant, residues in enumerate(self.residues)
            for count in counts
        }

    @cached_property
    def chunks(self) -> int:
        return self.parameters.chunk_count(self.manifest.value_count)

    @cached_property
    def upload_bytes(self) -> int:
        return vector_bytes(
            self.parameters, self.manifest.value_count, sender=next(iter(self.clients))
        )

    @property
    def plan_hash(self) -> bytes:
        assert self.plan is not None
        return plan_hash(self.manifest.session_id, self.plan)

    def frame(self, site: str, index: int) -> bytes:
        header = self._header(site, index)
        payload = self.packed[self._variant(site, index), header.residue_count]
        return header.to_bytes() + payload + bytes(header.openers_bytes)

    def frames(self, site: str) -> Iterator[bytes]:
        return (self.frame(site, index) for index in range(self.chunks))

    def deposit(self) -> list[bytes]:
        """Sealed bytes for every site, of a real share's length."""
        size = self.sealed_bytes
        data = os.urandom(size * len(self.clients))
        return [data[at : at + size] for at in range(0, len(data), size)]

    def expected_sum(self, index: int) -> ResidueVector:
        count = self._header(next(iter(self.clients)), index).residue_count
        total = np.zeros(count, dtype=np.uint64)
        for site in self.clients:
            variant = self._variant(site, index)
            add_mod(total, self.residues[variant][:count], self.parameters.modulus)
        return total

    def check_sum(self, info: AggregateInfo, index: int, frame: bytes) -> None:
        header = FrameHeader.of_chunk(
            self.parameters,
            session=self.manifest.session_id,
            round=info.round,
            sender=AGGREGATE,
            chunk_index=index,
            value_count=self.manifest.value_count,
            contributors=len(info.included),
        )
        if not np.array_equal(decode_frame(frame, header).residues, self.expected_sum(index)):
            raise RoundBenchmarkFailed(f"chunk {index} of the sum is not what was uploaded")

    def _variant(self, site: str, index: int) -> int:
        return (self.manifest.sites.index(site) + index) % _VARIANTS

    def _header(self, site: str, index: int) -> FrameHeader:
        return FrameHeader.of_chunk(
            self.parameters,
            session=self.manifest.session_id,
            round=1,
            sender=site,
            chunk_index=index,
            value_count=self.manifest.value_count,
        )


@contextmanager
def opened_crowd(
    identities: Mapping[str, PartyIdentity], port: int, roster: Roster, manifest: SessionManifest
) -> Iterator[Crowd]:
    """Every site with its own identity and connection; the roster is the same for all."""
    parameters = SchemeParameters.from_json(manifest.scheme_parameters)
    share = RoundKey.generate(parameters).shares(2, 2)[0].to_bytes()
    sealed = seal(roster.entry(manifest.sites[0]).seal_key, share, b"")
    with ExitStack() as stack:
        clients = {}
        for name, identity in identities.items():
            client = CoordinatorClient(
                target=f"127.0.0.1:{port}",
                server_name=identity.coordinator_name,
                tls=TlsIdentity(
                    identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
                ),
                signer=identity.signing_key,
                verifier=roster,
                session_id=manifest.session_id,
            )
            clients[name] = stack.enter_context(client)
        yield Crowd(manifest, clients, len(sealed))
