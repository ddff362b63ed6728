"""Certified rounds: what goes through, what is refused, who may vanish when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fedmrg_secure.coordinator import rounds
from fedmrg_secure.coordinator.shares import Kind
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.certified_calls import root_of
from fedmrg_secure.protocol.errors import (
    Conflict,
    InvalidMessage,
    NotAvailable,
    NotPermitted,
    ProtocolError,
    WrongPhase,
    WrongRound,
)
from fedmrg_secure.protocol.phases import RoundPhase as P
from fedmrg_secure.protocol.statements import cohort_due, inclusion_due
from tests.coordinator.certified_bench import Bench
from tests.coordinator.certified_drills import share, tell
from tests.coordinator.drills import make_federation

FOUR = ("alpha", "beta", "delta", "gamma")
TEN = tuple(f"site-{number}" for number in range(10))
THROUGH = (P.COMMITTING, P.CERTIFYING, P.UPLOADING, P.INCLUDING, P.AGGREGATED)
AFTER_COMMITTING = THROUGH[1:]
HASH = b"\x09" * 32

MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(names: tuple[str, ...] = FOUR, **terms: Any) -> Bench:
        made.append(Bench(tmp_path / str(len(made)), names, **terms))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def send(bench: Bench, site: str, message: Any, number: int | None = None) -> None:
    tell(bench.clients[site], bench.round.number if number is None else number, message)  # type: ignore[arg-type]


def plan_of(bench: Bench) -> m.RoundPlan:
    assert bench.round.plan is not None
    return bench.round.plan


def expected_sum(bench: Bench, number: int) -> int:
    found = bench.session.store.round(number)
    assert found is not None
    return sum(bench.sites[name].value for name in found.included)


def test_a_session_closes_with_exact_sums_and_the_log_tells_each_step(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(rounds=2)
    bench.advance(P.CLOSED)
    bench.advance(P.CLOSED)
    total = sum(site.value for site in bench.sites.values())
    assert all(set(bench.sites[name].state) == {2 * total} for name in bench.round.acknowledged)
    kinds = bench.kinds()
    for kind, count in (
        ("round.committed", 8),
        ("cohort.certified", 2),
        ("inclusion.certified", 2),
        ("round.closed", 2),
    ):
        assert kinds.count(kind) == count, kind
    for kind in ("cohort.signed", "inclusion.signed", "share_sums.published"):
        assert kinds.count(kind) >= 6, kind
    order = [kinds.index(kind) for kind in ("cohort.certified", "upload.received")]
    assert order == sorted(order)
    info = bench.session.store.aggregate(1)
    found = bench.session.store.round(1)
    assert info is not None
    assert found is not None
    assert info.inclusion_hash == inclusion_due(bench.session.session_id, found)


def test_after_a_round_its_shares_are_gone_and_its_share_sums_stay(make_bench: MakeBench) -> None:
    bench = make_bench(rounds=2)
    bench.advance(P.CLOSED)
    store = bench.session.store
    assert not store.deposits(1, Kind.SHARE)
    sums = store.deposits(1, Kind.SHARE_SUM)
    assert sums.keys() == store.round(1).share_sums  # type: ignore[union-attr]
    for deposit in sums.values():
        assert bench.session.blobs.read(deposit.blob)


def test_the_blobs_of_replaced_and_refused_deposits_are_removed(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.advance(P.COMMITTING)
    drill = TestShares()
    first, second = drill.deposit(bench, "alpha"), drill.deposit(bench, "alpha", "other")
    folder = bench.session.blobs
    for deposit in (first, second, first):
        send(bench, "alpha", deposit)
    send(bench, "alpha", drill.commit(bench, first.sealed))
    with pytest.raises(Conflict):
        send(bench, "alpha", second)
    (kept,) = bench.session.store.deposits(1, Kind.SHARE).values()
    assert {path.name for path in folder._folder.glob("??/*")} == {kept.blob}


@pytest.mark.parametrize("phase", THROUGH)
def test_a_kill_at_any_phase_loses_nothing_and_replays_change_nothing(
    make_bench: MakeBench, phase: P
) -> None:
    bench = make_bench(rounds=1)
    bench.advance(phase)
    bench.restart()
    bench.replay_everything()
    bench.advance(P.CLOSED)
    bench.restart()
    bench.replay_everything()
    assert expected_sum(bench, 1) == sum(site.value for site in bench.sites.values())
    assert bench.kinds().count("round.committed") == 4


class TestShares:
    def deposit(self, bench: Bench, site: str, word: str = "share") -> c.DepositShares:
        plan = plan_of(bench)
        sealed = tuple(share(site, holder, plan.round, word) for holder in plan.sites)
        return c.DepositShares(bench.round.plan_hash, sealed)

    def commit(self, bench: Bench, sealed: tuple[bytes, ...], root: bytes = HASH) -> c.Commit:
        return c.Commit(bench.round.plan_hash, root, root_of(sealed))

    def test_a_deposit_may_be_replaced_until_it_is_committed_to(
        self, make_bench: MakeBench
    ) -> None:
        bench = make_bench()
        bench.advance(P.COMMITTING)
        first, second = self.deposit(bench, "alpha"), self.deposit(bench, "alpha", "other")
        for deposit in (first, second, second, first):
            send(bench, "alpha", deposit)
        send(bench, "alpha", self.commit(bench, first.sealed))
        send(bench, "alpha", first)
        with pytest.raises(Conflict, match="other sealed shares"):
            send(bench, "alpha", second)

    def test_a_commitment_is_to_what_was_deposited(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.COMMITTING)
        deposit = self.deposit(bench, "alpha")
        with pytest.raises(Conflict, match="not deposited"):
            send(bench, "alpha", self.commit(bench, deposit.sealed))
        send(bench, "beta", self.deposit(bench, "beta"))
        with pytest.raises(Conflict, match="not deposited"):
            send(bench, "alpha", self.commit(bench, deposit.sealed))
        send(bench, "alpha", deposit)
        for wrong in (
            self.deposit(bench, "alpha", "other").sealed,
            deposit.sealed[:-1],
            deposit.sealed[::-1],
            (*deposit.sealed, deposit.sealed[0]),
        ):
            with pytest.raises(Conflict, match="other sealed shares"):
                send(bench, "alpha", self.commit(bench, wrong))
        assert not bench.round.committed
        assert "round.committed" not in bench.kinds()

    def test_a_second_commitment_counts_only_if_it_is_the_same(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.COMMITTING)
        deposit = self.deposit(bench, "alpha")
        send(bench, "alpha", deposit)
        send(bench, "alpha", self.commit(bench, deposit.sealed))
        before = bench.session.ledger.state
        send(bench, "alpha", self.commit(bench, deposit.sealed))  # in a new envelope
        assert bench.session.ledger.state == before
        with pytest.raises(Conflict, match="another update"):
            send(bench, "alpha", self.commit(bench, deposit.sealed, root=bytes(32)))
        bench.restart()
        send(bench, "alpha", self.commit(bench, deposit.sealed))
        with pytest.raises(Conflict, match="another update"):
            send(bench, "alpha", self.commit(bench, deposit.sealed, root=bytes(32)))

    def test_wrong_plan_round_length_and_phase(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.ANNOUNCING)
        with pytest.raises(WrongPhase):
            send(bench, "alpha", c.DepositShares(HASH, (b"x",)))
        bench.advance(P.COMMITTING)
        deposit = self.deposit(bench, "alpha")
        with pytest.raises(Conflict, match="another plan"):
            send(bench, "alpha", c.DepositShares(HASH, deposit.sealed))
        with pytest.raises(InvalidMessage, match="4 recipients are due, 3 came"):
            send(bench, "alpha", c.DepositShares(deposit.plan_hash, deposit.sealed[1:]))
        for number in (0, 2):
            with pytest.raises(WrongRound):
                send(bench, "alpha", deposit, number)
        send(bench, "alpha", deposit)
        with pytest.raises(Conflict, match="another plan"):
            send(bench, "alpha", c.Commit(HASH, HASH, root_of(deposit.sealed)))

    def test_who_did_not_commit_in_time_can_not_any_more(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.COMMITTING)
        bench.advance(P.CERTIFYING, *FOUR[:3])
        with pytest.raises(WrongPhase):
            send(bench, "gamma", self.deposit(bench, "gamma"))
        with pytest.raises(WrongPhase):
            send(bench, "gamma", self.commit(bench, self.deposit(bench, "gamma").sealed))

    def test_a_site_outside_the_plan(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.COMMITTING, *FOUR[:3])
        for message in (self.deposit(bench, "gamma"), self.commit(bench, (b"x",) * 3)):
            with pytest.raises(NotPermitted):
                send(bench, "gamma", message)

    def test_no_share_is_handed_out_before_the_included_set_is_certified(
        self, make_bench: MakeBench
    ) -> None:
        bench = make_bench()
        for phase in (P.COMMITTING, P.CERTIFYING, P.UPLOADING, P.INCLUDING):
            bench.advance(phase)
            with pytest.raises(WrongPhase):
                bench.clients["alpha"]._ask(
                    "FetchShares", c.FetchShares(), c.SharesDelivery, round_number=1
                )

    def test_a_holder_gets_the_included_sites_shares_and_only_its_own(
        self, make_bench: MakeBench
    ) -> None:
        """delta commits and does not upload: its key is in no sum, and its shares stay sealed."""
        bench = make_bench()
        bench.advance(P.UPLOADING)
        rest = ("alpha", "beta", "gamma")
        bench.advance(P.AGGREGATED, *rest)
        for name in FOUR:
            reply = bench.clients[name]._ask(
                "FetchShares", c.FetchShares(), c.SharesDelivery, round_number=1
            )
            sealed = tuple(one.sealed for one in reply.shares)
            assert sealed == tuple(share(sender, name, 1) for sender in rest)

    def test_a_site_outside_the_plan_gets_none(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        rest = FOUR[:3]
        bench.advance(P.AGGREGATED, *rest)
        with pytest.raises(NotPermitted):
            bench.clients["gamma"]._ask(
                "FetchShares", c.FetchShares(), c.SharesDelivery, round_number=1
            )


class TestCertificates:
    def test_co_signatures_of_something_else_or_from_outside_the_cohort(
        self, make_bench: MakeBench
    ) -> None:
        bench = make_bench()
        rest = FOUR[:3]
        with pytest.raises(WrongPhase):
            send(bench, "alpha", c.CoSignCohort(HASH), 1)
        bench.advance(P.CERTIFYING, *rest)
        due = cohort_due(bench.session.session_id, bench.round)
        with pytest.raises(Conflict, match="something else"):
            send(bench, "alpha", c.CoSignCohort(HASH))
        with pytest.raises(NotPermitted):
            send(bench, "gamma", c.CoSignCohort(due))
        with pytest.raises(WrongPhase):
            send(bench, "alpha", c.CoSignInclusion(HASH))
        bench.advance(P.INCLUDING, *rest)
        due = inclusion_due(bench.session.session_id, bench.round)
        with pytest.raises(Conflict, match="something else"):
            send(bench, "alpha", c.CoSignInclusion(HASH))
        with pytest.raises(NotPermitted):
            send(bench, "gamma", c.CoSignInclusion(due))
        assert not bench.round.inclusion_signers

    def test_there_is_nothing_to_see_before_it_is_fixed(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.COMMITTING)
        client = bench.clients["alpha"]
        with pytest.raises(WrongPhase):
            client._ask("GetCohort", c.GetCohort(), c.CohortDelivery, round_number=1)
        bench.advance(P.UPLOADING)
        with pytest.raises(WrongPhase):
            client._ask("GetInclusion", c.GetInclusion(), c.InclusionDelivery, round_number=1)

    def test_an_upload_is_the_committed_one(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.UPLOADING)
        site, client = bench.sites["alpha"], bench.clients["alpha"]
        site.value += 1
        manifest = site.upload_manifest(plan_of(bench))
        with pytest.raises(Conflict, match="committed to another"):
            client.upload(1, manifest, site.frames(1).__getitem__)

    def test_no_upload_before_the_cohort_is_certified(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        for phase in (P.COMMITTING, P.CERTIFYING):
            bench.advance(phase)
            site = bench.sites["alpha"]
            manifest = site.upload_manifest(plan_of(bench))
            with pytest.raises(WrongPhase):
                bench.clients["alpha"].upload(1, manifest, site.frames(1).__getitem__)


class TestShareSums:
    def published(self, bench: Bench, *names: str) -> None:
        for name in names:
            site = bench.sites[name]
            site.give_share_sum(bench.clients[name], plan_of(bench))  # type: ignore[arg-type]

    def test_they_are_what_was_deposited_for_the_included_set(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.AGGREGATED)
        due = inclusion_due(bench.session.session_id, bench.round)
        sums = bench.sites["alpha"].share_sums(1)
        with pytest.raises(Conflict, match="not deposited"):
            send(bench, "alpha", c.PublishShareSums(due, root_of(sums)))
        for wrong in (c.DepositShareSums(HASH, sums), c.PublishShareSums(HASH, root_of(sums))):
            with pytest.raises(Conflict, match="something else"):
                send(bench, "alpha", wrong)
        with pytest.raises(InvalidMessage, match="4 recipients"):
            send(bench, "alpha", c.DepositShareSums(due, sums[1:]))
        send(bench, "alpha", c.DepositShareSums(due, sums[::-1]))
        send(bench, "alpha", c.DepositShareSums(due, sums))
        with pytest.raises(Conflict, match="other sealed shares"):
            send(bench, "alpha", c.PublishShareSums(due, root_of(sums[::-1])))
        for _ in range(2):
            send(bench, "alpha", c.PublishShareSums(due, root_of(sums)))
        with pytest.raises(Conflict, match="published other"):
            send(bench, "alpha", c.PublishShareSums(due, root_of(sums[::-1])))
        with pytest.raises(Conflict, match="signed for other"):
            send(bench, "alpha", c.DepositShareSums(due, sums[::-1]))

    def test_they_open_a_sum_from_the_threshold_on(self, make_bench: MakeBench) -> None:
        bench = make_bench()
        bench.advance(P.AGGREGATED)
        client = bench.clients["beta"]
        for count, name in enumerate(FOUR[:3]):
            assert not client.get_status().opening_available
            with pytest.raises(NotAvailable):
                client._ask("FetchOpening", c.FetchOpening(), c.Opening, round_number=1)
            assert len(bench.round.share_sums) == count
            self.published(bench, name)
        assert client.get_status().opening_available
        opening = client._ask("FetchOpening", c.FetchOpening(), c.Opening, round_number=1)
        sealed = tuple(one.sealed for one in opening.share_sums)
        assert sealed == tuple(share(name, "beta", 1, "sum") for name in FOUR[:3])
        with pytest.raises(NotAvailable):
            client._ask("FetchOpening", c.FetchOpening(), c.Opening, round_number=2)

    def test_what_comes_while_the_sum_is_made_is_not_lost(
        self, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = make_bench()
        bench.advance(P.AGGREGATING)
        add = rounds.sum_uploads

        def meanwhile(*arguments: Any) -> Any:
            self.published(bench, "alpha", "beta")
            return add(*arguments)

        monkeypatch.setattr(rounds, "sum_uploads", meanwhile)
        bench.conduct(1)
        assert bench.round.phase is P.AGGREGATED
        assert bench.round.share_sums == {"alpha", "beta"}
        bench.restart()

    @pytest.mark.parametrize("end", [P.CLOSED, P.ABORTED])
    def test_they_are_not_taken_after_the_end(self, make_bench: MakeBench, end: P) -> None:
        bench = make_bench()
        bench.advance(P.AGGREGATED)
        due = inclusion_due(bench.session.session_id, bench.round)
        sums = bench.sites["gamma"].share_sums(1)
        send(bench, "gamma", c.DepositShareSums(due, sums))
        if end is P.CLOSED:
            bench.advance(P.CLOSED, *FOUR[:3])
        else:
            wait_too_long(bench)
            bench.conduct(1)
        assert bench.round.phase is end
        for message in (
            c.DepositShareSums(due, sums),
            c.PublishShareSums(due, root_of(sums)),
            c.FetchShares(),
        ):
            with pytest.raises(WrongPhase):
                send(bench, "gamma", message)
        bench.advance(P.ANNOUNCING, *FOUR[:3])
        with pytest.raises(WrongRound):
            send(bench, "gamma", c.PublishShareSums(due, root_of(sums)), 1)

    def test_a_publication_that_races_with_an_abort_is_refused_or_saves_the_round(
        self, make_bench: MakeBench
    ) -> None:
        bench = make_bench(rounds=100)
        outcomes = []
        for _ in range(4):
            bench.advance(P.AGGREGATED)
            self.published(bench, "alpha", "beta")
            wait_too_long(bench)
            start, refused = threading.Barrier(2), []

            def publish(gate: threading.Barrier = start, errors: Any = refused) -> None:
                gate.wait()
                try:
                    self.published(bench, "delta")
                except ProtocolError as error:
                    errors.append(error)

            thread = threading.Thread(target=publish)
            thread.start()
            start.wait()
            bench.conduct(1)
            thread.join(10)
            phase, given = bench.round.phase, len(bench.round.share_sums)
            outcomes.append(phase)
            assert (phase is P.ABORTED, given) in ((True, 2), (False, 3))
            assert bool(refused) == (phase is P.ABORTED)
            if phase is not P.ABORTED:
                bench.advance(P.CLOSED)
        assert outcomes


def wait_too_long(bench: Bench) -> None:
    """The round's deadline passes, and no site is lost meanwhile."""
    bench.conduct(1)  # it counts from here
    bench.now += 1000
    for client in bench.clients.values():
        client.get_status()


