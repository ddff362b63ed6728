"""A session from the first site to the last round, told from top to bottom.

gather sites -> open a round -> make its plan -> collect uploads -> fix who is included -> add and
publish -> collect acknowledgements -> close -> ... -> finish.

Where sites make keys of their own, they commit and certify the cohort before they upload, certify
who is included before anything is added, and give share sums before the sum can be acknowledged.

Messages change the session in `service`; here is what the coordinator does by itself. It takes one
step at a time, each durable, so that it can be killed between any two and go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from fedmrg_secure.coordinator.certified_rounds import (
    can_be_opened,
    cohort_certified,
    inclusion_certified,
)
from fedmrg_secure.coordinator.key_epochs import epoch_of_round
from fedmrg_secure.coordinator.ledger import ClosedRound, Event, LedgerState
from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.coordinator.snapshots import forget_snapshots
from fedmrg_secure.coordinator.store import drop_aggregate, set_aggregate
from fedmrg_secure.coordinator.summing import sum_uploads
from fedmrg_secure.core.merkle import merkle_root
from fedmrg_secure.crypto.frame import AGGREGATE
from fedmrg_secure.protocol import decisions as d
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.errors import CoordinatorFull
from fedmrg_secure.protocol.hashes import aggregate_hash, plan_hash, transcript_hash
from fedmrg_secure.protocol.messages import (
    NO_TRANSCRIPT,
    AggregateInfo,
    CohortMember,
    IncludedSite,
    RoundPlan,
)
from fedmrg_secure.protocol.phases import SessionPhase
from fedmrg_secure.protocol.statements import inclusion_due

_LONGEST_WAIT_S = 0.25
_FULL_DISK_PAUSE_S = 2.0
_MOST_ABORTS = 5
"""Aborted rounds in a row after which the session is given up."""


class Deadlines:
    """How long the session has been in its present phase, as this process has seen it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase: tuple[object, ...] = ()
        self._since = clock()

    def overdue(self, limit_ms: int, *phase: object) -> bool:
        """Whether `phase` has lasted longer than `limit_ms`."""
        if phase != self._phase:
            self._phase, self._since = phase, self._clock()
        return self._clock() - self._since > limit_ms / 1000


def conduct(session: Session, stop: threading.Event) -> None:
    """Take every step that is due until the session has ended or `stop` is set."""
    deadlines, flush_due = Deadlines(), False
    while not stop.is_set() and not session.ledger.state.ended:
        session.ledger.changed.clear()
        try:
            if flush_due:
                session.ledger.flush_events()
                flush_due = False
            moved = take_step(session, deadlines, stop)
        except CoordinatorFull as error:
            session.report({"event": "disk_full", "reason": error.message})
            stop.wait(_FULL_DISK_PAUSE_S)
            flush_due = True
            continue
        if not moved:
            session.ledger.changed.wait(_LONGEST_WAIT_S)


def take_step(session: Session, deadlines: Deadlines, stop: threading.Event) -> bool:
    """Take one step if one is due; whether one was."""
    _notice_lost_sites(session)
    with session.ledger.lock:
        state = session.ledger.state
        if state.phase is SessionPhase.JOINING:
            return _gather_sites(session, deadlines)
        if state.round is None or state.round.over:
            return _open_round_or_finish(session)
        step = _due(session, state.round, deadlines)
        if not isinstance(step, d.AddUploads):
            return _take(session, state.round, step)
    _add_uploads(session, state.round, stop)
    return True


def _take(session: Session, current: s.RoundState, step: d.Step) -> bool:
    if isinstance(step, d.MakePlan):
        _make_plan(session, current, step.cohort)
    elif isinstance(step, d.FixCohort):
        _commit_round(session, s.certify(current, step.committed))
    elif isinstance(step, d.OpenUploads):
        event = cohort_certified(session, current)
        _commit_round(session, s.open_uploads(current), event)
    elif isinstance(step, d.FixIncluded):
        _commit_round(session, s.fix_included(current, step.included))
    elif isinstance(step, d.StartAdding):
        event = inclusion_certified(session, current)
        _commit_round(session, s.start_adding(current), event)
    elif isinstance(step, d.CloseRound):
        _close_round(session, current, step.model_hash)
    elif isinstance(step, d.AbortRound):
        _abort_round(session, current, step)
    elif isinstance(step, d.FailSession):
        _fail(session, step.cause, step.reason)
    else:
        return False
    return True


