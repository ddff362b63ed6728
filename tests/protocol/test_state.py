"""The round under random sequences of messages, replays, losses and returns."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.protocol import decisions as d
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.errors import (
    Conflict,
    NotPermitted,
    ProtocolError,
    StateMismatch,
    WrongPhase,
    WrongRound,
)
from fedmrg_secure.protocol.messages import NO_TRANSCRIPT, CohortMember, RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase

SITES = ("alpha", "beta", "delta", "gamma")
BASE, PLAN_HASH, MODEL = b"\1" * 32, b"\2" * 32, b"\3" * 32
MIN_SITES = 2


def root_of(site: str) -> bytes:
    return tagged_hash("root", site.encode())


def nonce_of(site: str) -> bytes:
    return tagged_hash("nonce", site.encode())


def make_plan(
    current: s.RoundState, cohort: tuple[str, ...], *, round_keys: bool = False
) -> s.RoundState:
    plan = RoundPlan(
        current.number,
        current.base_state,
        tuple(CohortMember(site, current.announced[site], 1) for site in cohort),
        0 if round_keys else 1,
        "" if round_keys else cohort[0],
        NO_TRANSCRIPT,
    )
    return s.begin(current, plan, PLAN_HASH, round_keys=round_keys)


def uploading(*cohort: str) -> s.RoundState:
    current = s.RoundState(1, RoundPhase.ANNOUNCING, BASE)
    for site in cohort:
        current = s.announce(current, site, nonce_of(site), BASE)
    return make_plan(current, tuple(sorted(cohort)))


class Rounds(RuleBasedStateMachine):
    """One round driven as the coordinator drives it; sites misbehave at will."""

    def __init__(self) -> None:
        super().__init__()
        self.current = s.RoundState(1, RoundPhase.ANNOUNCING, BASE)
        self.live = set(SITES)
        self.key_ready = False
        self.trace = [self.current]
        self.failed = False
        self.total = dict.fromkeys(SITES, 0)  # one-hot: how often each upload was added

    def change(self, new: s.RoundState) -> None:
        self.current = new
        self.trace.append(new)

    def try_message(self, send) -> None:
        """A message either changes the round and, repeated, changes nothing more, or is refused."""
        try:
            new = send(self.current)
        except ProtocolError:
            return
        assert send(new) == new
        self.change(new)

    @rule(site=st.sampled_from(SITES), fresh=st.booleans(), wrong=st.booleans())
    def announce(self, site: str, fresh: bool, wrong: bool) -> None:
        nonce = nonce_of(site + "again" * fresh)
        self.try_message(lambda now: s.announce(now, site, nonce, MODEL if wrong else BASE))

    @rule(site=st.sampled_from(SITES), other=st.booleans(), plan=st.sampled_from([PLAN_HASH, BASE]))
    def upload(self, site: str, other: bool, plan: bytes) -> None:
        root = root_of(site + "x" * other)

        def send(now: s.RoundState) -> s.RoundState:
            s.check_upload(now, site, plan, root)
            return s.complete_upload(now, site, root)

        self.try_message(send)

    @rule(site=st.sampled_from(SITES), other=st.sampled_from([False, False, False, True]))
    def acknowledge(self, site: str, other: bool) -> None:
        model = BASE if other else MODEL
        self.try_message(lambda now: s.acknowledge(now, site, PLAN_HASH, model))

    @rule(site=st.sampled_from(SITES))
    def lose_or_return(self, site: str) -> None:
        self.live ^= {site}

    @rule()
    def publish_key(self) -> None:
        self.key_ready = True

    @precondition(lambda self: not self.failed)
    @rule(overdue=st.sampled_from([False, False, False, True]))
    def take_step(self, overdue: bool) -> None:
        step = d.next_step(
            self.current,
            live=self.live,
            min_sites=MIN_SITES,
            key_ready=self.key_ready,
            overdue=overdue,
        )
        if isinstance(step, d.MakePlan):
            assert set(step.cohort) <= self.live
            self.change(make_plan(self.current, step.cohort))
        elif isinstance(step, d.FixIncluded):
            assert set(step.included) == set(self.current.uploaded)
            self.change(s.fix_included(self.current, step.included))
        elif isinstance(step, d.AddUploads):
            for site in self.current.included:
                self.total[site] += 1
            self.change(s.publish(self.current))
        elif isinstance(step, d.CloseRound):
            self.change(s.close(self.current, step.model_hash))
        elif isinstance(step, d.AbortRound):
            self.change(s.abort(self.current, step.reason))
        elif isinstance(step, d.FailSession):
            self.failed = True
        if overdue:
            assert not isinstance(step, d.Wait) or self.current.over, "a deadline decides"

    @invariant()
    def the_included_are_enough_and_have_uploaded(self) -> None:
        if self.current.included:
            assert len(self.current.included) >= MIN_SITES
            assert set(self.current.included) <= set(self.current.uploaded)
            assert set(self.current.uploaded) <= set(self.current.cohort)

    @invariant()
    def every_upload_is_added_at_most_once(self) -> None:
        added = {site for site, count in self.total.items() if count}
        assert all(count <= 1 for count in self.total.values())
        if self.current.phase in (RoundPhase.AGGREGATED, RoundPhase.CLOSED):
            assert added == set(self.current.included)

    @invariant()
    def a_closed_round_has_one_model(self) -> None:
        if self.current.phase is RoundPhase.CLOSED:
            assert len(self.current.acknowledged) >= MIN_SITES
            assert set(self.current.acknowledged.values()) == {self.current.model_hash}

    @invariant()
    def nothing_that_stood_ever_changes(self) -> None:
        if len(self.trace) < 2:
            return
        before, now = self.trace[-2:]
        assert now.phase >= before.phase
        assert not before.over or now == before
        for fixed in ("plan", "included"):
            assert not getattr(before, fixed) or getattr(now, fixed) == getattr(before, fixed)
        for grown in ("uploaded", "acknowledged"):
            assert getattr(before, grown).items() <= getattr(now, grown).items()
        if before.plan:
            assert now.announced == before.announced


TestRounds = Rounds.TestCase
TestRounds.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_message_for_another_round() -> None:
    with pytest.raises(WrongRound, match="round 2, the round is 1"):
        s.check_round(uploading("alpha", "beta"), 2)


def test_announcing() -> None:
    current = s.RoundState(1, RoundPhase.ANNOUNCING, BASE)
    with pytest.raises(StateMismatch):
        s.announce(current, "alpha", nonce_of("alpha"), MODEL)
    planned = uploading("alpha", "beta")
    assert s.announce(planned, "alpha", nonce_of("alpha"), BASE) == planned
    with pytest.raises(WrongPhase):
        s.announce(planned, "alpha", nonce_of("other"), BASE)
    with pytest.raises(WrongPhase):
        s.announce(planned, "gamma", nonce_of("gamma"), BASE)


def test_uploading() -> None:
    with pytest.raises(WrongPhase, match="no plan"):
        s.check_upload(s.RoundState(1, RoundPhase.ANNOUNCING, BASE), "alpha", PLAN_HASH, BASE)
    current = uploading("alpha", "beta", "gamma")
    with pytest.raises(NotPermitted):
        s.check_upload(current, "delta", PLAN_HASH, root_of("delta"))
    with pytest.raises(Conflict, match="another plan"):
        s.check_upload(current, "alpha", BASE, root_of("alpha"))
    for site in ("alpha", "beta"):
        current = s.complete_upload(current, site, root_of(site))
    with pytest.raises(Conflict, match="another update"):
        s.check_upload(current, "alpha", PLAN_HASH, BASE)
    assert not s.check_upload(current, "alpha", PLAN_HASH, root_of("alpha"))
    added = s.fix_included(current, ("alpha", "beta"))
    with pytest.raises(WrongPhase, match="no more uploads"):
        s.check_upload(added, "gamma", PLAN_HASH, root_of("gamma"))
    with pytest.raises(WrongPhase, match="complete uploads"):
        s.fix_included(current, ("alpha", "gamma"))


def test_acknowledging() -> None:
    current = uploading("alpha", "beta", "gamma")
    with pytest.raises(WrongPhase):
        s.acknowledge(current, "alpha", PLAN_HASH, MODEL)
    for site in ("alpha", "beta"):
        current = s.complete_upload(current, site, root_of(site))
    current = s.publish(s.fix_included(current, ("alpha", "beta")))
    with pytest.raises(Conflict, match="not for the plan"):
        s.acknowledge(current, "alpha", BASE, MODEL)
    assert s.acknowledge(current, "gamma", PLAN_HASH, MODEL) == current
    current = s.acknowledge(current, "alpha", PLAN_HASH, MODEL)
    with pytest.raises(Conflict, match="another model"):
        s.acknowledge(current, "alpha", PLAN_HASH, BASE)
    closed = s.close(current, MODEL)
    assert s.acknowledge(closed, "beta", PLAN_HASH, MODEL) == closed
    with pytest.raises(StateMismatch):
        s.acknowledge(closed, "beta", PLAN_HASH, BASE)


@pytest.mark.parametrize(
    "phase",
    [RoundPhase.AGGREGATING, RoundPhase.AGGREGATED, RoundPhase.CLOSED, RoundPhase.ABORTED],
)
def test_what_may_have_been_opened_is_never_aborted(phase: RoundPhase) -> None:
    with pytest.raises(WrongPhase, match="cannot be aborted"):
        s.abort(replace(uploading("alpha", "beta"), phase=phase), "no")