def someone(names: tuple[str, ...], count: int, seed: int) -> tuple[str, ...]:
    return tuple(Random(seed).sample(names, count))


class TestDropouts:
    """Ten sites, T = 1: t = 6."""

    @pytest.mark.parametrize("phase", AFTER_COMMITTING, ids=lambda phase: phase.name)
    @pytest.mark.parametrize("seed", [1, 2])
    def test_any_four_may_vanish_and_catch_up_later(
        self, make_bench: MakeBench, phase: P, seed: int
    ) -> None:
        bench = make_bench(TEN, rounds=1, values=200)
        gone = someone(TEN, 4, seed)
        left = tuple(name for name in TEN if name not in gone)
        bench.advance(phase)
        bench.advance(P.CLOSED, *left)
        assert bench.kinds().count("site.lost") == 4
        included = set(bench.round.included)
        assert included == (set(TEN) if phase in (P.INCLUDING, P.AGGREGATED) else set(left))
        bench.conduct()
        for name in TEN:
            site = bench.sites[name]
            if site.applied == 0:
                site.act(bench.clients[name])  # type: ignore[arg-type]
            assert set(site.state) == {expected_sum(bench, 1)}

    @pytest.mark.parametrize("phase", THROUGH, ids=lambda phase: phase.name)
    def test_five_are_too_many_and_the_next_round_works(
        self, make_bench: MakeBench, phase: P
    ) -> None:
        """With the five that are left, or once the others are back where updates were sent."""
        bench = make_bench(TEN, rounds=1, values=200, round_deadline_ms=40_000)
        gone = someone(TEN, 5, 3)
        left = tuple(name for name in TEN if name not in gone)
        bench.advance(phase)
        bench.advance(P.ABORTED, *left)
        store = bench.session.store
        assert store.aggregate(1) is None
        assert store.blobs() == set()
        assert not any(store.deposits(1, kind) for kind in Kind)
        sent = phase in (P.UPLOADING, P.INCLUDING, P.AGGREGATED)
        if sent:
            bench.advance(P.ABORTED, *left)
            assert bench.round.number == 2
            assert bench.round.reason.startswith("updates were sent in round 1, and too few")
            assert all(name in bench.round.reason for name in gone)
        proposed = left if phase is P.UPLOADING else TEN  # five had sent, five were gone
        present = TEN if sent else left
        bench.advance(P.CLOSED, *present)
        assert bench.round.number == 2 + sent
        assert set(bench.round.included) == set(proposed if sent else left)
        for name in present:
            assert set(bench.sites[name].state) == {expected_sum(bench, bench.round.number)}
        client = bench.clients[gone[0]]
        with pytest.raises(NotAvailable):
            client._ask("FetchOpening", c.FetchOpening(), c.Opening, round_number=1)
        if not sent:
            bench.sites[gone[0]].act(client)  # type: ignore[arg-type]
            assert set(bench.sites[gone[0]].state) == {expected_sum(bench, 2)}

    def test_a_set_that_sites_may_have_signed_is_the_next_round_s_too(
        self, make_bench: MakeBench
    ) -> None:
        """Nine were in it; the tenth is back and sends too, and is left out of the sum."""
        bench = make_bench(TEN, rounds=1, values=200)
        bench.advance(P.UPLOADING)
        bench.advance(P.INCLUDING, *TEN[:9])
        assert bench.round.included == TEN[:9]
        bench.advance(P.ABORTED, *TEN[:5])
        bench.advance(P.UPLOADING)
        bench.restart()  # what was proposed is known after a restart too
        bench.advance(P.CLOSED)
        assert (bench.round.number, bench.round.included) == (2, TEN[:9])

    def test_without_a_site_of_that_set_no_other_one_is_proposed(
        self, make_bench: MakeBench
    ) -> None:
        bench = make_bench(TEN, rounds=1, values=200)
        bench.advance(P.INCLUDING)
        bench.advance(P.ABORTED, *TEN[:5])
        bench.advance(P.COMMITTING)
        bench.advance(P.ABORTED, *TEN[1:])
        assert bench.round.number == 2
        assert f"{TEN[0]} must come back" in bench.round.reason
        assert bench.round.included == ()
        bench.advance(P.CLOSED)
        assert bench.round.included == TEN

    def test_once_enough_share_sums_are_there_nobody_else_is_needed_to_open(
        self, make_bench: MakeBench
    ) -> None:
        bench = make_bench(TEN, rounds=1, values=200)
        bench.advance(P.AGGREGATED)
        for name in TEN[:6]:
            bench.sites[name].give_share_sum(bench.clients[name], plan_of(bench))  # type: ignore[arg-type]
        bench.advance(P.CLOSED, *TEN[:3])
        assert set(bench.round.acknowledged) == set(TEN[:3])


