"""Random histories of a whole session: replays, lost replies, silences, restarts, a mock clock.

Service, conductor, database and blobs are the real ones; only network and time are not. Updates are
one-hot by decimal digit, so a lost or doubled upload shows in the sum.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fedmrg_secure.coordinator.presence import Presence
from fedmrg_secure.coordinator.rounds import Deadlines, take_step
from fedmrg_secure.coordinator.serve import open_session
from fedmrg_secure.coordinator.service import CoordinatorService
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, decode_frame
from fedmrg_secure.crypto.plaintext import InsecurePlaintext
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import ProtocolError, SessionEnded, WrongPhase, WrongRound
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.sequence import Sequence
from fedmrg_secure.protocol.service import Call
from tests.coordinator.drills import SITES, DrillSite, Federation, make_federation, state_hash
from tests.coordinator.test_store import ListLog

VALUES, ROUNDS, TIMEOUT_S = 3000, 2, 20.0


class Simulation(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fedmrg-simulation-"))
        self.federation: Federation = make_federation(
            self.root, values=VALUES, rounds=ROUNDS, site_timeout_ms=int(TIMEOUT_S * 1000)
        )
        self.log, self.now, self.sequence = ListLog(), 1000.0, Sequence()
        self.sites = {
            name: DrillSite(self.federation, name, 10**place, state=np.zeros(VALUES, np.int64))
            for place, name in enumerate(SITES)
        }
        self.sent: list[tuple[Call, m.Message]] = []
        self.open()

    def open(self) -> None:
        """Start the coordinator from what is on disk."""
        roster = self.federation.kits["alpha"].roster
        session = open_session(self.federation.coordinator, roster, self.log, lambda event: None)
        self.session = replace(
            session, presence=Presence(TIMEOUT_S, 3 * TIMEOUT_S, lambda: self.now)
        )
        self.service = CoordinatorService(self.session)
        self.deadlines = Deadlines(lambda: self.now)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            event(f"{len(self.session.ledger.state.closed)} rounds closed")
            event(self.session.ledger.state.phase.name)
            self.session.store.close()
            shutil.rmtree(self.root)

    def call(self, site: str, message: m.Message, round_number: int = 0) -> m.Message:
        envelope = seal_envelope(
            self.federation.kits[site].identity.signing_key,
            message,
            session=self.session.session_id,
            round_number=round_number,
            sequence=self.sequence.next(),
        )
        self.sent.append((Call(site, envelope), message))
        return self.deliver(*self.sent[-1])

    def deliver(self, call: Call, message: m.Message) -> m.Message:
        if isinstance(message, m.UploadManifest):
            return self.upload(call, message, chunks=9)
        return self.service.answer(call, message)

    def upload(self, call: Call, manifest: m.UploadManifest, chunks: int) -> m.Message:
        """One upload stream that breaks off after `chunks` chunks."""
        sink = self.service.begin_upload(call, manifest)
        frames = self.sites[call.site].frames(call.envelope.round)
        for index, frame in list(enumerate(frames))[:chunks]:
            sink.store(index, frame)
        if chunks >= len(frames):
            sink.finish()
        return m.Receipt()

    @rule(site=st.sampled_from(SITES), reply_is_lost=st.booleans(), chunks=st.integers(0, 4))
    def act(self, site: str, reply_is_lost: bool, chunks: int) -> None:
        """A site polls and does what is next; on a lost reply it does not know that it did."""
        mine = self.sites[site]
        try:
            self.call(site, m.AcceptSession(1))
            status = self.call(site, m.GetStatus())
            assert isinstance(status, m.SessionStatus)
            missed = [number for number in status.closed_rounds if number > mine.applied]
            if missed:
                self.apply(mine, missed[0])
            elif status.round_phase is RoundPhase.ANNOUNCING:
                nonce = bytes([status.round]) * 32
                self.call(site, m.Announce(nonce, state_hash(mine.state)), status.round)
            elif status.plan is not None and site in status.plan.sites:
                self.take_part(mine, status, reply_is_lost, chunks)
        except (WrongRound, WrongPhase, SessionEnded):
            return  # the round or the session went on meanwhile

    @rule()
    def work_together(self) -> None:
        """All sites act and the coordinator keeps up: so that histories get somewhere."""
        for site in SITES:
            self.act(site, reply_is_lost=False, chunks=9)
        self.conduct(3)

    def take_part(
        self, mine: DrillSite, status: m.SessionStatus, reply_is_lost: bool, chunks: int
    ) -> None:
        assert status.plan is not None
        digest = plan_hash(self.session.session_id, status.plan)
        if status.round_phase is RoundPhase.UPLOADING:
            manifest = manifest_of(digest, mine.frames(status.round))
            self.call(mine.name, m.GetUploadStatus(), status.round)
            call = replace(self.sent[-1][0])
            self.upload(call, manifest, chunks)
        elif status.round_phase is RoundPhase.AGGREGATED:
            if mine.applied < status.round:
                self.apply(mine, status.round)
            if not reply_is_lost:
                acknowledgement = m.Acknowledge(digest, state_hash(mine.state))
                self.call(mine.name, acknowledgement, status.round)

    def apply(self, mine: DrillSite, number: int) -> None:
        mine.state = mine.state + self.opened(number)
        mine.applied = number
        mine.closed.append(number)

    def opened(self, number: int) -> np.ndarray:
        """The sum of a round, from its stored frames."""
        scheme = InsecurePlaintext(self.federation.parameters)
        info = self.session.store.aggregate(number)
        assert info is not None
        parts = []
        for index, blob in self.session.store.chunks(number, AGGREGATE).items():
            header = FrameHeader.of_chunk(
                scheme.parameters,
                session=self.session.session_id,
                round=number,
                sender=AGGREGATE,
                chunk_index=index,
                value_count=VALUES,
                contributors=len(info.included),
            )
            frame = decode_frame(self.session.blobs.read(blob), header)
            place = scheme.parameters.chunk_slice(index, VALUES)
            openers = frame.openers_by_contributor(len(info.included))
            count = place.stop - place.start
            parts.append(scheme.open_chunk(index, frame.residues, openers, count))
        return np.concatenate(parts)

    @rule(choice=st.integers(0, 10**6))
    def replay(self, choice: int) -> None:
        """Any earlier message comes again, byte for byte."""
        if not self.sent:
            return
        try:
            self.deliver(*self.sent[choice % len(self.sent)])
        except ProtocolError:
            return

    @rule(steps=st.integers(1, 6))
    def conduct(self, steps: int) -> None:
        for _ in range(steps):
            if not self.session.ledger.state.ended:
                take_step(self.session, self.deadlines, Event())

    @rule(seconds=st.sampled_from([1.0, 9.0, 21.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def kill_and_restart(self) -> None:
        before = self.session.ledger.state
        self.session.store.close()
        self.open()
        assert self.session.ledger.state == before

    @invariant()
    def sums_are_exact(self) -> None:
        if not hasattr(self, "root"):
            return
        for closed in self.session.ledger.state.closed:
            info = self.session.store.aggregate(closed.number)
            assert info is not None
            assert len(info.included) >= self.federation.manifest.min_sites
            expected = sum(self.sites[name].value for name in info.sites)
            assert set(self.opened(closed.number)) == {expected}

    @invariant()
    def sites_with_the_same_rounds_have_the_same_model(self) -> None:
        if not hasattr(self, "root"):
            return
        models: dict[tuple[int, ...], bytes] = {}
        for site in self.sites.values():
            model = state_hash(site.state)
            assert models.setdefault(tuple(site.closed), model) == model

    @invariant()
    def the_end_is_an_end(self) -> None:
        if not hasattr(self, "root"):
            return
        state = self.session.ledger.state
        kinds = [event["type"] for event in self.log.entries]
        ends = kinds.count("session.finished") + kinds.count("session.failed")
        assert ends == int(state.ended)
        if state.phase is SessionPhase.FINISHED:
            assert len(state.closed) == ROUNDS
        assert "models-differ" not in [event.get("reason") for event in self.log.entries]


FEW = settings(
    max_examples=6,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class TestSomeHistories(Simulation.TestCase):  # type: ignore[misc,name-defined]
    settings = FEW


@pytest.mark.slow
@pytest.mark.timeout(1800)  # 150 histories of 60 steps, with fsync at each
class TestManyHistories(Simulation.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(FEW, max_examples=150, stateful_step_count=60)


@pytest.fixture
def restarted() -> Iterator[Simulation]:
    """All sites have accepted and announced themselves when the coordinator is killed."""
    drill = Simulation()
    drill.begin()
    for _ in range(2):
        for site in SITES:
            drill.act(site, reply_is_lost=False, chunks=9)
        drill.conduct(2)
    assert drill.session.ledger.state.round is not None
    drill.kill_and_restart()
    drill.now += 1
    yield drill
    drill.session.store.close()
    shutil.rmtree(drill.root)


def carry_on(drill: Simulation, *sites: str, seconds: float) -> None:
    drill.now += seconds
    for site in sites:
        drill.act(site, reply_is_lost=False, chunks=9)
    drill.conduct(3)


def test_who_does_not_come_back_with_the_coordinator_does_not_hold_the_others_up(
    restarted: Simulation,
) -> None:
    first, second, absent = SITES
    carry_on(restarted, first, second, seconds=0)
    carry_on(restarted, first, second, seconds=TIMEOUT_S)
    assert not restarted.session.ledger.state.sites[absent].lost
    carry_on(restarted, first, second, seconds=3)
    carry_on(restarted, first, second, seconds=0)
    assert restarted.session.ledger.state.sites[absent].lost
    assert len(restarted.session.ledger.state.closed) == 1


def test_no_session_fails_for_want_of_a_site_that_may_still_be_starting(
    restarted: Simulation,
) -> None:
    first = SITES[0]
    for seconds in (0, TIMEOUT_S - 1, TIMEOUT_S - 1):
        carry_on(restarted, first, seconds=seconds)
    state = restarted.session.ledger.state
    assert [name for name in SITES if state.sites[name].lost] == [*SITES[1:]]
    assert not state.ended
    for _ in range(2):
        carry_on(restarted, first, seconds=TIMEOUT_S - 1)
    assert restarted.session.ledger.state.phase is SessionPhase.FAILED
