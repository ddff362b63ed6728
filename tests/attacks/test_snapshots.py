"""Attacks on a site that is behind: by who carries its snapshot, by who seals it, by both.

The session, its sites, keys, signatures and ciphertexts are real; what is corrupted is what the
coordinator hands out, and what an offer's sender has put into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import snapshot_sealing
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, SiteStore
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import ReplyRefused
from tests.attacks.snapshot_line import Attack, refused
from tests.client.agents import VALUES, held_world, until


def test_a_snapshot_of_another_round_is_refused(attack: Attack) -> None:
    refused(attack, "older than what this site has or has asked for", number=2)
    refused(attack, "not the closed round number 2", pass_number=2)
    refused(attack, "not the model that it says", values=attack.state(2))


def test_chunks_of_another_snapshot_are_refused(attack: Attack) -> None:
    envelope, _ = attack.offer()
    _, others = attack.offer()
    with pytest.raises(ReplyRefused, match="chunk 0 is not the one that is signed"):
        attack.deliver(envelope, others)


@pytest.mark.parametrize("swap", [[1, 0], [0, 0], [0]])
def test_moved_repeated_and_missing_chunks_are_refused(attack: Attack, swap: list[int]) -> None:
    envelope, chunks = attack.offer()
    with pytest.raises(ReplyRefused):
        attack.deliver(envelope, [chunks[place] for place in swap])


def test_a_snapshot_for_another_site_is_refused(attack: Attack) -> None:
    refused(attack, "it is for c", recipient="c")
    refused(attack, "could not be opened", "FMRG-4521", sealed_to="c")
    refused(attack, "could not be opened", "FMRG-4521", context={"recipient": "c"})


def test_a_snapshot_that_another_site_has_sealed_cannot_be_passed_on(attack: Attack) -> None:
    """A site signs, as its own, what another has sealed to the same recipient."""
    refused(attack, "could not be opened", "FMRG-4521", sender="b", context={"sender": "a"})


def test_a_sender_that_lies_about_the_state_is_named(attack: Attack) -> None:
    other = attack.state().copy()
    other[VALUES // 2] = np.nextafter(other[VALUES // 2], np.float32(9))
    refused(attack, "not the model that it says: its sender", sender="b", values=other)
    refused(attack, "not the model", values=np.zeros(VALUES, dtype=np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(attack: Attack, value: float) -> None:
    other = attack.state().copy()
    other[7] = value
    refused(attack, "not finite", values=other)


def test_a_model_that_no_site_has_acknowledged_is_refused(attack: Attack) -> None:
    """Sender and coordinator agree on another model; the other sites' signatures do not."""
    refused(
        attack,
        "0 of the 3 sites of round 3 have acknowledged its model, 3 are needed",
        model_hash=bytes(32),
        transcript=attack.transcript(bytes(32)),
    )
    refused(attack, "its transcript is not that of its round's history", model_hash=bytes(32))


def test_the_coordinators_word_is_no_acknowledgement(attack: Attack) -> None:
    kits = attack.held.world.federation.kits
    closure = attack.site.coordinator.snapshots.closure(3, acknowledgements=True)
    said = attack.site.coordinator.snapshots.signed(closure.acknowledgements[0], m.Acknowledge)
    assert attack.held.service is not None
    session, key = attack.site.session, SigningKey.generate("c")
    message = said.message  # what the others have truly signed, said by who may not say it
    forged = seal_envelope(key, message, session=session, round_number=3, sequence=1).to_bytes()
    other_round = seal_envelope(
        kits["c"].identity.signing_key, message, session=session, round_number=2, sequence=1
    ).to_bytes()
    own = seal_envelope(
        kits["d"].identity.signing_key, message, session=session, round_number=3, sequence=1
    ).to_bytes()
    two = closure.acknowledgements[:2]

    def claim(*acknowledgements: bytes) -> None:
        attack.answer_closures(
            lambda number, honest: replace(honest, acknowledgements=acknowledgements)
        )

    claim(*two, forged)
    with pytest.raises(ReplyRefused, match="signature of c does not verify"):
        attack.deliver(*attack.offer())
    for insufficient in (two, (*two, two[0]), (*two, other_round), (*two, own), ()):
        claim(*insufficient)
        refused(attack, "acknowledged its model, 3 are needed")