def _due(session: Session, current: s.RoundState, deadlines: Deadlines) -> d.Step:
    """The step that is due, where a session without enough sites is due to fail.

    A round goes on without sites that do not come back after a restart, but it is not given up, nor
    is the session, while they may still be starting.
    """
    manifest, keys, live = session.manifest, session.ledger.state.keys, session.live()
    openable = can_be_opened(session, current)  # acknowledging has a deadline of its own
    overdue = deadlines.overdue(manifest.round_deadline_ms, current.number, current.phase, openable)
    key_ready = not manifest.shared_key or (
        keys is not None and set(current.cohort) <= keys.published
    )

    def due(sites: frozenset[str]) -> d.Step:
        return d.next_step(
            current,
            live=sites,
            min_sites=manifest.min_sites,
            key_ready=key_ready,
            overdue=overdue,
            quorum=manifest.quorum if manifest.round_keys else None,
        )

    hoped_for = live | session.awaited()
    step = due(live)
    if isinstance(step, d.AbortRound | d.FailSession):
        step = due(hoped_for)
    stuck = isinstance(step, d.Wait | d.AbortRound | d.FailSession)
    if stuck and len(hoped_for) < manifest.min_sites:
        return _too_few(session, live)
    return step


def _too_few(session: Session, live: frozenset[str]) -> d.FailSession:
    gone = sorted(set(session.ledger.state.sites) - live)
    return d.FailSession(
        "too-few-sites",
        f"{len(live)} live sites are left, {session.manifest.min_sites} are needed; "
        f"lost: {', '.join(gone) or 'none'}",
    )


def _notice_lost_sites(session: Session) -> None:
    """Who has been silent for too long is lost, until it calls again."""
    with session.ledger.lock:
        state = session.ledger.state
        accepted = [name for name, record in state.sites.items() if not record.lost]
        lost = session.presence.silent(accepted)
        if not lost:
            return
        records = {name: replace(state.sites[name], lost=True) for name in lost}
        session.ledger.commit(
            replace(state, sites={**state.sites, **records}),
            *({"type": "site.lost", "site": name} for name in sorted(lost)),
        )
    for name in sorted(lost):
        session.report({"event": "site_lost", "site": name})


def _gather_sites(session: Session, deadlines: Deadlines) -> bool:
    """The first round opens when all sites are there, or enough of them at the deadline."""
    manifest, live = session.manifest, session.live()
    overdue = deadlines.overdue(manifest.join_deadline_ms, SessionPhase.JOINING)
    if len(live) == len(manifest.sites) or (overdue and len(live) >= manifest.min_sites):
        session.ledger.commit(replace(session.ledger.state, phase=SessionPhase.RUNNING))
        return True
    if overdue:
        absent = sorted(set(manifest.sites) - live)
        _fail(
            session,
            "too-few-sites",
            f"{len(live)} sites joined in time, {manifest.min_sites} are needed; "
            f"absent: {', '.join(absent)}",
        )
        return True
    return False


def _open_round_or_finish(session: Session) -> bool:
    state, manifest = session.ledger.state, session.manifest
    if len(state.closed) == manifest.rounds:
        session.ledger.commit(
            replace(state, phase=SessionPhase.FINISHED),
            {
                "type": "session.finished",
                "session_hash": session.session_id.hex(),
                "rounds": len(state.closed),
            },
        )
        session.report({"event": "finished", "rounds": len(state.closed)})
        return True
    last = state.round.number if state.round else 0
    aborted = last - (state.closed[-1].number if state.closed else 0)
    if state.round is not None and aborted >= _MOST_ABORTS:
        _fail(
            session,
            "rounds-aborted",
            f"{aborted} rounds in a row were aborted, at last because {state.round.reason}",
        )
        return True
    _commit_round(session, s.next_round(state.round, session.state_hash))
    return True


def _make_plan(session: Session, current: s.RoundState, names: tuple[str, ...]) -> None:
    """Fix cohort, nonces, weights and key; whoever announces itself later takes part next time."""
    state, manifest = session.ledger.state, session.manifest
    cohort = tuple(
        CohortMember(name, current.announced[name], state.sites[name].weight) for name in names
    )
    keys = state.keys
    if manifest.shared_key:
        keys = epoch_of_round(
            keys,
            session=session.session_id,
            round_number=current.number,
            cohort=cohort,
            recipients=sorted(session.access.in_good_standing(manifest.sites)),
            rotate_after=manifest.rotate_after,
            roster_hash=session.access.roster_hash,
        )
    plan = RoundPlan(
        round=current.number,
        base_state_hash=current.base_state,
        cohort=cohort,
        key_epoch=keys.number if keys else 0,
        key_maker=keys.maker if keys else "",
        previous_transcript=state.closed[-1].transcript if state.closed else NO_TRANSCRIPT,
    )
    digest = plan_hash(session.session_id, plan)
    session.ledger.commit(
        replace(
            state,
            round=s.begin(current, plan, digest, round_keys=manifest.round_keys),
            keys=keys,
        ),
        {
            "type": "round.planned",
            "round": plan.round,
            "plan_hash": digest.hex(),
            "base_state_hash": plan.base_state_hash.hex(),
            "cohort": list(names),
            **({"epoch": plan.key_epoch, "key_maker": plan.key_maker} if keys else {}),
        },
    )
    _report_round(session)


