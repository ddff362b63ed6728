"""One round at a site, from the announcement to the acknowledgement.

Read `take_part` from top to bottom: policy check, local training (charged to the privacy ledger
before it reads a record), factorised update, clip, fixed point, encrypt, commit, certify, upload,
include, download, open, verify, apply, acknowledge (what is certified and how is in `certifying`).
Each step may be interrupted by a kill; called again, it goes on from what is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedmrg_secure.client.certifying import certify_cohort, certify_inclusion, commit
from fedmrg_secure.client.opening import apply_sum
from fedmrg_secure.client.policy import (
    AggregateRefused,
    check_aggregate,
    check_plan,
    weight_share,
)
from fedmrg_secure.client.private_store import KeptUpdate
from fedmrg_secure.client.progress import Stopwatch
from fedmrg_secure.client.schemes import open_round, scheme_to_encrypt
from fedmrg_secure.client.signing_record import SignedRound
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, Outgoing
from fedmrg_secure.client.waiting import statuses
from fedmrg_secure.core.ahead import map_ahead
from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.crypto.frame import FrameHeader, join_frame
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.privacy.ledger import BudgetExhausted, Reservation
from fedmrg_secure.privacy.ledger_entries import LedgerHead
from fedmrg_secure.protocol.errors import WrongPhase, WrongRound
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.messages import (
    AggregateInfo,
    RoundPlan,
    UploadManifest,
)
from fedmrg_secure.protocol.phases import RoundPhase

State = Mapping[str, npt.NDArray[np.float32]]


@dataclass
class _Measured:
    """What is told of the round once it is done."""

    loss: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    epsilon: float | None = None


def take_part(site: Site, round_number: int, applied: Applied) -> Applied:
    """Take part in a round that is ANNOUNCING, or go on with one after a restart.

    Args:
        site: the site.
        round_number: the coordinator's number of the round.
        applied: the last round that this site has applied.

    Returns:
        The round as applied; `applied` itself where the round was aborted or went on without
        this site.

    Raises:
        BudgetExhausted: the round would cost more than what is left of the data's privacy budget.
            This site stops here, before it announces itself, so that the others' round is planned
            without it.
    """
    _check_budget(site, round_number, applied)
    watch, measured = Stopwatch(), _Measured()
    sent, received = site.coordinator.bytes_sent, site.coordinator.bytes_received
    base = site.store.load_state(applied.training_round)

    nonce = _announce(site, round_number, applied)
    with watch.measure("wait"):
        plan = _await_plan(site, round_number)
    if plan is None:
        return applied
    check_plan(
        plan,
        site.manifest,
        round_number=round_number,
        site=site.name,
        nonce=nonce,
        base_state_hash=applied.model_hash,
        transcript=bytes.fromhex(applied.transcript),
    )
    digest = plan_hash(site.session, plan)
    if site.manifest.round_keys:
        site.signed.begin(
            SignedRound(round_number, applied.model_hash, digest.hex(), sites=plan.sites)
        )
    site.log(
        {
            "type": "round.planned",
            "round": round_number,
            "plan_hash": digest.hex(),
            "base_state_hash": applied.model_hash,
            "cohort": list(plan.sites),
        }
    )
    outgoing = site.store.outgoing(digest.hex())
    if outgoing is None:
        with scheme_to_encrypt(site, plan, digest) as scheme:
            with watch.measure("train"):
                update = _train(site, round_number, applied, base, measured)
            with watch.measure("encrypt"):
                site.progress.enter("encrypting", round_number)
                outgoing = _encrypt(site, plan, digest, scheme, update)
    cohort = None
    if site.manifest.round_keys:
        with watch.measure("certify"):
            commit(site, plan, digest, outgoing)
            cohort = certify_cohort(site, plan, digest)
        if cohort is None:
            return applied
    accepted = False
    if cohort is None or site.name in cohort.statement.sites:
        with watch.measure("upload"):
            site.progress.enter("uploading", round_number)
            if cohort is not None:
                site.signed.send(round_number)
            accepted = _upload(site, round_number, digest, outgoing)
    if cohort is not None:
        with watch.measure("certify"):
            if not certify_inclusion(site, plan, digest, cohort):
                return applied

    with watch.measure("wait"):
        site.progress.enter("waiting", round_number)
        aggregate = _await_aggregate(site, round_number)
    if aggregate is None:
        return applied
    check_aggregate(aggregate, plan, digest, site.manifest)
    included = _check_own_upload(site, aggregate, outgoing, accepted=accepted)
    site.progress.enter("opening", round_number)
    total = open_round(site, aggregate, watch)
    with watch.measure("open"):
        after = apply_sum(site, aggregate, base, total, applied)
    site.store.clear_outgoing()
    site.store.forget_round_key()
    acknowledge(site, after)
    site.progress.emit(
        "round",
        round=after.training_round,
        attempt=round_number,
        included=included,
        loss=measured.loss,
        losses=measured.losses,
        steps=measured.steps,
        records=site.records if site.ledger is None else None,
        epsilon=measured.epsilon,
        seconds={phase: round(seconds, 4) for phase, seconds in watch.seconds.items()},
        bytes={
            "up": site.coordinator.bytes_sent - sent,
            "down": site.coordinator.bytes_received - received,
        },
    )
    return after


def acknowledge(site: Site, applied: Applied) -> None:
    """Tell the coordinator which model this site has after its last applied round."""
    site.log(
        {"type": "round.acknowledged", "round": applied.round, "model_hash": applied.model_hash}
    )
    site.coordinator.acknowledge(
        applied.round, bytes.fromhex(applied.plan_hash), bytes.fromhex(applied.model_hash)
    )


def _announce(site: Site, round_number: int, applied: Applied) -> bytes:
    """Tell the coordinator that this site is ready; the nonce outlives a restart."""
    site.progress.enter("announcing", round_number)
    nonce = site.store.nonce(round_number)
    try:
        site.coordinator.announce(round_number, nonce, bytes.fromhex(applied.model_hash))
    except (WrongPhase, WrongRound):
        return nonce  # the plan is made: it holds this nonce, or goes on without this site
    site.log({"type": "round.announced", "round": round_number, "state_hash": applied.model_hash})
    return nonce


def _await_plan(site: Site, round_number: int) -> RoundPlan | None:
    """The round's plan; None if the round is over or was planned without this site."""
    for status in statuses(site, round_number):
        if status.plan is not None:
            return status.plan if site.name in status.plan.sites else None
    return None


