"""Certified rounds under random sequences of messages, replays, losses and returns.

Keys are one-hot counts: site i's key is the i-th unit vector, a share is the number of such keys in
it, and whoever has t share sums of one included set has the sum of exactly its keys.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.protocol import decisions as d
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.errors import Conflict, NotPermitted, ProtocolError, WrongPhase
from fedmrg_secure.protocol.phases import RoundPhase as P
from fedmrg_secure.protocol.quorum import Quorum
from fedmrg_secure.protocol.statements import (
    cohort_due,
    cohort_of,
    inclusion_due,
    inclusion_of,
)
from tests.protocol.test_state import BASE, MODEL, PLAN_HASH, make_plan, nonce_of, root_of

SITES = ("alpha", "beta", "delta", "gamma", "omega")
SESSION = b"\7" * 32
MIN_SITES = 3
ORDER = (
    P.ANNOUNCING,
    P.COMMITTING,
    P.CERTIFYING,
    P.UPLOADING,
    P.INCLUDING,
    P.AGGREGATING,
    P.AGGREGATED,
    P.CLOSED,
    P.ABORTED,
)


def commitment_of(site: str, other: bool = False) -> s.Commitment:
    word = site + "x" * other
    return s.Commitment(root_of(word), tagged_hash("envelope", word.encode()))


def due(current: s.RoundState, live: tuple[str, ...] = SITES, **options: object) -> d.Step:
    terms = {"min_sites": MIN_SITES, "key_ready": True, "overdue": False, "quorum": Quorum(1)}
    return d.next_step(current, live=live, **{**terms, **options})


def take(current: s.RoundState, step: d.Step) -> s.RoundState:
    """What the coordinator does of itself, as `coordinator.rounds` does it."""
    if isinstance(step, d.MakePlan):
        return make_plan(current, step.cohort, round_keys=True)
    if isinstance(step, d.FixCohort):
        return s.certify(current, step.committed)
    if isinstance(step, d.OpenUploads):
        return s.open_uploads(current)
    if isinstance(step, d.FixIncluded):
        return s.fix_included(current, step.included)
    if isinstance(step, d.StartAdding):
        return s.start_adding(current)
    if isinstance(step, d.AddUploads):
        return s.publish(current)
    if isinstance(step, d.CloseRound):
        return s.close(current, step.model_hash)
    if isinstance(step, d.AbortRound):
        return s.abort(current, step.reason)
    return current


class CertifiedRounds(RuleBasedStateMachine):
    """One round driven as the coordinator drives it; sites misbehave at will."""

    quorum = Quorum(1)

    def __init__(self) -> None:
        super().__init__()
        self.current = s.RoundState(1, P.ANNOUNCING, BASE)
        self.live = set(SITES)
        self.trace = [self.current]
        self.failed = False
        self.total = dict.fromkeys(SITES, 0)
        """how often each upload was added"""
        self.keys: dict[str, dict[str, int]] = {}
        """what each holder's published share sum is the sum of"""

    def change(self, new: s.RoundState) -> None:
        self.current = new
        self.trace.append(new)

    def try_message(self, send: Callable[[s.RoundState], s.RoundState]) -> bool:
        """A message changes the round and, repeated, changes nothing more, or is refused."""
        try:
            new = send(self.current)
        except ProtocolError:
            return False
        assert send(new) == new
        self.change(new)
        return True

    @rule(site=st.sampled_from(SITES))
    def announce(self, site: str) -> None:
        self.try_message(lambda now: s.announce(now, site, nonce_of(site), BASE))

    @rule(site=st.sampled_from(SITES), other=st.booleans(), plan=st.sampled_from([PLAN_HASH, BASE]))
    def commit(self, site: str, other: bool, plan: bytes) -> None:
        self.try_message(lambda now: s.commit(now, site, plan, commitment_of(site, other)))

    @rule(site=st.sampled_from(SITES), wrong=st.sampled_from([False, False, True]))
    def sign_cohort(self, site: str, wrong: bool) -> None:
        def send(now: s.RoundState) -> s.RoundState:
            due_now = cohort_due(SESSION, now)
            return s.sign_cohort(now, site, BASE if wrong else due_now, due_now)

        assert not (self.try_message(send) and wrong)

    @rule(site=st.sampled_from(SITES), other=st.booleans())
    def upload(self, site: str, other: bool) -> None:
        root = root_of(site + "x" * other)
        self.try_message(lambda now: s.complete_upload(now, site, root))

    @rule(site=st.sampled_from(SITES), wrong=st.sampled_from([False, False, True]))
    def sign_inclusion(self, site: str, wrong: bool) -> None:
        def send(now: s.RoundState) -> s.RoundState:
            due_now = inclusion_due(SESSION, now)
            return s.sign_inclusion(now, site, BASE if wrong else due_now, due_now)

        assert not (self.try_message(send) and wrong)

    @rule(site=st.sampled_from(SITES))
    def publish_share_sum(self, site: str) -> None:
        def send(now: s.RoundState) -> s.RoundState:
            s.check_holder(now, site)
            due_now = inclusion_due(SESSION, now)
            return s.publish_share_sum(now, site, due_now, due_now)

        if self.try_message(send):
            self.keys[site] = dict.fromkeys(self.current.included, 1)

    @rule(site=st.sampled_from(SITES), other=st.sampled_from([False, False, False, True]))
    def acknowledge(self, site: str, other: bool) -> None:
        model = BASE if other else MODEL
        self.try_message(lambda now: s.acknowledge(now, site, PLAN_HASH, model))

    @rule(site=st.sampled_from(SITES))
    def lose_or_return(self, site: str) -> None:
        self.live ^= {site}

    @precondition(lambda self: not self.failed)
    @rule(overdue=st.sampled_from([False, False, False, True]))
    def take_step(self, overdue: bool) -> None:
        before = self.current
        step = due(before, tuple(self.live), overdue=overdue, quorum=self.quorum)
        if isinstance(step, d.AddUploads):
            for site in before.included:
                self.total[site] += 1
        self.failed = isinstance(step, d.FailSession)
        new = take(before, step)
        if new != before:
            self.change(new)
        if isinstance(step, d.AbortRound):
            threshold = self.quorum.threshold(len(before.cohort))
            assert len(before.share_sums) < threshold, "what can be opened is never given up"
        if overdue and not before.over:
            assert not isinstance(step, d.Wait), "a deadline decides"

    @rule()
    def work_together(self) -> None:
        """All live sites do what is next, so that histories get somewhere."""
        for site in sorted(self.live):
            self.announce(site)
            self.commit(site, other=False, plan=PLAN_HASH)
            self.sign_cohort(site, wrong=False)
            self.upload(site, other=False)
            self.sign_inclusion(site, wrong=False)
            self.publish_share_sum(site)
            self.acknowledge(site, other=False)
        for _ in range(2):
            if not self.failed:
                self.take_step(overdue=False)

    @invariant()
    def what_is_certified_was_signed_by_enough(self) -> None:
        now, cohort = self.current, self.current.cohort
        if now.phase in (P.UPLOADING, P.INCLUDING, P.AGGREGATING, P.AGGREGATED, P.CLOSED):
            assert self.quorum.is_certified(now.cohort_signers, cohort, now.certified)
        if now.phase in (P.AGGREGATING, P.AGGREGATED, P.CLOSED):
            assert self.quorum.is_certified(now.inclusion_signers, cohort, now.included)

    @invariant()
    def the_sets_are_nested_and_enough(self) -> None:
        now = self.current
        assert set(now.committed) <= set(now.cohort) <= set(now.announced)
        assert set(now.certified) <= set(now.committed)
        assert set(now.included) <= set(now.uploaded) <= set(now.certified)
        assert now.cohort_signers | now.inclusion_signers | now.share_sums <= set(now.cohort)
        for named in (now.cohort, now.certified, now.included):
            assert not named or len(named) >= MIN_SITES
        for site, root in now.uploaded.items():
            assert root == now.committed[site].upload_root

    @invariant()
    def every_upload_is_added_once_and_its_key_is_in_every_share_sum_once(self) -> None:
        now = self.current
        if now.phase in (P.AGGREGATED, P.CLOSED):
            added = {site for site, count in self.total.items() if count}
            assert added == set(now.included)
            assert max(self.total.values()) == 1
        expected = dict.fromkeys(now.included, 1)
        assert all(self.keys[site] == expected for site in now.share_sums)
        if now.phase is P.CLOSED:
            assert len(now.share_sums) >= self.quorum.threshold(len(now.cohort))

    @invariant()
    def nothing_that_stood_ever_changes(self) -> None:
        if len(self.trace) < 2:
            return
        before, now = self.trace[-2:]
        assert ORDER.index(now.phase) >= ORDER.index(before.phase)
        assert not before.over or now == before
        for fixed in ("plan", "certified", "included"):
            assert not getattr(before, fixed) or getattr(now, fixed) == getattr(before, fixed)
        for grown in ("committed", "uploaded", "acknowledged"):
            assert getattr(before, grown).items() <= getattr(now, grown).items()
        for signers in ("cohort_signers", "inclusion_signers", "share_sums"):
            assert getattr(before, signers) <= getattr(now, signers)
        if before.certified:
            assert cohort_of(now) == cohort_of(before)
        if before.certified and before.included:
            assert inclusion_of(SESSION, now) == inclusion_of(SESSION, before)

    def teardown(self) -> None:
        event(self.current.phase.name)