def _add_uploads(session: Session, current: s.RoundState, stop: threading.Event) -> None:
    """Add the included uploads and tell who is in the sum and what it hashes to."""
    summed = sum_uploads(session, current, stop)
    if summed is None:
        return
    hashes = tuple(chunk.leaf for chunk in summed)
    assert current.plan is not None
    weights = {member.site: member.weight for member in current.plan.cohort}
    info = AggregateInfo(
        round=current.number,
        plan_hash=current.plan_hash,
        included=tuple(
            IncludedSite(site, weights[site], current.uploaded[site]) for site in current.included
        ),
        chunk_hashes=hashes,
        merkle_root=merkle_root(hashes),
        total_bytes=sum(chunk.frame_bytes for chunk in summed),
        key_epoch=current.plan.key_epoch,
        key_maker=current.plan.key_maker,
        inclusion_hash=inclusion_due(session.session_id, current) if current.certified else b"",
    )
    with session.ledger.lock:
        now = session.ledger.state.round  # share sums may have come meanwhile
        assert now is not None
        session.ledger.commit(
            replace(session.ledger.state, round=s.publish(now)),
            {
                "type": "round.aggregated",
                "round": current.number,
                "aggregate_hash": aggregate_hash(session.session_id, info).hex(),
                "aggregate_root": info.merkle_root.hex(),
                "included": list(current.included),
            },
            also=set_aggregate(info),
        )
    _report_round(session)


def _close_round(session: Session, current: s.RoundState, model_hash: bytes) -> None:
    """Everybody who had to has reached the same model; the uploads are not needed any more."""
    assert current.plan is not None
    info = session.store.aggregate(current.number)
    assert info is not None
    transcript = transcript_hash(
        current.plan.previous_transcript,
        current.plan_hash,
        aggregate_hash(session.session_id, info),
        model_hash,
    )
    state = session.ledger.state
    closed = ClosedRound(current.number, model_hash, transcript)
    session.ledger.commit(
        replace(state, round=s.close(current, model_hash), closed=(*state.closed, closed)),
        {
            "type": "round.closed",
            "round": current.number,
            "model_hash": model_hash.hex(),
            "transcript_hash": transcript.hex(),
        },
    )
    forget_uploads(session)
    _report_round(session)


def _abort_round(session: Session, current: s.RoundState, step: d.AbortRound) -> None:
    """Nobody could open anything of this round; the next one begins from the same state."""
    session.ledger.commit(
        replace(session.ledger.state, round=s.abort(current, step.reason)),
        {"type": "round.aborted", "round": current.number, "reason": step.cause},
        also=drop_aggregate(current.number),
    )
    forget_uploads(session)
    _report_round(session)


def _fail(session: Session, cause: str, reason: str) -> None:
    session.ledger.commit(
        replace(session.ledger.state, phase=SessionPhase.FAILED, reason=reason[:500]),
        {
            "type": "session.failed",
            "session_hash": session.session_id.hex(),
            "reason": cause,
        },
    )
    forget_uploads(session)
    session.report({"event": "failed", "reason": reason})


def forget_uploads(session: Session) -> None:
    """Remove uploads and snapshots that nobody needs, and blobs that nothing refers to."""
    state: LedgerState = session.ledger.state
    current = state.round
    open_round = current.number if current and not current.over and not state.ended else None
    session.store.drop_uploads(AGGREGATE, open_round)
    session.blobs.keep_only(session.store.blobs())
    forget_snapshots(session)


def _commit_round(session: Session, current: s.RoundState, *events: Event) -> None:
    session.ledger.commit(replace(session.ledger.state, round=current), *events)
    _report_round(session)


def _report_round(session: Session) -> None:
    current = session.ledger.state.round
    assert current is not None
    reason = {"reason": current.reason} if current.reason else {}
    session.report(
        {"event": "round", "round": current.number, "phase": current.phase.name, **reason}
    )