def _train(
    site: Site, round_number: int, applied: Applied, base: State, measured: _Measured
) -> FloatVector:
    """The clipped update of the next pass, shape (vector_size,), float64.

    Trained now, or as it was kept before a kill or an aborted round: nothing is trained twice, and
    nothing is charged twice.

    Raises:
        BudgetExhausted: since `_check_budget` another run has spent what was left.
    """
    number = applied.training_round + 1
    kept = site.private.update(number, applied.model_hash)
    if kept is not None:
        return kept.vector
    site.progress.enter("training", number)
    site.trainer.load_memory(site.private.load(applied.training_round))
    reservation = _reserve(site, round_number, number, measured)
    update = site.trainer.train_round(
        number,
        base,
        # With differential privacy a loss is no number to be passed on, not on this machine either.
        on_step=lambda report: site.progress.step(
            report.step, report.steps, report.loss if reservation is None else None
        ),
    )
    if update.result is not None:
        measured.steps = update.result.steps
    if update.result is not None and reservation is None:
        measured.loss = update.result.loss
        parts = ("language", "specialized", "boosting", "diagnosis", "contrast")
        measured.losses = {part: getattr(update.result, f"{part}_loss") for part in parts}
    site.private.keep_update(
        number, applied.model_hash, KeptUpdate(update.vector, site.trainer.memory)
    )
    if site.ledger is not None and reservation is not None:
        _log_ledger(site, "ledger.settled", round_number, site.ledger.settle(reservation))
    return update.vector


def _check_budget(site: Site, round_number: int, applied: Applied) -> None:
    """Stop before anything is said if the coming pass can not be paid for; charges nothing.

    Raises:
        BudgetExhausted: see `Ledger.check`; the reservation decides, this spares the others a wait.
    """
    number = applied.training_round + 1
    if site.ledger is None or site.private.update(number, applied.model_hash) is not None:
        return
    if (event := site.trainer.privacy_event(number)) is not None:
        try:
            site.ledger.check(event)
        except BudgetExhausted:
            site.log({"type": "ledger.exhausted", "round": round_number})
            raise