def test_a_history_that_does_not_continue_the_sites_own_is_refused(attack: Attack) -> None:
    def fork(number: int, honest: sn.Closure) -> sn.Closure:
        plan = replace(honest.plan, previous_transcript=bytes(32))
        return replace(honest, plan=plan) if number == 2 else honest

    attack.answer_closures(fork)
    refused(attack, "round 2 does not continue the history that this site knows", "FMRG-6212")

    def other_model(number: int, honest: sn.Closure) -> sn.Closure:
        plan = replace(honest.plan, base_state_hash=bytes(32))
        return replace(honest, plan=plan) if number == 2 else honest

    attack.answer_closures(other_model)
    refused(attack, "round 2 does not continue", "FMRG-6212")

    def smaller_cohort(number: int, honest: sn.Closure) -> sn.Closure:
        plan = replace(honest.plan, cohort=honest.plan.cohort[:2])
        return replace(honest, plan=plan) if number == 3 else honest

    attack.answer_closures(smaller_cohort)
    refused(attack, "the cohort has only 2 sites", "FMRG-6212")

    def other_cohort(number: int, honest: sn.Closure) -> sn.Closure:
        one, *others = honest.plan.cohort
        plan = replace(honest.plan, cohort=(replace(one, nonce=bytes(32)), *others))
        return replace(honest, plan=plan) if number == 3 else honest

    attack.answer_closures(other_cohort)
    refused(attack, "of another plan", "FMRG-6213")


def test_a_snapshot_of_another_size_is_refused_before_it_is_fetched(attack: Attack) -> None:
    values = attack.state().astype("<f4").tobytes()
    refused(attack, "3 chunks", values=values + bytes(sn.CHUNK_BYTES))
    refused(attack, "a state of this session 2", values=values + bytes(4))
    refused(attack, "a state of this session 2", values=values[:-4])
    refused(
        attack, "holds 1199996 bytes, not 1200000", values=values[:-4], total_bytes=len(values) + 32
    )


def test_an_offer_that_no_other_site_has_signed_is_refused(attack: Attack) -> None:
    refused(attack, "no other site of the session", sender="d")
    for broken in (
        {"signer": SigningKey.generate("a")},
        {"session": bytes(32)},
        {"signer": attack.held.world.federation.kits["b"].identity.signing_key, "sender": "zeta"},
    ):
        if broken.get("sender"):
            envelope, chunks = attack.offer(signer=broken["signer"])
            envelope = replace(envelope, sender="a")
        else:
            envelope, chunks = attack.offer(**broken)
        with pytest.raises(ReplyRefused):
            attack.deliver(envelope, chunks)


def test_the_same_bytes_unchanged_are_accepted(attack: Attack, tmp_path: Path) -> None:
    """The attacks above fail for what they change, and for nothing else."""
    after = attack.deliver(*attack.offer())
    assert after == attack.held.world.agents["a"].applied
    np.testing.assert_array_equal(attack.site.store.load_state(3)["update"], attack.state())
    attack.undo()


@pytest.mark.slow
def test_a_lying_site_is_named_and_another_ones_snapshot_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liars: list[str] = []
    honest, load = snapshot_sealing._seal, SiteStore.load_state

    def lie(site: Site, recipient: str, applied: Applied) -> Any:
        if not liars:
            liars.append(site.name)
        if site.name not in liars:
            return honest(site, recipient, applied)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapshot_sealing, "hash_state", lambda state: applied.model_hash)
            patch.setattr(
                SiteStore,
                "load_state",
                lambda store, number: {"update": load(store, number)["update"] * np.float32(2)},
            )
            return honest(site, recipient, applied)

    monkeypatch.setattr(snapshot_sealing, "_seal", lie)
    with held_world(tmp_path) as held:
        held.late.start()
        until(lambda: held.late.applied is not None and held.late.applied.training_round == 3, 60)
        events = {event["type"]: event for event in held.late.events()}
        assert events["snapshot.refused"]["sender"] == liars[0]
        assert events["snapshot.refused"]["code"] == "FMRG-6261"
        assert events["snapshot.applied"]["sender"] not in liars
        held.finish()
    held.world.check_logs()


@pytest.mark.slow
def test_a_coordinator_that_alters_every_snapshot_leaves_the_sums(tmp_path: Path) -> None:
    with held_world(tmp_path) as held:
        assert held.service is not None
        real = held.service._snapshots.chunks

        def altered(call: Any, wanted: Any) -> Iterator[tuple[int, bytes]]:
            for index, chunk in real(call, wanted):
                yield index, bytes([chunk[0] ^ 1]) + chunk[1:]

        held.service._snapshots.chunks = altered  # type: ignore[method-assign]
        held.late.start()
        until(lambda: held.late.applied is not None and held.late.applied.training_round == 3, 60)
        events = held.late.events()
        refusals = [event for event in events if event["type"] == "snapshot.refused"]
        assert {event["code"] for event in refusals} == {"FMRG-5019"}
        assert len({event["sender"] for event in refusals}) == len(refusals) == 3
        assert [event["type"] for event in events].count("aggregate.opened") == 3
        held.finish()