class TestUnanimous:
    def test_it_closes_while_all_are_there(self, make_bench: MakeBench) -> None:
        bench = make_bench(certificate="unanimous", rounds=1)
        bench.advance(P.CLOSED)
        assert bench.round.inclusion_signers >= set(bench.round.included) == set(FOUR)

    @pytest.mark.parametrize("phase", [P.CERTIFYING, P.INCLUDING])
    def test_one_site_that_is_named_and_vanishes_ends_the_round_not_the_session(
        self, make_bench: MakeBench, phase: P
    ) -> None:
        bench = make_bench(certificate="unanimous", rounds=1)
        bench.advance(phase)
        bench.advance(P.ABORTED, *FOUR[1:])
        assert "co-signed" in bench.round.reason
        back = FOUR if phase is P.INCLUDING else FOUR[1:]  # they may have signed for all four
        bench.advance(P.CLOSED, *back)
        assert set(bench.round.included) == set(back)

    def test_who_is_not_named_need_not_sign(self, make_bench: MakeBench) -> None:
        bench = make_bench(certificate="unanimous", rounds=1)
        bench.advance(P.UPLOADING)
        bench.advance(P.CLOSED, *FOUR[1:])
        assert set(bench.round.included) == set(FOUR[1:])


def test_sessions_without_round_keys_know_none_of_this(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, FOUR)
    with federation.serving(farewell_s=0), federation.client("alpha") as client:
        client.accept_session(1)
        for message in (c.DepositShares(HASH, (b"x",)), c.CoSignInclusion(HASH)):
            with pytest.raises(WrongPhase, match="no keys of their own"):
                tell(client, 1, message)
