"""The coordinator carries snapshots: from whom, to whom, how much, for how long."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.envelope import Envelope, open_envelope
from fedmrg_secure.protocol.errors import (
    ChunkRefused,
    Conflict,
    NotAvailable,
    NotPermitted,
    ProtocolError,
    SessionEnded,
    StateMismatch,
    TooMuchData,
    WrongRound,
)
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from tests.coordinator.certified_bench import TIMEOUT_S, Bench, LocalClient
from tests.coordinator.test_store import ListLog

SITES = ("alpha", "beta", "delta", "gamma", "omega")
VALUES = 600_000
SIZE = sn.SnapshotSize.of(VALUES)


class SnapshotBench(Bench):
    """Four sites have closed two rounds without omega, which is back and wants their state."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, SITES, rounds=4, state_value_count=VALUES)
        for number in (1, 2):
            self.close_round(number)

    def close_round(self, number: int) -> None:
        self.advance(RoundPhase.CLOSED, *SITES[:4], turns=200)
        assert self.is_in(number, RoundPhase.CLOSED)

    def open(self) -> None:
        super().open()
        self.service._snapshots._clock = lambda: self.now

    def ask(self, site: str, message: Any, expected: type, number: int = 0) -> Any:
        client = self.clients[site]
        return client._ask(type(message).__name__, message, expected, round_number=number)

    def request(self, number: int = 2) -> None:
        self.ask("omega", sn.RequestSnapshot(), m.Receipt, number)

    def wanted_of(self, site: str) -> bytes:
        return bytes(self.ask(site, m.Heartbeat(), m.Pulse).snapshot_request)

    def delivery(self) -> sn.SnapshotDelivery:
        return self.ask("omega", sn.GetSnapshot(), sn.SnapshotDelivery)

    def offer(self, number: int = 2, **changes: Any) -> tuple[sn.OfferSnapshot, list[bytes]]:
        closed = self.session.ledger.state.closed[number - 1]
        found = self.session.store.round(closed.number)
        assert found is not None
        chunks = [secrets.token_bytes(SIZE.chunk_bytes(index)) for index in range(SIZE.chunks)]
        leaves = tuple(map(leaf_hash, chunks))
        offer = sn.OfferSnapshot(
            "omega",
            number,
            found.plan_hash,
            closed.model_hash,
            closed.transcript,
            secrets.token_bytes(80),
            leaves,
            merkle_root(leaves),
            SIZE.total_bytes,
        )
        return replace(offer, **changes), chunks

    def begin(self, site: str, offer: sn.OfferSnapshot, number: int = 2) -> Any:
        return self.service.begin_offer(self.clients[site].call(offer, number), offer)

    def send(
        self, site: str, offer: sn.OfferSnapshot, chunks: list[bytes], number: int = 2
    ) -> None:
        sink = self.begin(site, offer, number)
        for index, chunk in enumerate(chunks):
            sink.store(index, chunk)
        sink.finish()

    def download(self, digest: bytes, site: str = "omega", first: int = 0) -> list[bytes]:
        wanted = sn.DownloadSnapshot(digest, first)
        call = self.clients[site].call(wanted, 2)
        return [chunk for _, chunk in self.service.snapshot_chunks(call, wanted)]

    def settle(self, digest: bytes, refusal: str = "") -> None:
        self.ask("omega", sn.SettleSnapshot(digest, refusal), m.Receipt, 2)

    def stored(self) -> list[Path]:
        return list(self.federation.coordinator.glob("snapshots/??/*"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> SnapshotBench:
    """A session after two rounds, closed; tests go on with copies of its folder."""
    bench = SnapshotBench(tmp_path_factory.mktemp("template"))
    bench.close()
    return bench


@pytest.fixture
def bench(template: SnapshotBench, tmp_path: Path) -> Iterator[SnapshotBench]:
    root = tmp_path / "copy"
    shutil.copytree(template.federation.root, root)
    made = copy(template)
    made.federation = replace(template.federation, root=root)
    made.log = ListLog()
    made.log.entries = list(template.log.entries)
    made.clients = {name: LocalClient(made, name) for name in SITES}
    made.open()
    for name in SITES:
        made.ask(name, m.GetStatus(), m.SessionStatus)
    yield made
    made.close()


def digest_of(delivery: sn.SnapshotDelivery) -> bytes:
    return Envelope.from_bytes(delivery.offer).digest


def test_a_snapshot_goes_from_one_site_to_the_one_that_asked(bench: SnapshotBench) -> None:
    with pytest.raises(NotAvailable):
        bench.delivery()
    bench.request()
    assert bench.delivery() == sn.SnapshotDelivery(b"", 0)
    helper = next(site for site in SITES if bench.wanted_of(site))
    request = Envelope.from_bytes(bench.wanted_of(helper))
    assert (request.sender, request.round) == ("omega", 2)
    offer, chunks = bench.offer()
    bench.send(helper, offer, chunks)
    delivery = bench.delivery()
    assert delivery.stored == SIZE.chunks
    digest = digest_of(delivery)
    assert bench.download(digest) == chunks
    assert bench.download(digest, first=2) == chunks[2:]
    with pytest.raises(NotAvailable, match="another snapshot"):
        bench.download(bytes(32))
    with pytest.raises(NotAvailable, match="only 3 chunks"):
        bench.download(digest, first=3)
    assert not any(bench.wanted_of(site) for site in SITES), "nobody else is asked"
    bench.settle(digest)
    bench.settle(digest)  # a repetition changes nothing
    assert bench.stored() == []
    with pytest.raises(NotAvailable):
        bench.download(digest)
    kinds = [kind for kind in bench.kinds() if kind.startswith("snapshot")]
    assert kinds == ["snapshot.requested", "snapshot.offered", "snapshot.accepted"]


def test_only_who_has_shown_the_newest_state_is_asked_one_at_a_time(bench: SnapshotBench) -> None:
    bench.request()
    assert not bench.wanted_of("omega")
    asked = [site for site in SITES if bench.wanted_of(site)]
    assert asked == ["alpha"]
    for helper in ("beta", "delta", "gamma", "alpha"):  # who has had its time is asked last
        bench.now += TIMEOUT_S + 1
        assert [site for site in SITES if bench.wanted_of(site)] == [helper]
    bench.now += TIMEOUT_S + 1
    assert [site for site in ("beta", "alpha", "delta") if bench.wanted_of(site)] == ["beta"]
    with pytest.raises(Conflict, match="beta is to help"):
        bench.begin("alpha", bench.offer()[0])
    bench.conduct()  # the third round is open, and nobody has announced the newest state yet
    assert bench.round.number == 3
    assert not any(bench.wanted_of(site) for site in SITES)


def test_nobody_but_the_recipient_gets_it(bench: SnapshotBench) -> None:
    bench.request()
    bench.send("beta", *bench.offer())
    digest = digest_of(bench.delivery())
    for site in SITES[:4]:
        with pytest.raises(NotAvailable):
            bench.download(digest, site)
        with pytest.raises(NotAvailable):
            bench.ask(site, sn.GetSnapshot(), sn.SnapshotDelivery)


@pytest.mark.parametrize(
    ("changes", "number", "error"),
    [
        ({"recipient": "alpha"}, 2, NotAvailable),
        ({"pass_number": 1}, 2, StateMismatch),
        ({"plan_hash": bytes(32)}, 2, StateMismatch),
        ({"model_hash": bytes(32)}, 2, StateMismatch),
        ({"transcript": bytes(32)}, 2, StateMismatch),
        ({}, 1, WrongRound),
        ({}, 3, WrongRound),
        ({"total_bytes": SIZE.total_bytes + 1}, 2, ChunkRefused),
        ({"total_bytes": SIZE.total_bytes - 1}, 2, ChunkRefused),
    ],
)
def test_an_offer_of_another_state_or_size_is_refused(
    bench: SnapshotBench, changes: dict[str, Any], number: int, error: type[ProtocolError]
) -> None:
    bench.request()
    with pytest.raises(error):
        bench.begin("beta", bench.offer(**changes)[0], number)
    assert bench.stored() == []


def test_an_oversized_offer_is_refused(bench: SnapshotBench) -> None:
    bench.request()
    offer, _ = bench.offer()
    leaves = (*offer.chunk_hashes, bytes(32))
    with pytest.raises(ChunkRefused, match="a snapshot has"):
        bench.begin("beta", replace(offer, chunk_hashes=leaves, merkle_root=merkle_root(leaves)))


def test_a_site_does_not_offer_to_itself(bench: SnapshotBench) -> None:
    bench.request()
    with pytest.raises(NotPermitted):
        bench.begin("omega", bench.offer()[0])


def test_chunks_that_are_not_the_listed_ones_are_refused(bench: SnapshotBench) -> None:
    bench.request()
    offer, chunks = bench.offer()
    sink = bench.begin("beta", offer)
    for index, chunk in ((0, chunks[1]), (0, chunks[0][:-1]), (0, b""), (3, chunks[2])):
        with pytest.raises(ChunkRefused):
            sink.store(index, chunk)
    with pytest.raises(ChunkRefused, match="3 chunks"):
        sink.finish()
    assert bench.stored() == []
    sink.store(0, chunks[0])
    for _ in range(5):
        sink.store(0, chunks[0])
    with pytest.raises(TooMuchData):
        sink.store(0, chunks[0])


def test_a_restart_keeps_what_is_stored_and_the_same_offer_goes_on(bench: SnapshotBench) -> None:
    bench.request()
    offer, chunks = bench.offer()
    sink = bench.begin("beta", offer)
    sink.store(2, chunks[2])
    bench.restart()
    assert bench.delivery().stored == 1
    status = bench.ask("beta", sn.GetOfferStatus("omega"), m.UploadStatus, 2)
    assert status == m.UploadStatus(begun=True, complete=False, stored=(2,))
    assert not bench.ask("alpha", sn.GetOfferStatus("omega"), m.UploadStatus, 2).begun
    assert [site for site in SITES if bench.wanted_of(site)] == ["beta"], "who has begun goes on"
    sink = bench.begin("beta", offer)
    for index in (0, 1):
        sink.store(index, chunks[index])
    sink.finish()
    bench.restart()
    bench.send("beta", offer, chunks)  # the reply was lost
    assert bench.download(digest_of(bench.delivery())) == chunks
    assert bench.kinds().count("snapshot.offered") == 1
    with pytest.raises(Conflict, match="another snapshot"):
        bench.begin("beta", bench.offer()[0])


def test_a_new_offer_of_the_same_helper_replaces_its_unfinished_one(bench: SnapshotBench) -> None:
    bench.request()
    first, chunks = bench.offer()
    old = bench.begin("beta", first)
    old.store(0, chunks[0])
    second, others = bench.offer()
    bench.send("beta", second, others)
    with pytest.raises(NotAvailable):
        old.store(1, chunks[1])
    with pytest.raises(NotAvailable):
        old.finish()
    assert len(bench.stored()) == SIZE.chunks
    assert bench.download(digest_of(bench.delivery())) == others


def test_whose_offer_was_refused_is_not_asked_again(bench: SnapshotBench) -> None:
    bench.request()
    bench.send("alpha", *bench.offer())
    digest = digest_of(bench.delivery())
    bench.settle(bytes(32), "FMRG-6261")  # of another offer: changes nothing
    assert bench.delivery().offer
    bench.settle(digest, "FMRG-6261")
    assert bench.delivery() == sn.SnapshotDelivery(b"", 0)
    assert bench.stored() == []
    bench.restart()
    assert [site for site in SITES if bench.wanted_of(site)] == ["beta"]
    with pytest.raises(NotPermitted):
        bench.begin("alpha", bench.offer()[0])
    event = next(e for e in bench.log.entries if e["type"] == "snapshot.refused")  # type: ignore[index]
    assert (event["sender"], event["code"]) == ("alpha", "FMRG-6261")  # type: ignore[index]


def test_a_request_is_one_a_site_and_for_a_closed_round(bench: SnapshotBench) -> None:
    with pytest.raises(WrongRound):
        bench.request(3)
    bench.request(1)
    bench.request(1)
    bench.request(2)
    bench.request(1)
    assert bench.kinds().count("snapshot.requested") == 2
    assert Envelope.from_bytes(bench.wanted_of("alpha")).round == 2
    with pytest.raises(WrongRound, match="asks for round 2"):
        bench.begin("alpha", bench.offer(1)[0], 1)


def test_a_newer_request_removes_the_older_offer(bench: SnapshotBench) -> None:
    bench.request(1)
    bench.send("beta", *bench.offer(1), 1)
    assert bench.delivery().offer
    bench.request(2)
    assert bench.delivery() == sn.SnapshotDelivery(b"", 0)
    assert bench.stored() == []


def test_an_unfinished_offer_goes_when_its_round_is_superseded(bench: SnapshotBench) -> None:
    bench.request()
    offer, chunks = bench.offer()
    sink = bench.begin("beta", offer)
    sink.store(0, chunks[0])
    bench.conduct()
    for _ in range(3):
        bench.wanted_of("omega")  # it is alive, but behind
    bench.sites["omega"].before = lambda step, number: None
    bench.advance(RoundPhase.CLOSED, *SITES[:4], turns=200)
    assert bench.stored() == []
    with pytest.raises(NotAvailable):
        sink.store(1, chunks[1])


def test_who_is_lost_or_takes_part_again_waits_for_nothing(bench: SnapshotBench) -> None:
    bench.request()
    bench.send("beta", *bench.offer())
    bench.conduct()
    state = bench.session.state_hash
    bench.ask("omega", m.Announce(bytes(32), state), m.Receipt, 3)
    assert bench.stored() == []
    with pytest.raises(NotAvailable):
        bench.delivery()


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_lost_site_asked_for_is_removed(bench: SnapshotBench, whole: bool) -> None:
    bench.request()
    offer, chunks = bench.offer()
    if whole:
        bench.send("beta", offer, chunks)
    else:
        bench.begin("beta", offer).store(0, chunks[0])
    bench.now += TIMEOUT_S + 1
    for name in SITES[:4]:
        bench.wanted_of(name)
    bench.conduct()
    bench.restart()
    assert bench.stored() == []
    with pytest.raises(NotAvailable):
        bench.begin("beta", offer)


def test_a_closed_round_tells_its_plan_and_who_acknowledged_it(bench: SnapshotBench) -> None:
    closure = bench.ask("omega", sn.GetClosure(True), sn.Closure, 2)
    assert closure.plan.round == 2
    kit = bench.federation.kits["omega"]
    for data in closure.acknowledgements:
        envelope = Envelope.from_bytes(data)
        said = open_envelope(
            envelope,
            kit.roster,
            m.Acknowledge,
            session=bench.session.session_id,
            sender=envelope.sender,
        )
        assert said.model_hash == bench.session.state_hash
    assert len(closure.acknowledgements) == 4
    assert bench.ask("omega", sn.GetClosure(False), sn.Closure, 2).acknowledgements == ()
    with pytest.raises(NotAvailable):
        bench.ask("omega", sn.GetClosure(True), sn.Closure, 3)


def test_after_the_session_nobody_is_asked_but_what_is_there_can_be_fetched(
    bench: SnapshotBench,
) -> None:
    bench.request()
    bench.send("beta", *bench.offer())
    ledger = bench.session.ledger
    ledger.commit(replace(ledger.state, phase=SessionPhase.FINISHED))
    bench.restart()
    digest = digest_of(bench.delivery())
    assert len(bench.download(digest)) == SIZE.chunks
    bench.settle(digest)
    assert bench.stored() == []
    with pytest.raises(SessionEnded):
        bench.request()