TestCertifiedRounds = CertifiedRounds.TestCase
TestCertifiedRounds.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


class UnanimousRounds(CertifiedRounds):
    quorum = Quorum(1, "unanimous")


TestUnanimousRounds = UnanimousRounds.TestCase
TestUnanimousRounds.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)


def committing(*cohort: str) -> s.RoundState:
    current = s.RoundState(1, P.ANNOUNCING, BASE)
    for site in cohort or SITES:
        current = s.announce(current, site, nonce_of(site), BASE)
    return make_plan(current, tuple(sorted(cohort or SITES)), round_keys=True)


def certifying(*committed: str) -> s.RoundState:
    current = committing()
    for site in committed or SITES:
        current = s.commit(current, site, PLAN_HASH, commitment_of(site))
    return s.certify(current, tuple(committed or SITES))


def signed_cohort(current: s.RoundState, *sites: str) -> s.RoundState:
    statement = cohort_due(SESSION, current)
    for site in sites:
        current = s.sign_cohort(current, site, statement, statement)
    return current


def including(*included: str) -> s.RoundState:
    current = s.open_uploads(signed_cohort(certifying(), *SITES))
    for site in included or SITES:
        current = s.complete_upload(current, site, root_of(site))
    return s.fix_included(current, tuple(included or SITES))


