"""A coordinator whose network and clock a test holds in its hands, for drills of certified rounds.

Service, conductor, database and blobs are the real ones. Sites take turns; the clock goes on by a
second a turn, so that who does not act is lost after `TIMEOUT_S`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from fedmrg_secure.coordinator.presence import Presence
from fedmrg_secure.coordinator.rounds import Deadlines, take_step
from fedmrg_secure.coordinator.serve import open_session
from fedmrg_secure.coordinator.service import CoordinatorService
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.codec import Message, decode_message, encode_message, message_type
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import NotAvailable, ProtocolError
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.sequence import Sequence as Numbers
from fedmrg_secure.protocol.service import Call
from fedmrg_secure.protocol.state import RoundState
from tests.coordinator.certified_drills import CertifiedSite, make_certified
from tests.coordinator.test_store import ListLog

TIMEOUT_S = 5.0
STEPS = (
    "announce",
    "commit",
    "sign cohort",
    "upload",
    "sign inclusion",
    "share sums",
    "acknowledge",
)
UP_TO = {
    RoundPhase.ANNOUNCING: 0,
    RoundPhase.COMMITTING: 1,
    RoundPhase.CERTIFYING: 2,
    RoundPhase.UPLOADING: 3,
    RoundPhase.INCLUDING: 4,
    RoundPhase.AGGREGATING: 5,
    RoundPhase.AGGREGATED: 5,
    RoundPhase.CLOSED: 7,
    RoundPhase.ABORTED: 7,
}
"""How many of a site's steps lead to a phase."""


class Held(Exception):
    """A site does not take its next step yet."""


class LocalClient:
    """What a drill's site needs of `CoordinatorClient`, without a network."""

    def __init__(self, bench: Bench, site: str) -> None:
        self.bench, self.site = bench, site

    def _ask(self, method: str, message: Message, expected: type, *, round_number: int = 0) -> Any:
        call = self.call(message, round_number)
        reply = self.bench.service.answer(call, message)
        assert isinstance(reply, expected), method
        return decode_message(message_type(reply), encode_message(reply))

    def call(self, message: Message, round_number: int) -> Call:
        envelope = seal_envelope(
            self.bench.federation.kits[self.site].identity.signing_key,
            message,
            session=self.bench.session.session_id,
            round_number=round_number,
            sequence=self.bench.numbers.next(),
        )
        call = Call(self.site, envelope)
        self.bench.sent.append((call, message))
        return call

    def accept_session(self, weight: int) -> None:
        self._ask("AcceptSession", m.AcceptSession(weight), m.Receipt)

    def get_status(self) -> m.SessionStatus:
        return self._ask("GetStatus", m.GetStatus(), m.SessionStatus)

    def announce(self, number: int, nonce: bytes, state_hash: bytes) -> None:
        self._ask("Announce", m.Announce(nonce, state_hash), m.Receipt, round_number=number)

    def acknowledge(self, number: int, plan_hash: bytes, model_hash: bytes) -> None:
        message = m.Acknowledge(plan_hash, model_hash)
        self._ask("Acknowledge", message, m.Receipt, round_number=number)

    def upload(
        self, number: int, manifest: m.UploadManifest, read_frame: Callable[[int], bytes]
    ) -> None:
        self.send_upload(self.call(manifest, number), manifest, read_frame)

    def send_upload(
        self, call: Call, manifest: m.UploadManifest, read_frame: Callable[[int], bytes]
    ) -> None:
        sink = self.bench.service.begin_upload(call, manifest)
        for index in range(len(manifest.chunk_hashes)):
            sink.store(index, read_frame(index))
        sink.finish()

    def get_aggregate(self, number: int) -> m.AggregateInfo | None:
        try:
            return self._ask("GetAggregate", m.GetAggregate(), m.AggregateInfo, round_number=number)
        except NotAvailable:
            return None

    def download(self, info: m.AggregateInfo) -> Iterator[bytes]:
        request = m.Download(0)
        for _, frame in self.bench.service.frames(self.call(request, info.round), request):
            yield frame


class Bench:
    """One session with sites that act one after the other."""

    def __init__(self, root: Path, names: Sequence[str], **terms: Any) -> None:
        self.federation = make_certified(
            root,
            names,
            **{"site_timeout_ms": int(TIMEOUT_S * 1000), "round_deadline_ms": 900_000, **terms},
        )
        self.log, self.now, self.numbers = ListLog(), 1000.0, Numbers()
        self.sent: list[tuple[Call, Message]] = []
        self.sites: dict[str, CertifiedSite] = {}
        self.clients: dict[str, LocalClient] = {}
        self.open()
        for place, name in enumerate(names):
            self.sites[name] = CertifiedSite(self.federation, name, 3**place)
            self.clients[name] = LocalClient(self, name)
            self.clients[name].accept_session(1)
        self.conduct()

    @property
    def round(self) -> RoundState:
        current = self.session.ledger.state.round
        assert current is not None
        return current

    def open(self) -> None:
        """Start the coordinator from what is on disk."""
        roster = next(iter(self.federation.kits.values())).roster
        session = open_session(self.federation.coordinator, roster, self.log, lambda event: None)
        self.session = replace(session, presence=Presence(TIMEOUT_S, TIMEOUT_S, lambda: self.now))
        self.service = CoordinatorService(self.session)
        self.deadlines = Deadlines(lambda: self.now)

    def restart(self) -> None:
        before = self.session.ledger.state
        self.session.store.close()
        self.open()
        assert self.session.ledger.state == before

    def conduct(self, steps: int = 2) -> None:
        for _ in range(steps):
            if not self.session.ledger.state.ended:
                take_step(self.session, self.deadlines, Event())

    def advance(self, phase: RoundPhase, *names: str, turns: int = 60) -> None:
        """Let these sites (or all) act until the round that is open now is in `phase`."""
        number = self.round.number + self.round.over
        allowed = STEPS[: UP_TO[phase]]

        def before(step: str, round_number: int) -> None:
            if step not in allowed:
                raise Held

        for _ in range(turns):
            for name in names or self.sites:
                self.sites[name].before = before
                with suppress(Held):
                    self.sites[name].act(self.clients[name])
                if self.is_in(number, phase):
                    return
            self.now += 1
            for _ in range(2):
                self.conduct(1)
                if self.is_in(number, phase):
                    return
        raise AssertionError(f"round {number} is never {phase.name}, but {self.round.phase.name}")

    def is_in(self, number: int, phase: RoundPhase) -> bool:
        return (self.round.number, self.round.phase) == (number, phase)

    def replay_everything(self) -> None:
        """Every message so far comes again, byte for byte; none of them changes anything."""
        before, messages = self.session.ledger.state, len(self.sent)
        for call, message in self.sent[:messages]:
            with suppress(ProtocolError):
                if isinstance(message, m.UploadManifest):
                    frames = self.sites[call.site].frames(call.envelope.round)
                    self.clients[call.site].send_upload(call, message, frames.__getitem__)
                elif not isinstance(message, m.Download):
                    self.service.answer(call, message)
        assert self.session.ledger.state == before
        del self.sent[messages:]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.log.entries]  # type: ignore[index]

    def close(self) -> None:
        self.session.store.close()
