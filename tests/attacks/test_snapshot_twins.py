"""Attacks on a site that is behind, each against a site with one check less: there they succeed.

`test_snapshots.py` has the same attacks against the site as it is. What is believed there is a
state's hash, which a quorum has signed. So chunks that are moved, or sealed to somebody else, do no
harm by themselves: the layers that refuse them are tested as such.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import history, snapshots
from fedmrg_secure.client.snapshots import SnapshotRefused
from fedmrg_secure.client.state import hash_state
from fedmrg_secure.crypto.sealed_state import SealedStateInvalid
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.protocol import chunk_streams, snapshot_calls
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import ReplyRefused
from tests.attacks.collusion import without_finding
from tests.attacks.snapshot_line import Attack, refused


def in_force(attack: Attack) -> np.ndarray:
    """The state that the late site goes on with; then it is put back."""
    after = attack.site.store.applied()
    assert after is not None
    state: np.ndarray = attack.site.store.load_state(after.training_round)["update"]
    attack.undo()
    return state


def own_model(attack: Attack) -> tuple[np.ndarray, bytes]:
    """A model that no site has reached, and its hash."""
    values = -attack.state()
    return values, bytes.fromhex(hash_state({"update": values}))


def believe_every_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that does not verify what others are said to have signed."""
    whole, lenient = snapshot_calls.open_envelope, SimpleNamespace(verify=lambda *_: None)
    monkeypatch.setattr(
        snapshot_calls,
        "open_envelope",
        lambda envelope, verifier, expected, **terms: whole(envelope, lenient, expected, **terms),
    )


def test_without_a_look_at_the_age_a_site_would_be_held_back(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(attack, "older than what this site has or has asked for", number=2)
    without_finding(monkeypatch, snapshots, "_refuse_if", "it is older than")
    assert attack.deliver(*attack.offer(number=2)).training_round == 2
    taken = in_force(attack)
    np.testing.assert_array_equal(taken, attack.state(2))
    assert not np.array_equal(taken, attack.state(3))


def test_without_its_hash_a_sender_could_give_any_state(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, _ = own_model(attack)
    refused(attack, "not the model that it says", values=values)
    without_finding(monkeypatch, snapshots, "_refuse_if", "not the model that it says")
    after = attack.deliver(*attack.offer(values=values))
    assert after == attack.held.world.agents["a"].applied, "it takes itself for where all are"
    np.testing.assert_array_equal(in_force(attack), values)


def test_without_acknowledgements_a_model_could_be_made_up(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, model = own_model(attack)
    made_up: dict[str, Any] = {
        "values": values,
        "model_hash": model,
        "transcript": attack.transcript(model),
    }
    refused(attack, "0 of the 3 sites of round 3 have acknowledged its model", **made_up)
    monkeypatch.setattr(snapshots, "_check_acknowledged", lambda *_: None)
    attack.deliver(*attack.offer(**made_up))
    np.testing.assert_array_equal(in_force(attack), values)


def test_without_their_signatures_acknowledgements_could_be_made_up(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, model = own_model(attack)
    closure = attack.site.coordinator.snapshots.closure(3, acknowledgements=True)
    said = attack.site.coordinator.snapshots.signed(closure.acknowledgements[0], m.Acknowledge)
    claim = replace(said.message, model_hash=model)
    made_up = tuple(
        seal_envelope(
            SigningKey.generate(name),
            claim,
            session=attack.site.session,
            round_number=3,
            sequence=1,
        ).to_bytes()
        for name in closure.plan.sites
    )
    attack.answer_closures(lambda number, honest: replace(honest, acknowledgements=made_up))
    offer = attack.offer(values=values, model_hash=model, transcript=attack.transcript(model))
    with pytest.raises(ReplyRefused, match="signature of a does not verify"):
        attack.deliver(*offer)
    believe_every_signature(monkeypatch)
    attack.deliver(*offer)
    np.testing.assert_array_equal(in_force(attack), values)


def test_without_a_look_at_its_history_a_fork_would_not_be_noticed(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site has been told another history than the others; a sender that helps to hide it."""
    attack.applied = replace(attack.applied, transcript="11" * 32)
    honest = bytes.fromhex(attack.held.world.agents["a"].store.applied_at(3).model_hash)
    hidden = attack.transcript(honest)
    refused(attack, "round 1 does not continue the history", "FMRG-6212", transcript=hidden)
    monkeypatch.setattr(history, "_check_past_plan", lambda *_: None)
    after = attack.deliver(*attack.offer(transcript=hidden))
    others = attack.held.world.agents["a"].applied
    assert others is not None
    assert after.model_hash == others.model_hash
    assert after.transcript != others.transcript
    attack.undo()


def test_without_its_signature_an_offer_would_blame_who_has_sent_nothing(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = attack.offer(signer=SigningKey.generate("a"), values=-attack.state())
    with pytest.raises(ReplyRefused, match="signature of a does not verify"):
        attack.deliver(*made_up)
    believe_every_signature(monkeypatch)
    with pytest.raises(SnapshotRefused, match="that a has sealed is refused"):
        attack.deliver(*made_up)


# ---- layers


class _Anything:
    def __ne__(self, other: object) -> bool:
        return False


def test_moved_chunks_are_refused_by_their_seal_too(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope, chunks = attack.offer()
    monkeypatch.setattr(chunk_streams, "leaf_hash", lambda _: _Anything())
    with pytest.raises(SealedStateInvalid, match="chunk 0"):
        attack.deliver(envelope, [chunks[1], chunks[0]])