def signed_inclusion(current: s.RoundState, *sites: str) -> s.RoundState:
    statement = inclusion_due(SESSION, current)
    for site in sites:
        current = s.sign_inclusion(current, site, statement, statement)
    return current


def aggregated(*publishers: str, included: tuple[str, ...] = SITES) -> s.RoundState:
    current = s.publish(s.start_adding(signed_inclusion(including(*included), *SITES)))
    statement = inclusion_due(SESSION, current)
    for site in publishers:
        current = s.publish_share_sum(current, site, statement, statement)
    return current


class TestMessages:
    def test_commitments(self) -> None:
        current = committing("alpha", "beta", "gamma")
        with pytest.raises(NotPermitted):
            s.commit(current, "delta", PLAN_HASH, commitment_of("delta"))
        with pytest.raises(Conflict, match="another plan"):
            s.commit(current, "alpha", BASE, commitment_of("alpha"))
        current = s.commit(current, "alpha", PLAN_HASH, commitment_of("alpha"))
        with pytest.raises(Conflict, match="another update"):
            s.commit(current, "alpha", PLAN_HASH, commitment_of("alpha", other=True))
        late = certifying("alpha", "beta", "gamma")
        with pytest.raises(WrongPhase):
            s.commit(late, "delta", PLAN_HASH, commitment_of("delta"))
        assert s.commit(late, "alpha", PLAN_HASH, commitment_of("alpha")) == late

    def test_shares_come_before_the_commitment_and_again_after_it(self) -> None:
        current = committing("alpha", "beta", "gamma")
        s.check_shares(current, "alpha", PLAN_HASH)
        with pytest.raises(Conflict):
            s.check_shares(current, "alpha", BASE)
        with pytest.raises(NotPermitted):
            s.check_shares(current, "omega", PLAN_HASH)
        late = certifying("alpha", "beta", "gamma")
        s.check_shares(late, "alpha", PLAN_HASH)
        for current, site in ((late, "delta"), (s.abort(late, "x"), "alpha")):
            with pytest.raises(WrongPhase):
                s.check_shares(current, site, PLAN_HASH)
        with pytest.raises(WrongPhase, match="no plan"):
            s.check_shares(s.RoundState(1, P.ANNOUNCING, BASE), "alpha", PLAN_HASH)

    def test_there_is_nothing_to_sign_before_it_is_fixed(self) -> None:
        with pytest.raises(WrongPhase, match="no cohort"):
            s.sign_cohort(committing(), "alpha", BASE, BASE)
        with pytest.raises(WrongPhase, match="no cohort"):
            cohort_of(committing())
        with pytest.raises(WrongPhase, match="no included set"):
            s.sign_inclusion(certifying(), "alpha", BASE, BASE)
        with pytest.raises(WrongPhase, match="no included set"):
            inclusion_of(SESSION, certifying())

    def test_a_co_signature_of_something_else_or_from_outside(self) -> None:
        current = certifying()
        with pytest.raises(Conflict, match="something else"):
            s.sign_cohort(current, "alpha", BASE, cohort_due(SESSION, current))
        with pytest.raises(NotPermitted):
            s.sign_cohort(current, "zeta", BASE, BASE)
        over = s.abort(current, "x")
        with pytest.raises(WrongPhase):
            s.sign_cohort(over, "alpha", BASE, BASE)

    def test_an_upload_is_the_committed_one_of_a_certified_site(self) -> None:
        current = certifying("alpha", "beta", "gamma")
        with pytest.raises(WrongPhase, match="no more uploads"):
            s.check_upload(current, "alpha", PLAN_HASH, root_of("alpha"))
        current = s.open_uploads(signed_cohort(current, *SITES))
        assert s.check_upload(current, "alpha", PLAN_HASH, root_of("alpha"))
        with pytest.raises(Conflict, match="committed to another"):
            s.check_upload(current, "alpha", PLAN_HASH, BASE)
        with pytest.raises(WrongPhase, match="goes on without delta"):
            s.check_upload(current, "delta", PLAN_HASH, root_of("delta"))

    @pytest.mark.parametrize("current", [certifying(), including()], ids=["cohort", "included"])
    def test_no_holder_gets_shares_before_the_included_set_is_certified(
        self, current: s.RoundState
    ) -> None:
        with pytest.raises(WrongPhase, match="no shares"):
            s.check_holder(current, "alpha")
        with pytest.raises(WrongPhase):
            s.publish_share_sum(current, "alpha", BASE, BASE)

    def test_share_sums_are_of_the_included_set_and_from_the_plans_sites(self) -> None:
        current = s.start_adding(signed_inclusion(including(), *SITES))
        statement = inclusion_due(SESSION, current)
        with pytest.raises(Conflict):
            s.publish_share_sum(current, "alpha", BASE, statement)
        with pytest.raises(NotPermitted):
            s.publish_share_sum(current, "zeta", statement, statement)
        for over in (s.abort(current, "x"), replace(current, phase=P.CLOSED)):
            with pytest.raises(WrongPhase):
                s.publish_share_sum(over, "alpha", statement, statement)

    def test_only_what_was_committed_is_certified(self) -> None:
        current = s.commit(committing(), "alpha", PLAN_HASH, commitment_of("alpha"))
        for sites in (("alpha", "beta"), ()):
            with pytest.raises(WrongPhase, match="have committed"):
                s.certify(current, sites)

    def test_a_certified_round_may_be_given_up_until_it_is_closed(self) -> None:
        for current in (committing(), certifying(), including(), aggregated()):
            assert s.abort(current, "why").reason == "why"
        with pytest.raises(WrongPhase, match="cannot be aborted"):
            s.abort(replace(aggregated(), phase=P.CLOSED), "no")


