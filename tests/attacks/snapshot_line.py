"""A late site on the line with a coordinator that hands out what an attacker wants.

The session, its sites, keys, signatures and ciphertexts are real; what is corrupted is what the
coordinator hands out, and what an offer's sender has put into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client.site import Site
from fedmrg_secure.client.snapshots import apply_offer
from fedmrg_secure.client.state import Applied
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.sealed_state import StateContext, StateSealer
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.envelope import Envelope, seal_envelope
from fedmrg_secure.protocol.hashes import aggregate_hash, transcript_hash
from tests.client.agents import HeldWorld


@dataclass
class Attack:
    """A late site on the line, and everything that an attacker may change.

    Attributes:
        held: the session; three rounds are closed.
        site: the late one.
        applied: where it stands.
    """

    held: HeldWorld
    site: Site
    applied: Applied

    def state(self, number: int = 3) -> np.ndarray:
        return self.held.world.agents["a"].store.load_state(number)["update"]

    def offer(
        self,
        sender: str = "a",
        *,
        recipient: str = "d",
        sealed_to: str | None = None,
        number: int = 3,
        values: np.ndarray | bytes | None = None,
        signer: Any = None,
        session: bytes | None = None,
        context: dict[str, Any] | None = None,
        **changes: Any,
    ) -> tuple[Envelope, list[bytes]]:
        """What a site signs as an offer, and its chunks, with some of it changed."""
        kits = self.held.world.federation.kits
        past = self.held.world.agents["a"].store.applied_at(number)
        values = self.state(number) if values is None else values
        content = values if isinstance(values, bytes) else values.astype("<f4").tobytes()
        pieces = [
            content[start : start + sn.CHUNK_BYTES]
            for start in range(0, len(content), sn.CHUNK_BYTES)
        ]
        model_hash = changes.pop("model_hash", bytes.fromhex(past.model_hash))
        bound = StateContext(self.site.session, past.round, sender, recipient, model_hash)
        sealer = StateSealer(replace(bound, **(context or {})), len(pieces))
        chunks = list(sealer.encrypt(pieces))
        leaves = tuple(map(leaf_hash, chunks))
        root = merkle_root(leaves)
        key = kits["a"].roster.entry(sealed_to or recipient).seal_key
        offer = sn.OfferSnapshot(
            recipient,
            number,
            bytes.fromhex(past.plan_hash),
            model_hash,
            bytes.fromhex(past.transcript),
            sealer.seal_key(key, root),
            leaves,
            root,
            sum(map(len, chunks)),
        )
        envelope = seal_envelope(
            signer or kits[sender].identity.signing_key,
            replace(offer, **changes),
            session=self.site.session if session is None else session,
            round_number=past.round,
            sequence=1,
        )
        return envelope, chunks

    def deliver(self, envelope: Envelope, chunks: Sequence[bytes]) -> Applied:
        """Let the late site take it, as if the coordinator had handed it out."""
        assert self.held.service is not None
        self.held.service._snapshots.chunks = lambda call, wanted: (  # type: ignore[method-assign]
            (index, chunks[index]) for index in range(wanted.first_chunk, len(chunks))
        )
        offer = self.site.coordinator.snapshots.signed(envelope.to_bytes(), sn.OfferSnapshot)
        return apply_offer(self.site, offer, self.applied, asked=3)

    def undo(self) -> None:
        """Put the site back to where it stood, after an attack that has succeeded."""
        self.site.store._point_to(self.applied.training_round)
        self.site.private.save(self.applied.training_round, self.site.trainer.memory)

    def transcript(self, model: bytes, start: bytes | None = None) -> bytes:
        """What a sender says that the history led to, with another model after the third round, or
        from another start."""
        so_far = bytes.fromhex(self.applied.transcript) if start is None else start
        agent = self.held.world.agents["a"]
        for number in (1, 2, 3):
            aggregate = self.site.coordinator.get_aggregate(number)
            assert aggregate is not None
            after = bytes.fromhex(agent.store.applied_at(number).model_hash)
            so_far = transcript_hash(
                so_far,
                aggregate.plan_hash,
                aggregate_hash(self.site.session, aggregate),
                model if number == 3 else after,
            )
        return so_far

    def answer_closures(self, change: Any) -> None:
        """Let the coordinator lie about closed rounds."""
        assert self.held.service is not None
        honest = self.held.service._snapshots._closure
        self.held.service._handlers[sn.GetClosure] = lambda call, message: change(
            call.envelope.round, honest(call, message)
        )


def refused(attack: Attack, what: str, code: str = "FMRG-6261", **changes: Any) -> None:
    with pytest.raises(FedmrgError, match=what) as caught:
        attack.deliver(*attack.offer(**changes))
    assert caught.value.code == code
    if code == "FMRG-6261":
        assert changes.get("sender", "a") in caught.value.message, "who sealed it is named"