def _reserve(site: Site, round_number: int, number: int, measured: _Measured) -> Reservation | None:
    """Charge the coming training to the ledger; what is never settled stays charged."""
    if site.ledger is None or (event := site.trainer.privacy_event(number)) is None:
        return None
    reservation = site.ledger.reserve(event, site.session.hex(), number)
    _log_ledger(site, "ledger.reserved", round_number, reservation.head)
    measured.epsilon = reservation.epsilon_after
    return reservation


def _log_ledger(site: Site, kind: str, round_number: int, head: LedgerHead) -> None:
    """What the ledger has become, for whoever compares it with this site's log later."""
    site.log(
        {
            "type": kind,
            "round": round_number,
            "ledger_hash": head.chain,
            "ledger_entries": head.entries,
        }
    )


def _encrypt(
    site: Site, plan: RoundPlan, digest: bytes, scheme: Scheme, update: FloatVector
) -> Outgoing:
    """Fixed point, encryption and frames, chunk by chunk onto the site's own disk."""
    share = weight_share(site.weight, site.manifest.weights)

    def frame(index: int) -> bytes:
        place = scheme.parameters.chunk_slice(index, update.size)
        chunk = scheme.encrypt_chunk(index, site.codec.encode(update[place], share))
        header = FrameHeader.of_chunk(
            scheme.parameters,
            session=site.session,
            round=plan.round,
            sender=site.name,
            chunk_index=index,
            value_count=update.size,
        )
        return join_frame(header, chunk.packed, chunk.openers)

    chunks = range(scheme.parameters.chunk_count(update.size))
    workers = None if scheme.is_concurrent else 1
    return site.store.write_outgoing(digest.hex(), map_ahead(frame, chunks, workers=workers))


def _upload(site: Site, round_number: int, digest: bytes, outgoing: Outgoing) -> bool:
    """Send what the coordinator lacks; False if the round went on without this site."""
    done = 0

    def tell(frame_bytes: int) -> None:
        nonlocal done
        done += frame_bytes
        site.progress.transfer(done, outgoing.total_bytes)

    manifest = UploadManifest(
        plan_hash=digest,
        chunk_hashes=tuple(bytes.fromhex(value) for value in outgoing.chunk_hashes),
        merkle_root=bytes.fromhex(outgoing.merkle_root),
        total_bytes=outgoing.total_bytes,
    )
    # Logged first: what the coordinator can show that it received, this site has on record.
    site.log({"type": "upload.sent", "round": round_number, "upload_root": outgoing.merkle_root})
    try:
        site.coordinator.upload(round_number, manifest, outgoing.frame, tell)
    except (WrongPhase, WrongRound) as error:
        site.progress.emit("excluded", round=round_number, reason=str(error))
        return False
    return True


def _await_aggregate(site: Site, round_number: int) -> AggregateInfo | None:
    """What the round was summed to; None if it was aborted."""
    for status in statuses(site, round_number, ended=False):
        if status.round_phase is RoundPhase.ABORTED and status.round == round_number:
            return None
        summed = status.round_phase.has_reached(RoundPhase.AGGREGATED)
        if site.manifest.round_keys and status.round_phase is RoundPhase.AGGREGATED:
            summed = status.opening_available
        if summed or status.round > round_number:
            return site.coordinator.get_aggregate(round_number)
    return None


def _check_own_upload(
    site: Site, aggregate: AggregateInfo, outgoing: Outgoing, *, accepted: bool
) -> bool:
    """Whether this site's upload is in the sum; a root that is not its own is refused."""
    for entry in aggregate.included:
        if entry.site == site.name:
            if entry.upload_root.hex() != outgoing.merkle_root or not accepted:
                raise AggregateRefused(
                    f"the sum of round {aggregate.round} names an upload of this site that it "
                    "did not make",
                    hint="do not go on with this coordinator before it has been looked into",
                )
            return True
    return False