class TestDecisions:
    """Five sites, T = 1: four co-signatures certify and four share sums open."""

    def test_committing_waits_for_live_sites_and_needs_the_threshold(self) -> None:
        current = committing()
        assert due(current) == d.Wait()
        assert due(current, SITES[:4]) == d.Wait()
        assert due(current, SITES[:3]).cause == "commitments-missing"
        for site in SITES[:4]:
            current = s.commit(current, site, PLAN_HASH, commitment_of(site))
        assert due(current) == d.Wait()
        assert due(current, SITES[:4]) == d.FixCohort(SITES[:4])
        assert due(current, overdue=True) == d.FixCohort(SITES[:4])
        assert due(current, SITES[1:]) == d.Wait(), "alpha is lost, omega may still commit"
        assert due(current, SITES[1:], overdue=True).cause == "commitments-missing"

    def test_uploads_open_with_enough_co_signatures(self) -> None:
        current = signed_cohort(certifying(), *SITES[:3])
        assert due(current) == d.Wait()
        assert due(current, overdue=True).cause == "co-signatures-missing"
        assert due(current, ("alpha", "beta")).cause == "co-signatures-missing"
        assert due(signed_cohort(current, "omega"), ()) == d.OpenUploads()

    def test_adding_starts_with_enough_co_signatures(self) -> None:
        current = signed_inclusion(including(*SITES[:3]), *SITES[1:4])
        assert due(current) == d.Wait()
        assert due(current, overdue=True).cause == "co-signatures-missing"
        assert due(signed_inclusion(current, "omega"), ()) == d.StartAdding()

    def test_a_unanimous_certificate_needs_all_it_names_and_nobody_lost(self) -> None:
        unanimous = Quorum(1, "unanimous")
        current = signed_inclusion(including(*SITES[:4]), *SITES[1:])
        assert due(current) == d.StartAdding()
        assert due(current, quorum=unanimous) == d.Wait()
        step = due(current, SITES[1:], quorum=unanimous)
        assert isinstance(step, d.AbortRound)
        assert due(signed_inclusion(current, "alpha"), (), quorum=unanimous) == d.StartAdding()

    def test_waiting_for_share_sums(self) -> None:
        current = aggregated(*SITES[:3])
        assert due(current) == d.Wait()
        assert due(current, overdue=True).cause == "share-sums-missing"
        assert due(current, SITES[:3]).cause == "share-sums-missing"
        assert due(current, ("gamma", "omega")) == d.Wait()
        enough = aggregated(*SITES[:4])
        assert due(enough) == d.Wait(), "now for acknowledgements"
        assert isinstance(due(enough, overdue=True), d.FailSession)
        for site in SITES[:3]:
            enough = s.acknowledge(enough, site, PLAN_HASH, MODEL)
        assert due(enough, SITES[:3]) == d.CloseRound(MODEL)

    def test_acknowledgements_without_share_sums_close_nothing(self) -> None:
        current = aggregated(*SITES[:3])
        for site in SITES:
            current = s.acknowledge(current, site, PLAN_HASH, MODEL)
        assert due(current) == d.Wait()
        assert due(current, overdue=True).cause == "share-sums-missing"

    def test_a_plan_is_made_only_of_enough_for_the_quorum(self) -> None:
        current = s.RoundState(1, P.ANNOUNCING, BASE)
        for site in SITES[:3]:
            current = s.announce(current, site, nonce_of(site), BASE)
        assert due(current, SITES[:3]) == d.MakePlan(SITES[:3])
        assert due(current, SITES[:3], quorum=Quorum(3)) == d.Wait()
